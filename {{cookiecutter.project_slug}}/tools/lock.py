"""Makes the hashed locks in requirements/ out of what the service asks for. Standard library only.

    python tools/lock.py compile      prod.txt and dev.txt, keeping the pins they have (make lock)
    python tools/lock.py bump --packages A B    the same, with the newest A and B that fit (make bump)
    python tools/lock.py upgrade      the same and tools.txt, with the newest versions (make upgrade)
    python tools/lock.py rebaseline   the layers of the image that packages share, from the locks (make rebaseline)
    python tools/lock.py check        fail when a lock is not what the service asks for (make lock-check)

With the locks go the layers of the image: layers/ says what is in which, and the Dockerfile has a step for each.

A lock is right only for the Python that compiled it, so it is compiled by Python {{ cookiecutter.python_version }}: one on this
machine, else the `lock` target of the Dockerfile. Nothing is replaced until everything has succeeded. What to run
is in manager.py.

LAYERCAKE_LOCK=require (the default) fails when that cannot be done, auto keeps the locks that are there
and warns, skip keeps them without trying.
"""

from __future__ import annotations  # an older Python may find the right one

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import indexes
import layers
import manager
import newest
from indexes import is_word, masked
from layers import Layers, Sizes, Wishes
from pins import LockError, Pin, blocks, normalised, parse, render

PYTHON = "{{ cookiecutter.python_version }}"
PROJECT = Path(__file__).resolve().parent.parent
REQUIREMENTS = PROJECT / "requirements"
CACHE = PROJECT / ".cache"
PROD, DEV = "requirements/prod.txt", "requirements/dev.txt"
LAYER_LOCK = "requirements/layers/{}.lock"
BASELINE_LOCK, SERVICE_LOCK = map(LAYER_LOCK.format, layers.SHARED)
COMMON = "requirements/layers/baseline.names"
SIZES = "requirements/layers/sizes.json"
LEFT = {"lock-*": 1, "cache-check-*": 1, "tools-*": 30}  # what runs leave in .cache, and the days after which it goes

# The lines that tell why a tool failed, the best first; the first is this file, speaking from inside Docker.
TELLING = (
    r"^(?:#\d+ )?[\d.]+ lock: (.+?)(?:; every lock is as it was)?\.?$",
    r"(No space left on device)",
    r"(All attempts to connect to \S+ failed)",
    r"((?:No matching distribution|Invalid requirement|Could not open|Failed to build).+)$",
    r"^\s*(?:#\d+ )?ERROR: (.+)$",
    r"(Because\s[\s\S]+?\sunsatisfiable)",  # of uv, which may break lines
    r"^\s*(?:cause: |Caused by: |[\w.]*(?:Error|Exception): )?(.*\S)\s*$",
)

# What pip says when the package index does not give what it is asked for.
REFUSED = r"(?:Retrying .+?|WARNING: )(\[Errno[^\"')]+|timed out|40[13] \w+|too many \d+ error responses|.+secure host)"

