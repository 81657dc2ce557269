"""Finds the pins that move for what is new: a pin that is kept is a wish, never a wall.

A resolver that keeps pins takes a release of the new package that goes with them, and be it ten years old. So uv is
asked, whichever the dependency manager: first what the newest is that fits what the service asks for, then what goes
with that of the pins there are. Standard library only.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pins import LockError, normalised

Pins = dict[str, str]
"""Versions, by name."""


class Resolver:
    """Asks uv for a resolution.

    Args:
        run: runs a Python that has uv, in `work`: a title and arguments. Raises LockError.
        work: a folder for its files; wheels of the project are in its requirements/wheels.
        python: the version of Python that it is for, like "3.14".
    """

    def __init__(self, run: Callable[..., None], work: Path, python: str) -> None:
        self.run, self.work = run, work
        self.options = ["--no-header", "--no-annotate", "--python-version", python, "--python-platform", "linux"]
        self.options += ["--no-build"]  # what has no wheel is left to the dependency manager: building runs its code
        if (work / "requirements" / "wheels").exists():
            self.options += ["--find-links", "requirements/wheels"]

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
        output = self.work / "found.txt"
        for path, lines in (
            (self.work / "requirements" / "asked.in", asked),
            (self.work / "limits.txt", limits),
            (output, exactly(kept)),
        ):
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        files = ["--constraints", "limits.txt", "--output-file", output.name, "requirements/asked.in"]
        self.run(title, "-m", "uv", "pip", "compile", *self.options, *files)
        return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^\s;]+)", output.read_text(encoding="utf-8")))


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
            if "unsatisfiable" not in str(error):
                raise
            # It does not go with something else that is asked for, whatever the pins.
            found = beside(resolver.resolve("finding the newest that fits", first + asked, {}, exactly(fixed)))
    return {name: version for name, version in found.items() if pins.get(name) != version}


def reason(resolver: Resolver, asked: list[str], wanted: Pins, name: str, version: str) -> str:
    """Return what a pin is in the way of, as in "app==9 depends on lib<2"; "" when uv does not tell."""
    try:
        resolver.resolve(f"asking why {name} moves", asked, {}, exactly({**wanted, name: version}))
    except LockError as error:
        found = re.search(rf"\S+ depends on {re.escape(name)}\S+", str(error))
        return found[0].rstrip(",") if found else ""
    return ""


def requirements(text: str, read: Callable[[str], str]) -> list[str]:
    """Return what a requirements file asks for, and the files that it includes, with its other options.

    Args:
        text: what stands in it.
        read: returns the text of a file that it includes.
    """
    asked = []
    for line in re.sub(r"(?m)(^|\s)#.*$", "", text).replace("\\\n", " ").splitlines():
        if included := re.match(r"\s*(?:-r|--requirement)[\s=]*(\S+)", line):
            with contextlib.suppress(OSError):  # the dependency manager will name the file
                asked += requirements(read(included[1]), read)
        elif line.strip() and not re.match(r"\s*(?:-c|--constraint)[\s=]*prod\.txt\s*$", line):
            asked.append(line.strip())
    return asked


def name_of(requirement: str) -> str:
    """Return the package that a requirement asks for."""
    return normalised(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])


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
