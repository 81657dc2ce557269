"""Proves that a build of the image reinstalls only what changed.

    layercake cache-check [options of docker build]
    make cache-check ARGS='--secret id=uv.toml,src=uv.toml'

Builds a copy of the service in whose folder it runs, changes one thing at a time and builds again. For each change it
prints the seconds of the build, how many packages were downloaded and installed, and how much a push would send: the
layers that are new, compressed by gzip. A base image is changed by a layer of some bytes on top of it.

What was installed is read from the layers that were made, so a quiet installer hides nothing; what was downloaded
only the installer knows, so there it must not be quiet.

Arguments of the Dockerfile whose names speak of a commit or a version get a new value as one of the changes.
One that only looks so is left alone when its value is given: ARGS='--build-arg GIT_VERSION=2.47'

Ends with 0 when nothing is done in vain, 1 when something is or a build fails, 2 without a service or a Docker engine.
"""

import importlib
import re
import secrets
import signal
import sys
import tarfile
import tempfile
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from layercake.builds import Build, Builder, BuildError, Step, copy_project, docker, package_name

CODE = ("**/__init__.py", "*.py")  # packages, and modules beside them
PROD = "requirements/prod.txt"
DEV = "requirements/dev.txt"
SETTINGS = ("pyproject.toml", "gunicorn.conf.py")  # of linters, of the server: nothing to install depends on them
CHANGES_OFTEN = re.compile(
    r"(.*_)?(GIT|SHA|COMMIT|REVISION|REF|TIMESTAMP|BUILD_(ID|NUMBER|DATE|TIME))(_.*)?|((APP|IMAGE|SERVICE)_)?VERSION"
)


class Tools(NamedTuple):
    """The service's own tools: they say what its locks mean."""

    layers: Any
    lock: Any
    pins: Any

    @classmethod
    def of(cls, project: Path) -> "Tools":
        """Return those of a service. They import each other by name, and stay in this process."""
        sys.path.insert(0, str(project / "tools"))
        return cls(*map(importlib.import_module, cls._fields))


def main(options: Sequence[str]) -> int:
    """Check the service in the working folder; return the exit status."""
    if {"-h", "--help"} & {*options}:
        print(__doc__)
        return 0
    project = Path.cwd()
    if not (project / "tools" / "lock.py").is_file():
        say(f"{project} is no service of this template: it has no tools/lock.py; run this in the folder of one.")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    try:
        docker("version")
        docker("buildx", "version")
    except (BuildError, OSError) as error:
        say(f"no Docker engine with buildx answers ({error}); start or install it.")
        return 2
    tools = Tools.of(project)
    try:
        tools.lock.CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="cache-check-", dir=tools.lock.CACHE) as scratch:
            copy_project(project, Path(scratch, "context"))
            builder = Builder(Path(scratch), options, tools.lock.wait)
            try:
                builds, reasons = check(builder, tools)
            finally:
                builder.remove_images()
    except KeyboardInterrupt:
        say("interrupted; its images and files are removed again.")
        return 130
    except (BuildError, tools.pins.LockError, OSError, tarfile.TarError) as error:
        say(str(error))
        return 1
    print(table(builds))
    print("FAIL: a build does more than it has to." if reasons else "PASS: a build reinstalls only what changed.")
    print("".join(f"  {reason}\n" for reason in reasons), end="")
    return 1 if reasons else 0


# The changes, and what each may cost


