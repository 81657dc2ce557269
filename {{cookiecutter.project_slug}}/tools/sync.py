"""Makes a virtual environment hold what a lock lists, as if nothing else had ever been in it.

    sync.py --want baseline.lock                           from nothing
    sync.py --have layers/*.lock --want prod.txt           only what differs from there

The Dockerfile runs it in every step that installs. What is there is what the locks after --have list, so a pin with
another version, hash or origin is installed anew. Whose a file is, the RECORDs of the packages say. Where two of them
bring one file, it is that of the package whose name sorts last, whichever came first. Standard library only, and of
that only what the base stage has bytecode of.
"""

import argparse
import base64
import hashlib
import importlib.util
import marshal
import os
import shutil
import stat
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from csv import reader
from types import CodeType

from pins import LockError, Pin, normalised, parse, render

DATE = 315532800  # 1980-01-01, for everything that is installed: every machine makes the same bytes
VERSION = "python{}.{}".format(*sys.version_info)
OWN = ("pyvenv.cfg", "bin/python", "bin/python3", f"bin/{VERSION}")  # what makes a folder an environment
ENVIRONMENT = "the virtual environment"
WHEELS = "/tmp/wheels"  # bound in by those who have wheels of their own, see docs/packages.md

Owners = dict[str, dict[str, str]]
"""For each file, the packages that bring it, each with the hash that it has there as RECORDs write it."""