# What no lock may hold: options, credentials, paths of this machine; for a native lock only credentials.
FORBIDDEN = {
    ".txt": r"-|[^#]*\bfile:|[^#]*://[^/\s]*@|.*#.* -[rc] (/|\w:|\.\.)",
    ".lock": r".*://(?!\$\{\w+\}:\$\{\w+\}@)[^/\s]*@",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("actions", nargs="+", choices=["compile", "bump", "upgrade", "rebaseline", "check"])
    parser.add_argument("--packages", nargs="*", default=[], metavar="NAME", help="what bump moves")
    parser.add_argument("--cooldown", type=int, default=0, metavar="DAYS", help="leave out what is younger")
    options = parser.parse_args()
    actions: list[str] = options.actions
    if "check" in actions and actions != ["check"]:
        parser.error("check goes alone")
    packages = [normalised(name) for text in options.packages for name in text.split()]
    if ("bump" in actions) != bool(packages) or not all(re.fullmatch("[a-z0-9-]+", name) for name in packages):
        say('bump moves the packages that are named: make bump PACKAGE="pandas urllib3"')
        return 2
    mode = os.environ.get("LAYERCAKE_LOCK") or "require"
    if mode not in ("auto", "skip", "require"):
        say(f"LAYERCAKE_LOCK is {mode!r}; use auto, skip or require.")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to stop is to be interrupted
    try:
        if actions == ["check"]:
            check()
        else:
            before = pinned()
            publish(make(actions, packages, options.cooldown, skip=mode == "skip"))
            report_changes(before, actions)
    except KeyboardInterrupt:
        say("interrupted; every lock is as it was.")
        return 130
    except (LockError, OSError, ValueError) as error:
        if mode == "auto" and actions != ["check"]:
            say(f"WARNING: the locks stay as they are; run `make lock` later. Reason: {error}.")
            return 0
        say(f"{error}." if actions == ["check"] else f"{error}; every lock is as it was.")
        return 1
    return 0


def make(actions: list[str], packages: list[str], cooldown: int, *, skip: bool) -> dict[str, str | None]:
    """Return the new text of each file that the actions ask for, by its path in the project; None for one that goes."""
    texts: dict[str, str | None] = {}
    for action in actions:
        if action != "rebaseline" and not skip:
            texts |= compile_locks(action, packages, cooldown)
    prod = texts.get(PROD) or (PROJECT / PROD).read_text(encoding="utf-8")
    return texts | make_layers(prod, actions, ask=not skip)


def check() -> None:
    """Raise LockError when compiling again would change a lock, or when a pin is not what its hashes say."""
    if not (PROJECT / manager.LOCK).exists():
        raise LockError(f"{manager.LOCK} is missing; run `make lock`")
    check_python()
    for name, text in compile_locks("check").items():
        now, wanted = ({str(pin): pin for pin in parse(lock, name).values()} for lock in (current(name), text))
        found = [f"lacks {pin}" for pin in wanted if pin not in now]
        found += [f"still has {pin}" for pin in now if pin not in wanted]
        found += [f"has other hashes for {pin}" for pin in now if wanted.get(pin, now[pin]) != now[pin]]
        if found:
            found[4:] = [f"and {len(found) - 4} more"] if len(found) > 4 else []
            target = "upgrade" if name.endswith("tools.txt") and not foreign_tools() else "lock"
            raise LockError(f"{name} is stale: it {', '.join(found)}; run `make {target}`")
    check_layers()
    say("the locks are what the service asks for.")


def check_python() -> None:
    """Raise LockError when a file is for another Python than the locks, as after an edit of one of them."""
    said = re.compile(
        r"""(?m)^FROM (?:\S+[ /])*python:(3\.\d+)|/lib/python(3\.\d+)/|^python_version = "(3\.\d+)"""
        r"""|^requires-python = "\D*(3\.\d+)"""
        r"""|version_info\[:2\] != "(3\.\d+)|python in python(3\.\d+)"""
    )
    for name in ("Dockerfile", "Makefile", "pyproject.toml", "Pipfile"):
        text = re.sub(r"(?m)^FROM .* AS (?!python$).*$", "", current(name))  # another stage may have another one
        if other := {max(found.groups(default="")) for found in said.finditer(text)} - {PYTHON}:
            raise LockError(
                f"{name} is for Python {min(other)}, the locks are for {PYTHON}; the template changes it everywhere: "
                f"make update ARGS='--set python_version={min(other)}'"
            )


# Layers


def make_layers(prod: str, actions: list[str], *, ask: bool) -> dict[str, str | None]:
    """Return the files that say what is in which layer of the image, for a lock.

    Args:
        ask: whether the package index may be asked how large a wheel is.
    """
    if not (PROJECT / "Dockerfile").exists():  # in Docker, which only compiles
        return {}
    lock, sizes = parse(prod, PROD), Sizes.read(current(SIZES))
    common = read_common() or lock
    renew = {*layers.SHARED} if "rebaseline" in actions or not (PROJECT / BASELINE_LOCK).exists() else set()
    shared = ({}, {}) if renew else read_shared()
    before = Layers(*shared, {name: lock[name] for name in own_layers() if name in lock})
    missing = sizes.missing(lock.values())
    if ask and any("upgrade" in actions or not sizes.of(pin) for pin in missing):
        sizes = Sizes({**sizes.known, **ask_for_sizes(missing, sizes)})
    renew |= {layer for layer in layers.SHARED if layers.newer(lock, getattr(before, layer))}
    decide = layers.upgraded if "upgrade" in actions else layers.plan
    after = decide(lock, before, sizes, read_wishes(), renew, common)
    texts: dict[str, str | None] = {LAYER_LOCK.format(name): None for name in (*own_layers(), layers.SERVICE)}
    texts |= {LAYER_LOCK.format(name): render([pin]) for name, pin in after.own.items()}
    texts[BASELINE_LOCK] = layers.write_shared(after.baseline)
    if after.service:
        texts[SERVICE_LOCK] = layers.write_shared(after.service)
    texts[SIZES] = json.dumps(sizes.kept({**after.everything, **lock}.values()), indent=2, sort_keys=True) + "\n"
    changed = {name for name in after.own if texts[LAYER_LOCK.format(name)] != current(LAYER_LOCK.format(name))}
    texts["Dockerfile"] = layers.in_dockerfile(current("Dockerfile"), after.beside_baseline, changed)
    return texts


def read_layers(read: Callable[[str, str], dict[str, Pin]] = layers.read_shared) -> Layers:
    """Return what is in which layer now. Raises LockError, with another `read` not when a file was edited."""
    own = (parse(current(LAYER_LOCK.format(name)), LAYER_LOCK.format(name)) for name in own_layers())
    return Layers(*read_shared(read), {name: pin for pins in own for name, pin in pins.items()})


def read_shared(
    read: Callable[[str, str], dict[str, Pin]] = layers.read_shared,
) -> tuple[dict[str, Pin], dict[str, Pin]]:
    """Return the packages of the baseline and of `service`. Raises LockError."""
    service = read(current(SERVICE_LOCK), SERVICE_LOCK) if (PROJECT / SERVICE_LOCK).exists() else {}
    return read(current(BASELINE_LOCK), BASELINE_LOCK), service


def read_common() -> list[str]:
    """Return the names of what every service of the template has; of none when the file is not there."""
    return [line for line in current(COMMON).splitlines() if line and not line.startswith("#")]


def own_layers() -> list[str]:
    """Return the packages that have a layer of their own now."""
    return sorted({path.stem for path in (PROJECT / BASELINE_LOCK).parent.glob("*.lock")} - {*layers.SHARED})


def read_wishes() -> Wishes:
    """Return what [tool.layers] in pyproject.toml says of single packages."""
    text = current("pyproject.toml")
    asked = read_toml(text, "pyproject.toml").get("tool", {}).get("layers", {}) if "tool.layers" in text else {}
    if unknown := asked.keys() - set(Wishes._fields):
        raise LockError(f"pyproject.toml: [tool.layers] has {min(unknown)!r}; it knows always and never")
    if wrong := [key for key, names in asked.items() if not isinstance(names, list)]:
        raise LockError(f"pyproject.toml: {wrong[0]!r} of [tool.layers] is no list; write one of names")
    return Wishes(**{key: frozenset(map(normalised, names)) for key, names in asked.items()})


def read_toml(text: str, file: str) -> dict[str, Any]:
    """Return what a TOML file says. The right Python reads it: an older one, as may run this, cannot."""
    code = "import json, sys, tomllib; print(json.dumps(tomllib.loads(sys.stdin.buffer.read().decode()), default=str))"
    command = [find_interpreter() or sys.executable, "-I", "-c", code]
    result = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if result.returncode:
        raise LockError(f"{file} could not be read: {last_words(result.stderr.decode(errors='replace'))}")
    read: dict[str, Any] = json.loads(result.stdout)
    return read


def ask_for_sizes(pins: list[Pin], known: Sizes) -> dict[str, int]:
    """Return the size of the wheel for each pin that the package index tells it of; of none when it cannot be asked.

    Args:
        known: other sizes: a package of which one is known has its layer by that.
    """
    options = f"--no-deps --format pylock.toml --python-version {PYTHON} --python-platform linux".split()
    if (wheels := REQUIREMENTS / "wheels").exists():
        options += ["--find-links", str(wheels)]
    try:
        with scratch_folder() as work:
            (work / "pins.txt").write_text(render(pins), encoding="utf-8")
            settings = current("pyproject.toml")  # those of uv may name an index
            (work / "pyproject.toml").write_text(settings, encoding="utf-8")
            command = [python_with_uv(find_interpreter() or sys.executable), "-I", "-m", "uv", "pip", "compile"]
            options += indexes.options_for_uv()
            files = ["--output-file", "pylock.toml", "pins.txt"]
            step("asking for sizes", [*command, *options, *files], cwd=work, environment=indexes.for_uv())
            listed = read_toml((work / "pylock.toml").read_text(encoding="utf-8"), "pylock.toml").get("packages", [])
    except LockError as error:
        if unknown := [pin.name for pin in pins if not known.of(pin)]:
            say(f"the size of {', '.join(unknown)} is not known, so it gets no layer of its own: {error}.")
        return {}
    largest = {package["name"]: size_of(package) for package in listed}
    found = {f"{pin.name}{pin.origin}": largest[pin.name] for pin in pins if largest.get(pin.name)}
    if unknown := [pin.name for pin in pins if not (largest.get(pin.name) or known.of(pin))]:
        say(f"the package index does not tell the size of {', '.join(unknown)}, so it gets no layer of its own.")
    return found


def size_of(package: dict[str, Any]) -> int:
    """Return the bytes of the largest wheel of a package in a pylock.toml, else of its source; 0 when nobody tells."""
    files = package.get("wheels") or [package[kind] for kind in ("sdist", "archive") if kind in package]
    told = max((int(file.get("size", 0)) for file in files), default=0)
    url = files[0].get("url", "") if files else ""
    if told or not ("archive" in package or url.startswith("file:")):
        return told
    try:  # no index speaks of what is pinned by a URL, or is a file of the project
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=15) as response:
            return int(response.headers["Content-Length"] or 0)
    except (OSError, ValueError):
        return 0