def check(builder: Builder, tools: Tools) -> tuple[list[Build], list[str]]:
    """Return the builds, and every reason to be unhappy with them."""
    layers, lock, parse = tools.layers, tools.lock, tools.pins.parse
    prod, dockerfile = builder.read(PROD), builder.read("Dockerfile")
    now, before, changed = parse(prod, PROD), lock.read_layers(parse), lock.share_changed()
    pin = spare_pin(builder.read(DEV), now.keys() | before.everything.keys())
    delta = {name for name, known in now.items() if before.everything.get(name) != known}
    arguments = changing_arguments(dockerfile, builder.options)
    builder.arguments = new_values(arguments)
    builder.write(edited(builder, PROD, "requirements/layers/*.lock"))  # no earlier build has left it in the cache

    first = builder.build("first build", {}, before=None)
    nothing = builder.build("nothing changed", {}, before=first)
    code = builder.build("code changed", code_of(builder), before=first)
    settings = builder.build("settings changed", edited(builder, *SETTINGS), before=first)
    readme = builder.build("README or test changed", edited(builder, "README.md", "tests/**/*.py"), before=first)
    version = builder.build("version changed", {}, *new_values(arguments), before=first) if arguments else None
    added = builder.build("one package added", {PROD: fresh(prod + pin)}, before=first)
    large = min(before.own, default="")
    own = edited(builder, lock.LAYER_LOCK.format(large)) if large else {}
    bumped = builder.build("one large package", own, before=first) if large else None
    known = parse(prod + pin, PROD)
    service = {name: known[name] for name in before.service if name in known}
    baseline = {name: known[name] for name in known if name not in (*before.own, *service)}
    locks = {PROD: fresh(prod + pin), lock.BASELINE_LOCK: fresh(layers.write_shared(baseline))}
    locks |= {lock.SERVICE_LOCK: fresh(layers.write_shared(service))} if before.service else {}
    rebaselined = builder.build("new baseline", locks, before=first)
    # The package that was added before is one that nothing in the project can need.
    removed = builder.build("one package removed", locks | {PROD: fresh(prod)}, before=rebaselined)
    based = builder.build("base image changed", {"Dockerfile": on_another_base(dockerfile)}, before=first)
    builder.read_images()

    reasons = judge_idle(nothing, "It reads what differs every time, or is told not to use the cache.")
    reasons += judge_unchanged(code, "Move what copies or mounts the code below it.")
    if not code.pushed:
        reasons.append(f"{code.event}: no {' or '.join(CODE)} is in the image; COPY the code in its last stage.")
    reasons += judge_unchanged(settings, f"Move what copies or mounts {' or '.join(SETTINGS)} below it.")
    reasons += judge_idle(readme, "Copy or mount only what the service needs.")
    if version:
        reasons += judge_unchanged(version, f"Move ARG {', '.join(arguments)} and what uses it below it.")
    reasons += judge_added(added, package_name(pin), delta)
    reasons += judge_installed(bumped, delta | {large}) if bumped else []
    reasons += judge_installed(removed, delta & before.own.keys())
    reasons += judge_downloads(rebaselined)
    if changed > layers.SHARE:
        grown = f"baseline: {changed:.0%} of the small packages has changed since their layers were made"
        reasons.append(f"{grown}, and is installed again with every change. Run `make rebaseline`.")
    builds = [first, nothing, code, settings, readme, version, added, bumped, removed, rebaselined, based]
    return [build for build in builds if build], reasons


def judge_idle(build: Build, advice: str) -> list[str]:
    """Return why a build is wrong that had nothing to do."""
    ran = [f"{build.event}: {labels(build.steps)} ran in vain. {advice}"] if build.steps else []
    return judge_unchanged(build, advice) or ran


def judge_unchanged(build: Build, advice: str) -> list[str]:
    """Return why a build is wrong that had nothing to install."""
    if again := build.installed:
        return [f"{build.event}: {names(again)} installed again by {labels(build.installers)}. {advice}"]
    if quiet := build.named_installers:  # in another stage, and what is copied from there is not new
        return [f"{build.event}: {labels(quiet)} ran an installer again. {advice}"]
    return []


def judge_added(build: Build, added: str, delta: set[str]) -> list[str]:
    """Return why a build is wrong that had one package to install, and perhaps the delta that was there already."""
    if added not in build.packages:
        return [f"{build.event}: it is not in the image; let the Dockerfile install {PROD}."]
    return judge_installed(build, delta | {added})


def judge_installed(build: Build, allowed: set[str]) -> list[str]:
    """Return why a build is wrong that had only some packages to install."""
    if others := build.installed - allowed:
        advice = f"Install requirements/layers/baseline.lock in one step, and in a later one what {PROD} has besides."
        return [f"{build.event}: {names(others)} installed again by {labels(build.installers)}. {advice}"]
    return []


def judge_downloads(build: Build) -> list[str]:
    """Return why a build is wrong that had to install everything again, when a cache mount could hold it all."""
    reasons = []
    if steps := [step for step in build.steps if step.downloads]:
        advice = "Mount a cache at the installer's own path, without UV_NO_CACHE or --no-cache-dir"
        advice += "; pip also needs an index that allows caching."
        packages = "1 package" if build.downloads == 1 else f"{build.downloads} packages"
        reasons.append(f"{build.event}: {packages} downloaded again by {labels(steps)}. {advice}")
    if build.packages - build.spoken or not build.spoken:
        advice = "Let the installer speak: no -q, --quiet or PIP_QUIET."
        reasons.append(f"{build.event}: {labels(build.installers)} did not say what is downloaded. {advice}")
    return reasons