def main(arguments: Sequence[str]) -> int:
    """Return 1 when the environment could not be brought to the lock, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--have", nargs="+", default=[], metavar="LOCK", help="what is there")
    parser.add_argument("--want", nargs="+", required=True, metavar="LOCK", help="what shall be there")
    parser.add_argument("--venv", default="/opt/venv")
    parser.add_argument("--root", default="/", help="what becomes / in the image: where a layer of its own is made")
    parser.add_argument("--uv", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "uv"))
    options = parser.parse_args(arguments)
    try:
        sync(Environment(options.venv, options.uv, options.root), read(options.have), read(options.want))
    except LockError as error:
        print(f"sync: {error}.", file=sys.stderr)
        return 1
    return 0


def read(files: Iterable[str]) -> dict[str, Pin]:
    """Return the pins of several locks, by name. Raises LockError."""
    pins: dict[str, Pin] = {}
    for path in files:
        with open(path, encoding="utf-8") as file:
            found = parse(file.read(), os.path.basename(path))
        if name := next((name for name, pin in found.items() if pins.get(name, pin) != pin), ""):
            raise LockError(f"{os.path.basename(path)} has {found[name]}, another lock {pins[name]}; run `make lock`")
        pins |= found
    return pins


def package_of(folder: str) -> str:
    """Return the package that a folder like flask-3.1.3.dist-info tells of; "" for another folder."""
    stem, _, kind = folder.rpartition(".")
    return normalised(stem.rpartition("-")[0]) if kind == "dist-info" else ""


class Environment:
    """A virtual environment.

    Args:
        home: where it is, and its Python.
        uv: the command that installs into it.
        root: below which folder its files go, if the layer that they are for is made there.
    """

    def __init__(self, home: str, uv: str, root: str = "/") -> None:
        self.home, self.uv, self.root = os.path.abspath(home), uv, os.path.abspath(root)
        self.path = os.path.join(self.root, self.home.lstrip("/"))
        self.modules = os.path.join(self.path, "lib", VERSION, "site-packages")

    def owners(self) -> Owners:
        """Return whose each file is, going by the RECORDs."""
        found: Owners = {os.path.join(self.path, name): {ENVIRONMENT: ""} for name in OWN}
        for entry in os.scandir(self.modules):
            if name := package_of(entry.name):
                for path in files_below(entry.path):
                    found[path] = {name: ""}
                with open(os.path.join(entry.path, "RECORD"), newline="", encoding="utf-8") as file:
                    for path, digest, _ in reader(file):
                        found.setdefault(os.path.normpath(os.path.join(self.modules, path)), {})[name] = digest
        return found

    def packages(self) -> set[str]:
        """Return the names of the packages that are there, whatever a lock says."""
        return {*filter(None, map(package_of, os.listdir(self.modules)))}

    def install(self, pins: Iterable[Pin], *where: str) -> None:
        """Install pins, and nothing that they need; `where` are options of uv. Raises LockError."""
        listed = os.path.join(self.path, ".sync.txt")
        with open(listed, "w", encoding="utf-8") as file:
            file.write(render(pins))
        options = ["--no-deps", "--require-hashes", "--no-build", "--link-mode", "copy", "--requirement", listed]
        options += ["--find-links", WHEELS] if os.path.isdir(WHEELS) else []
        where = where or (("--prefix", self.path) if self.path != self.home else ())
        command = [self.uv, "pip", "install", "--python", os.path.join(self.home, "bin", "python"), *where, *options]
        failed = os.spawnvp(os.P_WAIT, self.uv, command)
        os.unlink(listed)
        if failed:
            raise LockError(
                "a package could not be installed, see above. If it has no wheel for this Python, "
                "see 'A package without a wheel' in docs/packages.md"
            )

    def restore(self, pin: Pin, paths: Iterable[str]) -> None:
        """Give files the content and mode that they have in one package. Raises LockError."""
        beside = os.path.join(self.path, ".sync")
        self.install([pin], "--prefix", beside)
        for path in paths:
            shutil.copy(os.path.join(beside, os.path.relpath(path, self.path)), path)
        shutil.rmtree(beside)

    def bytecode(self, path: str) -> str:
        """Return where the bytecode of a module is; "" for a file that is no module."""
        is_module = path.startswith(self.modules) and path.endswith(".py")
        return importlib.util.cache_from_source(path) if is_module else ""


def sync(venv: Environment, have: dict[str, Pin], want: dict[str, Pin]) -> None:
    """Bring an environment from what it has to what it shall have. Raises LockError."""
    os.makedirs(venv.modules, exist_ok=True)
    there = venv.packages()  # a Dockerfile may have lost the step of a layer
    have = {name: pin for name, pin in have.items() if name in there}
    gone = {name for name, pin in have.items() if want.get(name) != pin}
    new = {name: pin for name, pin in want.items() if have.get(name) != pin}
    unsettled = set()  # files that a removed package brought too: their content may be from it
    for path, names in venv.owners().items() if gone else ():
        if is_bytecode(path):
            continue  # goes with its module, whoever brought it
        if names.keys() <= gone:
            remove(path)
            remove(venv.bytecode(path))
        elif not gone.isdisjoint(names):
            unsettled.add(path)
    remove_empty_folders(venv)  # uv takes that of a removed package's description for the package
    if new:
        venv.install(new.values())
    owners = venv.owners()
    refuse_clashes(owners)
    brought = {path for path, names in owners.items() if not names.keys().isdisjoint(new)}
    shared = {path: names for path, names in owners.items() if len(names) > 1 and not is_bytecode(path)}
    unsettled |= {path for path in brought & shared.keys() if len(set(shared[path].values())) > 1}
    for path, names in shared.items():  # in two layers the upper one may hide the right file, or lack its bytecode
        if names[max(names)] != digest_of(path) or is_stale(venv.bytecode(path), path):
            unsettled.add(path)
    settle(venv, {path: owners[path] for path in unsettled}, want)
    tidy(venv, brought)
    modules = {path: venv.bytecode(path) for path in (*map(source_of, brought), *unsettled)}
    compile_modules({path: target for path, target in modules.items() if target and os.path.exists(path)}, venv.root)
    remove_empty_folders(venv)
    finish(venv, shared.keys())


def refuse_clashes(owners: Owners) -> None:
    """Raise LockError when a package replaces what makes an environment, or has a file where another has a folder."""
    folders: dict[str, str] = {}
    for path, names in owners.items():
        if ENVIRONMENT in names and len(names) > 1:
            package = min(names.keys() - {ENVIRONMENT})
            raise LockError(f"{package} brings {path}, which belongs to {ENVIRONMENT}; it cannot be installed")
        while (path := os.path.dirname(path)) not in folders:
            folders[path] = min(names)
    for path in owners.keys() & folders.keys():
        raise LockError(f"{path} is a file of {min(owners[path])} and a folder of {folders[path]}; remove one of them")


def settle(venv: Environment, owners: Owners, pins: dict[str, Pin]) -> None:
    """Give each file to the package whose name sorts last of those that bring it. Raises LockError."""
    won: dict[str, list[str]] = {}
    for path, names in sorted(owners.items()):
        if len(names) > 1:
            print(f"sync: {' and '.join(sorted(names))} bring {path}; it is that of {max(names)}", file=sys.stderr)
        won.setdefault(max(names), []).append(path)
    for name, paths in won.items():
        venv.restore(pins[name], paths)


def tidy(venv: Environment, brought: Iterable[str]) -> None:
    """Remove what differs from build to build: bytecode of others, what uv writes down for itself."""
    for path in brought:
        folder, name = os.path.split(path)
        if is_bytecode(path):
            remove(path)
        elif name == "uv_cache.json":  # of a wheel in a folder: holds a time
            remove(path)
            with open(os.path.join(folder, "RECORD"), "r+", encoding="utf-8", newline="") as record:
                kept = [line for line in record if "/uv_cache.json," not in line]
                record.seek(0)
                record.truncate()
                record.writelines(kept)
    remove(os.path.join(venv.path, ".lock"))


def remove_empty_folders(venv: Environment) -> None:
    """Remove what a cold build would not make; but an environment has a folder for modules."""
    for place, _, _ in os.walk(venv.path, topdown=False):
        if place != venv.modules and not os.listdir(place):
            os.rmdir(place)


def compile_modules(targets: dict[str, str], root: str) -> None:
    """Write the bytecode of modules, on all processors. One that does not compile has none, as with pip and uv.

    Args:
        targets: module -> bytecode.
        root: what becomes / in the image.
    """
    modules, workers = sorted(targets), os.cpu_count() or 1
    running = {}
    for share in (modules[number::workers] for number in range(min(workers, len(modules)))):
        if child := os.fork():
            running[child] = share
            continue
        warnings.simplefilter("ignore")
        for module in share:
            compile_module(module, targets[module], os.path.join("/", os.path.relpath(module, root)))
        os._exit(0)
    for child, share in running.items():
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status) and status:
            raise LockError("bytecode could not be written, see above")
        if status and len(share) > 1:  # the compiler crashed: each alone
            for module in share:
                compile_modules({module: targets[module]}, root)


def compile_module(module: str, target: str, name: str) -> None:
    """Write the bytecode of a module that the image has as `name`, valid whatever its timestamp (PEP 552, unchecked).

    Where times are rewritten, Python takes the usual kind for stale and compiles it again at every start.
    """
    remove(target)
    with open(module, "rb") as file:
        source = file.read()
    try:
        code, kept = repeatable(compile(source, name, "exec", dont_inherit=True))
        data = marshal.dumps(code)
    except Exception:  # for another Python, or too deep for the compiler: found out if it is ever imported
        return
    del kept
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + importlib.util.source_hash(source) + data)


def repeatable(code: CodeType) -> tuple[CodeType, list[object]]:
    """Return code that marshal writes alike whatever this process has compiled before, while the list is kept.

    What is used once is marked otherwise than what is used twice, which depends on what other modules have in common
    with this one, and on whether the compiler made one of two equal sets. So all is used twice, and no two sets are one.
    """
    kept: list[object] = [code.co_name, code.co_qualname, code.co_filename]
    kept += (*code.co_names, *code.co_varnames, *code.co_cellvars, *code.co_freevars)
    constants: list[object] = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            constant, more = repeatable(constant)
            kept += more
        elif isinstance(constant, frozenset):
            constant = frozenset([*constant])
        if isinstance(constant, tuple | frozenset):
            kept += constant
        constants.append(constant)
    return code.replace(co_consts=tuple(constants)), kept + constants


def finish(venv: Environment, shared: Collection[str]) -> None:
    """Give everything the fixed date, and a mode that no umask decides. What has them already stays in its layer.

    Args:
        venv: what to work on.
        shared: the files of several packages. They are executable in bin only: which of them a layer had its mode from
            is not known.
    """
    paths = [venv.path]
    while venv.root != "/" and (above := os.path.dirname(paths[-1])) != venv.root:  # what leads there is in the layer
        paths.append(above)
    paths += [os.path.join(place, name) for place, folders, files in os.walk(venv.path) for name in folders + files]
    scripts = os.path.join(venv.path, "bin")
    for path in paths:
        status = os.lstat(path)
        executable = os.path.dirname(path) == scripts if path in shared else status.st_mode & stat.S_IXUSR
        mode = 0o755 if executable else 0o644
        if stat.S_IMODE(status.st_mode) != mode and not stat.S_ISLNK(status.st_mode):
            os.chmod(path, mode)
        if status.st_mtime_ns != DATE * 10**9:
            os.utime(path, (DATE, DATE), follow_symlinks=False)


def is_bytecode(path: str) -> bool:
    """Return whether a file is bytecode of a module beside its folder. All of that is ours, also where a wheel has some."""
    return os.path.basename(os.path.dirname(path)) == "__pycache__"


def source_of(path: str) -> str:
    """Return the module that a file is the bytecode of, in this Python; the path itself for other files."""
    folder, name = os.path.split(path)
    module = name.removesuffix(f".{sys.implementation.cache_tag}.pyc")
    return os.path.join(os.path.dirname(folder), f"{module}.py") if is_bytecode(path) and module != name else path


def is_stale(target: str, module: str) -> bool:
    """Return whether there is bytecode, but of another source than a module has."""
    if not os.path.exists(target):
        return False
    with open(target, "rb") as bytecode, open(module, "rb") as source:
        return bytecode.read(16)[8:] != importlib.util.source_hash(source.read())


def digest_of(path: str) -> str:
    """Return the hash of a file as RECORDs write it."""
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def files_below(folder: str) -> Iterator[str]:
    """Yield the path of every file below a folder."""
    for place, _, names in os.walk(folder):
        yield from (os.path.join(place, name) for name in names)


def remove(path: str) -> None:
    """Remove a file, if there is one."""
    if path and os.path.lexists(path):
        os.unlink(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