def trouble_with_indexes(python: str, work: Path) -> str:
    """Return what is wrong with a package index that is configured; "" if all is well.

    Args:
        python: one that has the dependency manager.
        work: where the manifest is that may name indexes.
    """
    named: dict[str, str] = {}
    with contextlib.suppress(LockError, OSError):
        named = manager.index(lambda name: (work / name).read_text(encoding="utf-8"), read_toml)
    return indexes.trouble(indexes.configured(named, read_toml) or named_by(python, indexes.DEFAULT, []))


def check_layers() -> None:
    """Raise LockError when the layers are not as this program writes them. Older packages in them are no error."""
    if not (PROJECT / "Dockerfile").exists():  # in Docker
        return
    for name in own_layers():
        if list(parse(current(LAYER_LOCK.format(name)), LAYER_LOCK.format(name))) != [name]:
            raise LockError(f"{LAYER_LOCK.format(name)} does not pin {name}, and nothing else; run `make lock`")
    lock, now = parse(current(PROD), PROD), read_layers()
    if twice := now.baseline.keys() & now.service or (now.baseline | now.service).keys() & now.own:
        raise LockError(f"requirements/layers/ has {min(twice)} in two layers; run `make lock`")
    if layers.in_dockerfile(current("Dockerfile"), now.beside_baseline) != current("Dockerfile"):
        raise LockError("the Dockerfile does not have the layers that requirements/layers/ lists; run `make lock`")
    for layer in layers.SHARED:
        if newer := layers.newer(lock, getattr(now, layer)):
            raise LockError(f"{LAYER_LOCK.format(layer)} has a newer {newer[0]} than {PROD}; run `make lock`")


