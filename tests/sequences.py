"""Runs tools/sync.py from lock to lock, without an image, and says where the result differs from that of a cold build."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import HERE, SCAFFOLD, tool
from tests.wheels import Shelf

TOOLS = SCAFFOLD / "tools"
DATE = 315532800  # 1980-01-01

Lock = tuple[str, ...]  # the keys of wheels, see tests/wheels.py
Tree = dict[str, tuple[Any, ...]]

# Each sync in a process of its own, without the start of a Python: that would be a third of the time.
SERVER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import sync
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.umask(request["umask"])
        os.environ.update(request["environment"])
        sys.exit(sync.main(request["arguments"]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Step(NamedTuple):
    """A change of the lock: in one environment, or on layers that were made apart."""

    want: Lock
    own: Lock | None = None
    """The packages with a layer of their own; None where there are no layers."""
    baseline: Lock = ()


class Sync:
    """tools/sync.py in a process that waits for orders.

    Args:
        tools: the folder that it is in.
        seed: of the hashes of strings, which may not decide anything.
    """

    def __init__(self, tools: Path, seed: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-BS", "-c", SERVER, str(tools)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        )  # fmt: skip

    def run(self, arguments: Sequence[object], environment: Mapping[str, str], umask: int, output: Path) -> int:
        """Return how a run ended; `output` is the file that has what it said."""
        request = {"environment": environment, "umask": umask, "output": output, "arguments": [*map(str, arguments)]}
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request, default=str) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


class Failed(AssertionError):
    """What sync.py said when it failed."""


class Builder:
    """Has one virtual environment, as the image has one, and remembers what a cold build makes of each lock.

    Args:
        folder: where to work; it is made.
        shelf: the wheels.
        cache: the cache of uv.
        tools: the folder of the sync.py to run.
    """

    def __init__(self, folder: Path, shelf: Shelf, cache: Path, tools: Path = TOOLS) -> None:
        self.folder, self.shelf, self.cache = folder, shelf, cache
        self.venv = folder / "venv"
        self.modules = self.venv / "lib" / f"python{HERE}" / "site-packages"
        self.holds: Lock = ()
        self._cold: dict[frozenset[str], Tree] = {}
        self._layers: dict[frozenset[str], Path] = {}
        # A cold build happens elsewhere.
        self._here, self._elsewhere = Sync(tools, 1), Sync(tools, 2)
        folder.mkdir(parents=True)
        self.empty()

    def close(self) -> None:
        """End its processes."""
        self._here.close()
        self._elsewhere.close()

    def empty(self) -> None:
        """Make the environment of the image's `base` stage."""
        shutil.rmtree(self.venv, ignore_errors=True)
        self.modules.mkdir(parents=True)
        (self.venv / "bin").mkdir()
        python = os.path.realpath(sys.executable)
        (self.venv / "bin" / "python").symlink_to(python)
        config = f"home = {os.path.dirname(python)}\ninclude-system-site-packages = false\n"
        (self.venv / "pyvenv.cfg").write_text(config, encoding="utf-8")
        for path in (self.venv, *self.venv.rglob("*")):
            os.utime(path, (DATE, DATE), follow_symlinks=False)
        self.holds = ()

    def write(self, number: int, keys: Lock) -> Path:
        """Write a lock; return where it is."""
        path = self.folder / f"{number}.txt"
        path.write_text(self.shelf.lock(keys), encoding="utf-8")
        return path

    def environment(self, want: Lock) -> dict[str, str]:
        """Return what tells uv to take its wheels from the shelf, and nothing from anywhere else."""
        own = {"UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(self.cache)}
        return {**own, "UV_FIND_LINKS": self.shelf.links(want)}

    def arguments(self, want: Lock, *have: Lock, root: Path | None = None) -> list[object]:
        """Return the arguments of sync.py, after writing the locks."""
        wanted, *files = (self.write(number, keys) for number, keys in enumerate((want, *have)))
        there = ["--have", *files] if files else []
        return ["--want", wanted, *there, "--venv", self.venv, "--root", root or "/", "--uv", tool("uv")]

    def sync(
        self,
        want: Lock,
        *have: Lock,
        root: Path | None = None,
        check: bool = True,
        cold: bool = False,
        umask: int = 0o22,
    ) -> str:
        """Run sync.py; return what it says.

        Args:
            want: what shall be there.
            have: what is there, in several locks if it is made of several layers.
            root: where to make a layer, instead of in the environment.
            check: whether a failure is an error.
            cold: whether it happens elsewhere.
            umask: what files may not have, if nobody gives them a mode.
        """
        output = self.folder / "output"
        process = self._elsewhere if cold else self._here
        arguments = self.arguments(want, *have, root=root)
        code = process.run(arguments, self.environment(want), umask, output)
        said = output.read_text(encoding="utf-8")
        if check and code:
            raise Failed(f"sync.py ended with {code}:\n{said}")
        assert check or code == 1, f"sync.py ended with {code}:\n{said}"
        return said

    def cold(self, want: Lock) -> Tree:
        """Return what a sync from nothing makes, in the same place."""
        key = frozenset(want)
        if key not in self._cold:
            aside = self.venv.rename(self.folder / "aside")
            holds = self.holds
            self.empty()
            self.sync(want, cold=True)
            self._cold[key] = tree(self.venv)
            shutil.rmtree(self.venv)
            aside.rename(self.venv)
            self.holds = holds
        return self._cold[key]

    def layer(self, want: Lock) -> Path:
        """Return what a layer adds to the environment, made as the Dockerfile does."""
        key = frozenset(want)
        if key not in self._layers:
            root = self.folder / "layers" / str(len(self._layers))
            self.sync(want, root=root)
            self._layers[key] = root / self.venv.relative_to("/")
        return self._layers[key]

    def stack(self, *layers: Lock) -> None:
        """Make the environment of layers, as `COPY --link` does."""
        places = [self.layer(keys) for keys in layers]
        self.empty()
        for place in places:
            subprocess.run(["cp", "-a", f"{place}/.", self.venv], check=True)

    def take(self, step: Step) -> list[str]:
        """Take a step; return where the result differs from a cold build."""
        if step.own is None:
            self.sync(step.want, *([self.holds] if self.holds else []))
        else:
            layers = [*((key,) for key in sorted(step.own)), step.baseline]
            self.stack(*layers)
            self.sync(step.want, *layers)
        self.holds = step.want
        return differences(self.cold(step.want), tree(self.venv))

    def follow(self, steps: Iterable[Step], name: str = "these steps") -> None:
        """Take steps; say of the first that goes wrong what was done, and in what the result differs."""
        for number, step in enumerate(steps, 1):
            before = self.holds
            try:
                found = self.take(step)
            except Failed as error:
                found = [str(error)]
            layers = f"own={step.own}\n  baseline={step.baseline}" if step.own is not None else f"have={before}"
            assert not found, "\n  ".join(
                (f"transition {number} of {name} went wrong:", layers, f"want={step.want}", *found)
            )


def tree(folder: Path) -> Tree:
    """Return type, mode, owner, group, date and content of a folder and of all that is below it."""
    found: Tree = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            content = os.readlink(path)
        else:
            content = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        facts = (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, content)
        found[str(path.relative_to(folder))] = facts
    return found


def differences(cold: Tree, now: Tree) -> list[str]:
    """Return a line for each path that is not as it should be."""
    names = sorted(name for name in cold.keys() | now.keys() if cold.get(name) != now.get(name))
    return [f"{name}: cold {cold.get(name)}, here {now.get(name)}" for name in names]


def steps(chance: random.Random, packages: Mapping[str, Sequence[str]], count: int) -> Iterator[Step]:
    """Yield changes between some locks, back and forth, so that few cold builds are enough.

    Args:
        chance: decides.
        packages: the keys of the wheels that there are, by the name of the package.
        count: how many steps.
    """
    locks = [some(chance, packages) for _ in range(4 + count // 8)]
    names = {key: name for name, keys in packages.items() for key in keys}
    now: Lock = ()
    for _ in range(count):
        want = chance.choice(locks)
        if chance.random() < 0.7:
            yield Step(want)
        else:  # as in life, large packages are mostly those of the lock, and the baseline is older
            own = tuple(key for key in chance.choice((want, want, now)) if chance.random() < 0.3)
            taken = {names[key.removesuffix("@")] for key in own}
            older = chance.choice((now, want, *locks))
            yield Step(want, own, tuple(key for key in older if names[key.removesuffix("@")] not in taken))
        now = want


def some(chance: random.Random, packages: Mapping[str, Sequence[str]]) -> Lock:
    """Return a lock of some packages, few or many, now and then by URL."""
    share = chance.choice((0.15, 0.4, 0.7))
    picked = [chance.choice(keys) for keys in packages.values() if chance.random() < share]
    return tuple(key + ("@" if chance.random() < 0.05 else "") for key in picked)
