"""Asks uv what fits, whichever the dependency manager. Standard library only.

A pin that is kept is a wish, never a wall: a resolver that keeps pins takes a release of a new package that goes with
them, and be it ten years old. So uv says what the newest is that fits what the service asks for, and what goes with
that of the pins there are. And a lock is for every image: on Linux, either processor and any release of its Python.
"""

from __future__ import annotations  # an older Python may run tools/lock.py

import contextlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pins import BLOCK, LockError, blocks, name_of, normalised

Pins = dict[str, str]
"""Versions, by name."""

ONE_PYTHON = """[tool.uv]
environments = ["sys_platform == 'linux' and python_full_version >= '{0}' and python_full_version < '3.{1}'"]
"""
"""The settings with which uv resolves for one Python only, not for all that come after it."""


class Resolver:
    """Asks uv for a resolution.

    Args:
        run: runs a Python that has uv, in `work`: a title and arguments. Raises LockError.
        work: a folder for its files; wheels of the project are in its requirements/wheels.
        python: the version of Python that it is for, like "3.14".
    """

    def __init__(self, run: Callable[..., None], work: Path, python: str) -> None:
        self.run, self.work, self.python, self.platform = run, work, python, "linux"
        self.wheels = ["--find-links", "requirements/wheels"] if (work / "requirements" / "wheels").exists() else []

    def on_arm(self) -> Resolver:
        """Return another one, that resolves for arm64."""
        other = Resolver(self.run, self.work, self.python)
        other.platform = "aarch64-unknown-linux-gnu"
        return other

    def resolve(self, title: str, asked: Iterable[str], kept: Mapping[str, str], limits: Iterable[str] = ()) -> Pins:
        """Return the newest versions that fit what is asked for, within limits, and where they can, those that are kept.

        Args:
            title: what is shown while it runs.
            asked: requirements (PEP 508); the first come first where not all can be the newest.
            kept: the versions that are preferred.
            limits: requirements that only count for packages that are needed anyway.

        Raises:
            LockError: there are none.
        """
        options = ["--python-version", self.python, "--python-platform", self.platform, "--no-annotate"]
        options += ["--no-build"]  # what has no wheel is left to the dependency manager: building runs its code
        return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^\s;]+)", self.compile(title, asked, kept, limits, options)))

    def everywhere(self, title: str, asked: Iterable[str], kept: Mapping[str, str], limits: Iterable[str]) -> str:
        """Return the lines of a lock that holds what any machine needs, each with a marker that says which.

        The arguments are those of `resolve`, and so is what it raises.
        """
        options = ["--universal", "--python-version", self.python, "--generate-hashes"]
        return self.compile(title, asked, kept, limits, options)

    def compile(
        self, title: str, asked: Iterable[str], kept: Mapping[str, str], limits: Iterable[str], options: list[str]
    ) -> str:
        """Return the lock that `uv pip compile` makes. Raises LockError."""
        output = self.work / "found.txt"
        for path, lines in (
            (self.work / "requirements" / "asked.in", asked),
            (self.work / "limits.txt", limits),
            (output, exactly(kept)),
        ):
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        files = ["--constraints", "limits.txt", "--output-file", output.name, "requirements/asked.in"]
        self.run(title, "-m", "uv", "pip", "compile", "--no-header", *options, *self.wheels, *files)
        return output.read_text(encoding="utf-8")


def moves(resolver: Resolver, asked: list[str], pins: Pins, fixed: Pins, named: set[str]) -> Pins:
    """Return the version of each package that is new, or whose pin stands in the way of one that is.

    Args:
        resolver: what to ask.
        asked: what the service asks for, as requirements (PEP 508).
        pins: the versions that are locked.
        fixed: those that may not move.
        named: the packages that shall be the newest that fits.

    Raises:
        LockError: nothing fits.
    """
    options = [line for line in asked if line.startswith("-")]
    first = [line for line in asked if name_of(line) in named]
    first += options + sorted(named - {*map(name_of, first)})
    limits = [re.sub(r"\[.*?\]", "", line) for line in asked if line not in options] + exactly(fixed)

    def beside(newest: Pins) -> Pins:
        new = {name: version for name, version in newest.items() if name in named or name not in pins}
        kept = {name: version for name, version in pins.items() if name not in new}
        return resolver.resolve("keeping the other pins", asked, kept, exactly(fixed | new))

    if not named:  # only what may not move has changed
        found = beside({})
    else:
        try:
            found = beside(resolver.resolve(f"finding the newest {', '.join(sorted(named))}", first, {}, limits))
        except LockError as error:
            if not finds_nothing(error):
                raise
            # It does not go with something else that is asked for, whatever the pins.
            found = beside(resolver.resolve("finding the newest that fits", first + asked, {}, exactly(fixed)))
    return {name: version for name, version in found.items() if pins.get(name) != version}


def finds_nothing(error: LockError) -> bool:
    """Return whether uv has been told all, and has found that nothing fits."""
    return ": Because " in str(error)