def share_changed() -> float:
    """Return how much of the small packages has changed since their layers were made, by bytes."""
    now = read_layers(parse)
    wanted = layers.without(parse(current(PROD), PROD), now.own)
    return layers.share_changed(wanted, {**now.baseline, **now.service}, Sizes.read(current(SIZES)))


def report_changes(before: dict[str, str], actions: list[str]) -> None:
    """Say which pins have moved, and when it is time for a new baseline. In Docker, which only compiles, there is none."""
    after = pinned()
    moved = [f"{name} {old} to {after[name]}" for name, old in before.items() if after.get(name, old) != old]
    if moved and "upgrade" not in actions:
        say(f"moved: {', '.join(moved)}.")
    if "bump" in actions and not moved:
        say("the newest releases that fit are locked already.")
    if (PROJECT / "Dockerfile").exists() and (changed := share_changed()) > layers.SHARE:
        say(f"{changed:.0%} of the small packages has changed since their layers were made; run `make rebaseline`.")


# Compiling


def pinned(*names: str, below: Path = PROJECT) -> newest.Pins:
    """Return the version of each package that the locks in a folder pin; without those that are pinned by a URL."""
    known = [pin for name in names or (PROD, DEV) for pin in parse(current(below / name), name).values()]
    return {pin.name: pin.origin[2:] for pin in known if pin.origin.startswith("==")}


