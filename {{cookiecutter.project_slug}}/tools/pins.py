"""Reads and writes locks: what is pinned, and which hashes are allowed. Standard library only, quick to import."""

import re
from collections.abc import Iterable
from typing import NamedTuple

PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?(==[^\s;@,*=]+| ?@ ?\S+)( ?;.*)?")
HASH = re.compile(r"\w+:\w+")
BLOCK = re.compile(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[.*?\])?(?:==| @ ).*\n(?:[ \t].*\n)*")
"""The lines of a package in a lock, with what is noted below it."""

RESTORE = "restore it, or delete it and run `make lock`"


class LockError(RuntimeError):
    """What went wrong, in one line that also says what to do."""


class Pin(NamedTuple):
    """One package of a lock. Two that are equal install the same files."""

    name: str
    """As indexes spell it (PEP 503)."""
    origin: str
    """Its version, as in `==3.1.3`, or ` @ ` and its URL."""
    marker: str
    """Where it is needed, as in ` ; sys_platform == "linux"`; mostly empty."""
    hashes: tuple[str, ...]
    """Sorted, like `sha256:0123`."""

    def __str__(self) -> str:
        return f"{self.name}{self.origin}{self.marker}"


def normalised(name: str) -> str:
    """Return the name of a package as indexes spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """Return the package that a requirement asks for."""
    return normalised(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])


def blocks(lock: str) -> dict[str, str]:
    """Return the lines of each package of a lock, by name."""
    return {normalised(found[1]): found[0] for found in BLOCK.finditer(lock)}


def parse(text: str, file: str) -> dict[str, Pin]:
    """Return what a lock pins, by name.

    Args:
        text: what stands in it.
        file: what messages call it.

    Raises:
        LockError: a line is no pin, a pin has no hash, or a package is pinned twice.
    """
    pins: dict[str, Pin] = {}
    for line in re.sub(r"(?m)^\s*#.*$|\s#.*$", "", text).replace("\\\n", " ").splitlines():
        requirement, *hashes = (part.strip() for part in re.split(r"\s--hash=", line))
        if not requirement:
            continue
        found = PIN.fullmatch(requirement)
        if not found or not all(map(HASH.fullmatch, hashes)):
            raise LockError(f"{file} has a line that pins nothing: {line.strip()[:80]!r}; {RESTORE}")
        pin = Pin(normalised(found[1]), found[2], found[3] or "", tuple(sorted(hashes)))
        if not hashes:
            raise LockError(f"{file} has no hash for {pin}; ask for a released version of it")
        if pin.name in pins:
            raise LockError(f"{file} pins {pin.name} twice; {RESTORE}")
        pins[pin.name] = pin
    return pins


def render(pins: Iterable[Pin]) -> str:
    """Return the body of a lock, sorted by name."""
    blocks = (" \\\n    ".join([str(pin), *(f"--hash={value}" for value in pin.hashes)]) for pin in sorted(pins))
    return "".join(f"{block}\n" for block in blocks)