def reason(resolver: Resolver, asked: list[str], wanted: Pins, name: str, version: str) -> str:
    """Return what a pin is in the way of, as in "app==9 depends on lib<2"; "" when uv does not tell."""
    try:
        resolver.resolve(f"asking why {name} moves", asked, {}, exactly({**wanted, name: version}))
    except LockError as error:
        found = re.search(rf"\S+ depends on {re.escape(name)}\S+", str(error))
        return found[0].rstrip(",") if found else ""
    return ""


def complete(lock: str, everywhere: str, *, drop: bool) -> str:
    """Return a lock that has what any image needs. Needs `packaging`.

    Args:
        lock: what a dependency manager made, which knows the machine that it runs on.
        everywhere: what `Resolver.everywhere` found.
        drop: whether what no image needs goes.
    """
    needed: dict[str, tuple[str, str]] = {}
    for found in BLOCK.finditer(everywhere):  # has a package several times, where it differs by Python
        asked = re.search(r" ; (.*?)(?: \\)?$", found[0].partition("\n")[0])
        kept = marker_in_lock(asked[1]) if asked else ""
        if kept is not None:
            needed.setdefault(normalised(found[1]), (found[0], kept))
    for name in blocks(everywhere).keys() - needed.keys() if drop else ():
        lock = lock.replace(blocks(lock).get(name, ""), "")
    for name, (lines, marker) in needed.items():
        there = blocks(lock).get(name, "")
        first, _, rest = (there or lines).partition("\n")
        new = re.sub(r"^(.*?)(?: ; .*?)?( \\)?$", rf"\1{marker}\2", first) + f"\n{rest}"
        if there:
            lock = lock.replace(there, new)
        else:
            body = lock.partition("\n\n#")[0]  # what pip-compile calls unsafe stands below
            later = next((text for known, text in blocks(body).items() if known > name), "")
            place = lock.index(later) if later else len(body)
            lock = lock[:place] + new + lock[place:]
    return lock


def marker_in_lock(marker: str) -> str | None:
    """Return what a lock keeps of a marker: the processor. None when no image needs the package. Needs `packaging`.

    A lock is for every release of its Python: what one of them needs, all of them get.
    """
    from packaging.markers import Marker

    linux = {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"}
    releases = ["{}.{}.{}".format(*sys.version_info[:2], patch) for patch in (0, 99)]
    needed = [
        processor
        for processor in ("aarch64", "x86_64")
        if not marker
        or any(
            Marker(marker).evaluate({**linux, "platform_machine": processor, "python_full_version": release})
            for release in releases
        )
    ]
    if len(needed) == 1:
        return f' ; platform_machine == "{needed[0]}"'
    return "" if needed else None


def requirements(name: str, read: Callable[[str], str]) -> list[str]:
    """Return what a requirements file asks for, and the files that it includes, with their constraints.

    Args:
        name: the file.
        read: returns the text of a file, by its name.

    Raises:
        LockError: there is an option in it that would be needed wherever the lock is used.
    """
    asked = []
    text = read(name)
    for line in re.sub(r"(?m)(^|\s)#.*$", "", text).replace("\\\n", " ").splitlines():
        if included := re.match(r"\s*(?:-r|--requirement)[\s=]*(\S+)", line):
            with contextlib.suppress(OSError):  # the dependency manager will name the file
                asked += requirements(included[1], read)
        elif re.match(r"\s*-(?!c|-constraint)", line):
            raise LockError(
                f"requirements/{name} has the option {line.split()[0].partition('=')[0]}, which a lock cannot keep; "
                "a package index belongs in the configuration of pip, a wheel of your own in requirements/wheels/"
            )
        elif line.strip() and not re.match(r"\s*(?:-c|--constraint)[\s=]*prod\.txt\s*$", line):
            asked.append(line.strip())
    return asked


def exactly(pins: Mapping[str, str]) -> list[str]:
    """Return versions as requirements."""
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


UNMET = """\
import json, sys
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
linux = {"os_name": "posix", "platform_system": "Linux", "sys_platform": "linux"}
asked, pins = json.load(sys.stdin)
for line in asked:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:  # a path, or a mistake: the dependency manager will say so
        continue
    if requirement.url or requirement.marker and not requirement.marker.evaluate(linux):
        continue
    pin = pins.get(canonicalize_name(requirement.name))
    if pin is None or not requirement.specifier.contains(pin, prereleases=True):
        print(canonicalize_name(requirement.name))
"""
"""Prints the packages whose pin is not what is asked for. Needs a Python that has `packaging`."""

LOWERED = """\
import json, sys
from packaging.version import Version
old, new = json.load(sys.stdin)
print(*(name for name in old if name in new and Version(new[name]) < Version(old[name])))
"""
"""Prints the packages that have an older version in the second of two locks. Needs a Python that has `packaging`."""


if __name__ == "__main__":
    path, everywhere = map(Path, sys.argv[1:3])
    new = complete(*(file.read_text(encoding="utf-8") for file in (path, everywhere)), drop="--drop" in sys.argv)
    path.write_text(new, encoding="utf-8", newline="\n")