def compile_locks(action: str, packages: Sequence[str] = (), cooldown: int = 0) -> dict[str, str]:
    """Return the text of each lock that an action needs; the project is not touched.

    Args:
        action: compile, bump, upgrade or check.
        packages: what bump moves.
        cooldown: the days that a release must be old.
    """
    if unknown := {*packages} - pinned().keys():
        raise LockError(f"no lock has a version of {min(unknown)}; ask for it in {manager.ASKED} and run `make lock`")
    names = [PROD, DEV]
    names += ["requirements/tools.txt"] if action in ("upgrade", "check") or foreign_tools() else []
    names += [manager.LOCK] if manager.LOCK and action != "check" else []
    for name in filter(None, (*manager.MANIFESTS, manager.LOCK)):
        if conflict := re.search(r"(?m)^<{7} ", current(name)):
            line = current(name).count("\n", 0, conflict.start()) + 1
            raise LockError(f"{name} has a conflict of a merge in line {line}; resolve it")
    with scratch_folder() as work:
        shutil.copytree(REQUIREMENTS, work / "requirements")
        for name in filter(lambda name: name and (PROJECT / name).exists(), (*manager.MANIFESTS, manager.LOCK)):
            shutil.copy(PROJECT / name, work / name)
        follow_own_wheels(work, check=action == "check")
        if interpreter := find_interpreter():
            if "PIP_CONSTRAINT" in indexes.all_of_pip():
                say(f"the constraints of pip count for no lock; limit versions in {manager.ASKED}.")
            if foreign_tools():
                lock_tools(python_with_uv(interpreter), work)
            tools = tools_venv(interpreter, (work / "requirements" / "tools.txt").read_text("utf-8"))
            try:
                run_here(tools, work, action, packages, indexes.cooled_down(cooldown))
            except LockError as error:  # of which the dependency managers tell little
                if " failed: " in str(error) and (trouble := trouble_with_indexes(tools, work)):
                    raise LockError(f"{str(error).partition('; the package index')[0]}; {trouble}") from None
                raise
        elif succeeds("docker", "buildx", "version") and succeeds("docker", "version"):
            named = ["--packages", *packages] if packages else []
            run_in_docker(work, " ".join([action, *named, "--cooldown", str(cooldown)]))
        else:
            raise LockError(
                f"there is neither a Python {PYTHON} that can make virtual environments nor Docker; install one of them"
            )
        return {name: verified(work / name) for name in names}


def follow_own_wheels(work: Path, *, check: bool) -> None:
    """Give the locks below `work` the hashes of wheels in requirements/wheels that were built anew, under one version.

    Raises:
        LockError: that is needed, in a check.
    """
    wheels: dict[tuple[str, str], list[Path]] = {}
    for path in sorted((work / "requirements" / "wheels").glob("*.whl")):
        name, version = path.name.split("-")[:2]
        wheels.setdefault((normalised(name), f"=={version}"), []).append(path)
    locks = [work / name for name in (PROD, DEV, manager.LOCK) if name and (work / name).exists()]
    for pin in [pin for name in (PROD, DEV) for pin in parse(current(work / name), name).values()]:
        ours = wheels.get((pin.name, pin.origin), [])
        digests = {f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in ours}
        old, new = sorted({*pin.hashes} - digests), sorted(digests - {*pin.hashes})
        if not new or not old:
            continue
        if len(old) != len(new):
            raise LockError(
                f"requirements/wheels/ has files of {pin.name}{pin.origin} that the locks do not have, and they have others; "
                "give yours a version of its own"
            )
        if check:
            raise LockError(f"the locks have another hash than requirements/wheels/{ours[0].name}; run `make lock`")
        for lock in locks:
            text = lock.read_text(encoding="utf-8")
            for number, before in enumerate(old):
                text = text.replace(before, new[number])
            lock.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder in .cache for the time of a run; remove what others have left there and nobody uses any more."""
    CACHE.mkdir(exist_ok=True)
    found = [(path, days) for pattern, days in LEFT.items() for path in CACHE.glob(pattern)]
    new = (*REQUIREMENTS.rglob(".*.[0-9]*"), *PROJECT.glob(".Dockerfile.[0-9]*"))
    for path, days in (*found, *((path, 1) for path in new)):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > days * 24 * 60 * 60:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    folder = Path(tempfile.mkdtemp(prefix="lock-", dir=CACHE))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def find_interpreter() -> str:
    """Return a working interpreter of the right version: the running one, or one on PATH; "" without one."""
    probe = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != {PYTHON!r})"
    candidates = (sys.executable, f"python{PYTHON}", "python3", "python")
    # A name on PATH proves nothing: version managers put stand-ins there that only fail.
    return next((candidate for candidate in candidates if succeeds(candidate, "-I", "-c", probe)), "")


def succeeds(*command: str) -> bool:
    """Return whether a command exists and ends well within half a minute."""
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def foreign_tools() -> bool:
    """Return whether tools.txt is that of another dependency manager: somebody has just switched."""
    pinned = set(re.findall(r"(?m)^(pip-tools|poetry|pipenv)==", current("requirements/tools.txt")))
    return pinned != {manager.NAME.lower()} - {"uv"}  # uv is in all of them


def python_with_uv(interpreter: str) -> str:
    """Return the Python of a venv with the uv of tools.txt, whichever dependency manager that is for."""
    found = blocks(current("requirements/tools.txt")).get("uv")
    if not found:
        raise LockError("requirements/tools.txt is not there or does not pin uv; restore it")
    return tools_venv(interpreter, found, "uv", unused="")


def lock_tools(
    python: str, work: Path, action: str = "compile", settings: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Lock requirements/tools.in below `work` with a Python that has uv; the tools.txt there is the seed."""
    options = ["--generate-hashes", "--python-platform", "linux", *(["--upgrade"] if action == "upgrade" else [])]
    files = ["--output-file", "requirements/tools.txt", "requirements/tools.in"]
    settings = {**indexes.for_uv(), "UV_PYTHON": python, "UV_CUSTOM_COMPILE_COMMAND": "make upgrade", **settings}
    command = [python, "-I", "-m", "uv", "pip", "compile", *options, *files]
    step("resolving tools.in", command, cwd=work, environment=settings)