# What to change


def fresh(text: str) -> str:
    """Return a text with a comment at its end that no earlier build has seen."""
    return f"{text}\n# {secrets.token_hex(8)}\n"


def edited(builder: Builder, *patterns: str) -> dict[str, str]:
    """Return another text for those of the named files that the project has; the names may be globs."""
    paths = [path for pattern in patterns for path in builder.context.glob(pattern)]
    return {str(path.relative_to(builder.context)): fresh(path.read_text(encoding="utf-8")) for path in paths}


def code_of(builder: Builder) -> dict[str, str]:
    """Return another text for the code."""
    return {name: text for name, text in edited(builder, *CODE).items() if name not in SETTINGS}


def spare_pin(dev: str, taken: Container[str]) -> str:
    """Return a pin with its hashes from dev.txt, not taken: small and pure."""
    pins: list[str] = re.findall(r"^[a-z0-9._-]+==[^ ;]+ \\\n(?: +--hash.*\n)+", dev, re.MULTILINE)
    spare = [pin for pin in pins if package_name(pin) not in taken]
    if not spare:
        raise BuildError(f"{DEV} has nothing to try that {PROD} lacks; add iniconfig to it, and run `make lock`.")
    # A pure package has the fewest files; one with a single file may have no wheel.
    return min(spare, key=lambda pin: (pin.count("--hash=") < 2, pin.count("--hash="), pin))


def changing_arguments(dockerfile: str, options: Iterable[str]) -> list[str]:
    """Return the build arguments that change with a commit, going by their names, without those given as options."""
    stages = re.split(r"^FROM ", dockerfile, maxsplit=1, flags=re.MULTILINE)[-1]
    found = [word.partition("=")[0] for line in re.findall(r"^ARG (.+)", stages, re.MULTILINE) for word in line.split()]
    given = {option.removeprefix("--build-arg=").partition("=")[0] for option in options}
    return sorted({name for name in found if CHANGES_OFTEN.fullmatch(name)} - given)


def new_values(arguments: Iterable[str]) -> list[str]:
    """Return docker options that give arguments values never used before, fit for a commit, a number, a version."""
    values = {name: "0.0." * name.endswith("VERSION") + str(10**39 + secrets.randbelow(10**39)) for name in arguments}
    return [f"--build-arg={name}={value}" for name, value in values.items()]


def on_another_base(dockerfile: str) -> str:
    """Return a Dockerfile whose base images have one layer more, in need of no shell, right or registry."""
    stages, lines = {"scratch"}, []
    for line in dockerfile.splitlines():
        lines.append(line)
        if match := re.fullmatch(r"FROM (?:--\S+ +)*(\S+)(?: +AS +(\S+))? *", line, re.IGNORECASE):
            if match[1] not in stages:
                lines.append(f"COPY <<EOF /.cache-check\n{secrets.token_hex(8)}\nEOF")
            stages.add(match[2])
    return "\n".join(lines) + "\n"


# Telling


def table(builds: Iterable[Build]) -> str:
    """Return what each build did, a line each."""
    rows = [("event", "seconds", "downloaded", "installed", "pushed")]
    for build in builds:
        pushed = size(build.pushed) if build.before else "all"
        rows.append((build.event, f"{build.seconds:.1f}", f"{build.downloads}", f"{len(build.installed)}", pushed))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    events = [row[0].ljust(widths[0]) for row in rows]
    figures = ["  ".join(map(str.rjust, row[1:], widths[1:])) for row in rows]
    return "\n".join(map("  ".join, zip(events, figures, strict=True)))


def size(count: float) -> str:
    """Return a number of bytes in the unit that fits."""
    for unit in ("B", "kB", "MB"):
        if count < 999.95:
            return f"{count:.{unit != 'B':d}f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def names(packages: set[str]) -> str:
    """Return the packages by name when they are few, else how many there are."""
    return ", ".join(sorted(packages)) if len(packages) <= 3 else f"{len(packages)} packages"


def labels(steps: Iterable[Step]) -> str:
    """Return the places of steps, as the build log has them."""
    return ", ".join(f"[{step.label}]" for step in steps)


def say(message: str) -> None:
    """Tell the person who waits; standard output is for the result."""
    print(f"cache-check: {message}", file=sys.stderr, flush=True)