def tools_venv(interpreter: str, tools: str, module: str = manager.MODULE, unused: str = manager.NOT_INSTALLED) -> str:
    """Return the Python of a venv with what a lock of tools lists, making it when needed."""
    tools = tools.replace(blocks(tools).get(unused, ""), "")
    venv = CACHE / f"tools-{hashlib.sha256(f'{PYTHON}{tools}'.encode()).hexdigest()[:12]}"
    bin_python = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")
    works = (str(venv / bin_python), "-I", "-c", f"import {module}")
    if not succeeds(*works):
        with scratch_folder() as work:
            new, python, listed = work / "venv", str(work / "venv" / bin_python), work / "tools.txt"
            listed.write_text(tools, encoding="utf-8")
            if succeeds(interpreter, "-I", "-c", "import pip"):  # saves installing one
                without, pip = ["--without-pip"], [interpreter, "-I", "-m", "pip", "--python", python]
            else:
                without, pip = [], [python, "-I", "-m", "pip"]
            step(f"making a venv with Python {PYTHON}", [interpreter, "-I", "-m", "venv", *without, str(new)])
            options = ["--no-compile", "--no-deps", "--require-hashes", "--requirement", str(listed)]
            step(f"installing {manager.NAME if module == manager.MODULE else module}", [*pip, "install", *options])
            try:
                new.rename(venv)
            except OSError:  # there is one: another run was faster, or it is broken, as when its Python is gone
                if not succeeds(*works):
                    shutil.rmtree(venv, ignore_errors=True)
                    new.rename(venv)
    os.utime(venv)
    return str(venv / bin_python)


def run_here(
    python: str,
    work: Path,
    action: str,
    packages: Sequence[str] = (),
    settings: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Let the dependency manager bring the locks below `work` up to date; those that are there are the seed."""

    def run(title: str, *arguments: str, settings: Mapping[str, str] = settings) -> None:
        step(title, [python, "-I", *arguments], cwd=work, environment={**manager.environment(python), **settings})

    left: list[str] = []
    moves = moves_for(python, work, packages, set(), left) if action in ("compile", "bump") else {}
    pins = pinned()
    seed = newest.exactly(pins)
    others = {name: version for name, version in pins.items() if action != "upgrade" and name not in packages}
    cooled = settings
    try:
        manager.lock(run, work, action, seed, moves)
        if settings and (lowered := named_by(python, newest.LOWERED, pins, pinned(below=work))):
            wanted = {name: pins[name] for name in lowered}  # somebody wanted it, a security fix for example
            manager.lock(partial(run, settings={}), work, "compile", seed, wanted)
            others, cooled = pins, {}  # a pin that was restored may be young
        if action == "compile" and pins and (late := pinned(below=work).keys() - pins.keys() - moves.keys()):
            moves = moves_for(python, work, (), {*late}, left)  # what an extra brings, for example
            manager.lock(run, work, action, seed, moves)
        if manager.KNOWS_ONE_PLATFORM:
            complete(python, work, others, cooled)
        if manager.LOCK and action in ("upgrade", "check"):  # what is pip-tools' own, it has locked with the rest
            lock_tools(python, work, action, settings)
    except LockError as error:
        if action != "check" or not manager.STALE or manager.STALE not in str(error):
            raise
        asked = " and ".join(manager.MANIFESTS)
        raise LockError(f"{manager.LOCK} is stale: it is not what {asked} asks for; run `make lock`") from None
    for message in left:
        say(message)


def named_by(python: str, code: str, *values: object) -> list[str]:
    """Return the names that a program prints, which reads values as JSON."""
    command, words = [python, "-I", "-c", code], json.dumps(values)
    return subprocess.run(command, input=words, capture_output=True, text=True, check=True).stdout.split()


def moves_for(python: str, work: Path, packages: Sequence[str], late: set[str], left: list[str]) -> newest.Pins:
    """Return the pins that move, and to which version, so that what is asked for anew is the newest that fits.

    Args:
        python: one that has the dependency manager.
        packages: what shall be the newest besides.
        late: what is needed anew, though nothing in the manifest tells.
        left: takes what to say when the dependency manager has found something where uv did not.
    """
    resolver, asked_for = resolver_in(work)
    pins, found, fixed = pinned(), newest.Pins(), newest.Pins()
    locked = {pin for name in (PROD, DEV) for pin in parse(current(name), name).values()}
    on_arm = {pin.name for pin in locked if "aarch64" in pin.marker} & {*packages}
    for asked in asked_for:
        unmet = named_by(python, newest.UNMET, asked, pins | found)
        if not pins or not (unmet or packages or late or found):
            fixed = pinned(PROD)
            continue
        try:
            moved = newest.moves(resolver, asked, pins | found, fixed, {*unmet, *packages, *late} - on_arm)
            if on_arm:
                moved |= newest.moves(resolver.on_arm(), asked, pins | found | moved, fixed, on_arm)
        except LockError as error:
            if packages:
                raise
            left.append(f"what fits was left to {manager.NAME}: {error}.")  # which knows more of what is asked for
            fixed = pinned(PROD) | found
            continue
        for name in sorted(moved.keys() & pins.keys() - {*unmet, *packages})[:5]:  # more are no help
            if why := newest.reason(resolver, asked, pins | moved, name, pins[name]):
                say(f"{name} moves, since {why}.")
        found |= moved
        fixed = pinned(PROD) | found
    return found


def resolver_in(
    work: Path, settings: Mapping[str, str] = MappingProxyType({})
) -> tuple[newest.Resolver, list[list[str]]]:
    """Return what asks uv, and the lists of what the service asks for below `work`, one for each resolution."""

    def read(name: str) -> str:
        return (work / name).read_text(encoding="utf-8")

    def run(title: str, *arguments: str) -> None:
        command = [uv(), "-I", *arguments, *indexes.options_for_uv()]
        step(title, command, cwd=work, environment={**indexes.for_uv(), **index(), **settings})

    uv = cache(lambda: python_with_uv(find_interpreter() or sys.executable))
    index = cache(lambda: manager.index(read, read_toml))
    return newest.Resolver(run, work, PYTHON), manager.asked(read, read_toml)


def complete(python: str, work: Path, before: newest.Pins, settings: Mapping[str, str]) -> None:
    """Add to the locks below `work` what other processors and releases of Python need than those of this machine.

    Args:
        python: one that has the dependency manager.
        before: the versions that are preferred.
        settings: what uv gets to know besides.
    """
    resolver, asked_for = resolver_in(work, settings)
    text = current("pyproject.toml")  # may have settings of uv
    if "environments" not in read_toml(text, "pyproject.toml").get("tool", {}).get("uv", {}):
        where = newest.ONE_PYTHON.format(PYTHON, int(PYTHON.partition(".")[2]) + 1)
        text, there = re.subn(r"(?m)^\[tool\.uv\].*\n", where, text)
        text = text if there else f"{text}\n{where}"
    (work / "pyproject.toml").write_text(text, encoding="utf-8")
    fixed = newest.Pins()
    for number, name in enumerate((PROD, DEV)):
        asked = asked_for[number]
        file = Path(name).name
        fixed |= pinned(name, below=work)
        try:
            found = resolver.everywhere(f"completing {file}", asked, before | fixed, newest.exactly(fixed))
        except LockError as error:
            if "No space left" in str(error) or trouble_with_indexes(python, work):
                raise
            say(f"what {file} lacks for other processors is not known: {error}.")  # uv knows less of what is asked for
            continue
        for ours, theirs in (("requirements/asked.in", name.replace(".txt", ".in")), ("limits.txt", PROD)):
            found = found.replace(ours, theirs)  # as pip-compile notes it
        found = re.sub(r"(?m)^ +#.*\n", "", found) if manager.LOCK else found
        (work / "everywhere.txt").write_text(found, encoding="utf-8")
        command = [python, "-EsB", newest.__file__, name, "everywhere.txt", *([] if manager.LOCK else ["--drop"])]
        subprocess.run(command, cwd=work, check=True)
        fixed |= pinned(name, below=work)


def run_in_docker(work: Path, action: str) -> None:
    """Let the `lock` target of the Dockerfile run this file inside the base image of the service."""
    of_manager = rf"{manager.NAME.upper()}_(\w*INDEX|HTTP_BASIC_|PYPI_MIRROR)"
    if lost := [name for name in os.environ if re.match(of_manager, name)]:
        raise LockError(
            f"without a Python {PYTHON} that can make virtual environments Docker would lock, and not know {lost[0]}; "
            "install one, or write the index into a file of its configuration"
        )
    names, settings = ("INDEX_URL", "EXTRA_INDEX_URL", "TRUSTED_HOST", "PROXY"), indexes.of_pip()
    sources = [f"{name.lower().replace('_', '-')} = {settings[name]}\n" for name in names if name in settings]
    options = "--target lock --no-cache-filter lock-compile --progress plain"
    secrets = ["--secret", "id=pip.conf,env=LOCK_PIP_CONF"]
    secrets += [part for path in indexes.uv_tomls()[:1] for part in ("--secret", f"id=uv.toml,src={path}")]
    files = ["--build-arg", f"LOCK_ACTION={action}", *secrets, "--output", str(work), str(PROJECT)]
    command = ["docker", "buildx", "build", *options.split(), *files]
    step("compiling in Docker", command, environment={"LOCK_PIP_CONF": "".join(["[global]\n", *sources])})


def step(title: str, command: list[str], cwd: Path = PROJECT, environment: dict[str, str] | None = None) -> None:
    """Run a command and show that it goes on. Raises LockError with its last words."""
    print(f"lock: {title} ", end="", file=sys.stderr, flush=True)
    settings = {**indexes.settings(), **(environment or {})}
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=cwd, env=settings, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait(process)
        finally:
            process.kill()
            process.wait()
            print(f" {time.monotonic() - started:.1f} s", file=sys.stderr)
        output.seek(0)
        words = output.read().decode(errors="replace").replace(f"{cwd}{os.sep}", "")
    if process.returncode:
        raise LockError(f"{title} failed: {last_words(words)}")


def wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process, with a dot per second as a sign of life."""
    while process.poll() is None:
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            print(".", end="", file=sys.stderr, flush=True)


def last_words(output: str) -> str:
    """Return what a tool's output tells best about why it failed."""
    output = re.sub(r"(\S+==\S+) from .+\n\s+Expected sha256", r"\nERROR: \1 does not match its hashes\n", output)
    found = next(filter(None, (re.findall(pattern, output, re.MULTILINE) for pattern in TELLING)), ["it said nothing"])
    words = re.sub(r" \(from versions: .*", "", found[-1]).strip().rstrip(".")
    if "conflicting" in words and (clash := re.findall(r"ResolutionImpossible: \[(.+)", output)):
        words += ": " + " against ".join(dict.fromkeys(re.findall(r"Requirement\('([^']+)'\)", clash[-1])))
    if refused := re.findall(REFUSED, output):
        words += f"; the package index was not reached: {refused[-1]}"
    if "No space left" in words:
        words += f"; make some where {tempfile.gettempdir()}, {CACHE.name} or the caches of your home folder are"
    return masked(words)[:400]


# Files


def current(name: str | Path) -> str:
    """Return the text of a lock, "" when there is none."""
    return (PROJECT / name).read_text(encoding="utf-8") if (PROJECT / name).exists() else ""


def verified(path: Path) -> str:
    """Return the text of a lock that every machine may use. Raises LockError when it may not."""
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        if re.match(FORBIDDEN[path.suffix], line):
            found = "an option, a credential or a path of this machine"
            raise LockError(f"{path.name} would hold {found}: {masked(line)[:99]!r}")
    if secret := next((secret for secret in indexes.secrets() if secret in text and not is_word(secret)), ""):
        line = next(line for line in text.splitlines() if secret in line).strip()
        raise LockError(
            f"{path.name} would hold a secret of a package index: {masked(line)[:99]!r}; use an index that takes it as a "
            f"password, or name the index in {manager.ASKED} if it is none"
        )
    if path.suffix == ".txt":
        parse(text, path.name)
    return text


def publish(texts: dict[str, str | None]) -> None:
    """Replace files, all or none: each is written beside its target, then renamed onto it; one without a text goes."""
    found = {PROJECT / name: text for name, text in texts.items()}
    targets = {path: text for path, text in found.items() if text != (current(path) if path.exists() else None)}
    before = {target: target.read_bytes() if target.exists() else None for target in targets}
    new = {target: target.with_name(f".{target.name}.{os.getpid()}") for target in targets}
    try:
        for target, text in targets.items():
            target.parent.mkdir(exist_ok=True)
            with new[target].open("w", encoding="utf-8", newline="\n") as file:
                file.write(text or "")
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, new[target])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # too late to stop: some files would be new and others old
        for target, text in targets.items():
            new[target].replace(target)
            if text is None:
                target.unlink()
    except OSError:
        for target, content in before.items():
            if content is None:
                target.unlink(missing_ok=True)
            elif not target.exists() or target.read_bytes() != content:
                target.write_bytes(content)
        raise
    finally:
        for path in new.values():
            path.unlink(missing_ok=True)


def say(message: str) -> None:
    """Tell the person who waits, without the credentials of URLs; standard output stays free for programs."""
    print("lock:", masked(" ".join(message.split())), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
