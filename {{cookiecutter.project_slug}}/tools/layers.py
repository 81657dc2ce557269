"""Decides in which layer of the image each package is. Reads and writes no file.

A package whose wheel is large has a layer of its own, which all services share that use it. The others are in the
baseline, as they were when it was last taken; what has changed since is installed on top. docs/layers.md of the
template has the figures behind the numbers here.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from pins import LockError, Pin, parse, render

LARGE = 500_000  # bytes of a wheel, from which on a package has a layer of its own; it keeps it down to half of that
SHARE = 0.5  # of the bytes of the packages without one: when more than that has changed, a new baseline pays
MOST = 40  # layers of single packages; an image can have 127 in all

HEADER = """\
# The packages that share a layer of the image, as prod.txt had them when it was last taken: `make rebaseline`.
# {digest}
"""
FIRST = "FROM system AS layers\n"
COPY = "COPY --link --from={} /layer/ /\n"
BEGIN = "# Large packages, each in a layer of its own. `make lock` writes these lines: copies of the baseline's.\n"
END = "# End of what `make lock` writes.\n"


class Layers(NamedTuple):
    """What is in which layer, below the one with the changes."""

    baseline: dict[str, Pin]
    own: dict[str, Pin]
    """The packages with a layer of their own."""

    @property
    def everything(self) -> dict[str, Pin]:
        """All that is installed there."""
        return {**self.baseline, **self.own}


class Wishes(NamedTuple):
    """What people want otherwise: the names in [tool.layers] of pyproject.toml."""

    always: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()


class Sizes:
    """The sizes of wheels, in bytes.

    Args:
        known: the size by pin, like "flask==3.1.3".
    """

    def __init__(self, known: Mapping[str, int]) -> None:
        self.known = dict(known)

    def of(self, pin: Pin) -> int:
        """Return the size of a wheel; that of another version where this one is not known; else 0."""
        others = (size for name, size in self.known.items() if package_in(name) == pin.name)
        return self.known.get(f"{pin.name}{pin.origin}") or max(others, default=0)

    def kept(self, pins: Collection[Pin]) -> dict[str, int]:
        """Return the sizes that tell those of these pins: their own, else of other versions."""
        own, others = {f"{pin.name}{pin.origin}" for pin in pins}, {pin.name for pin in self.missing(pins)}
        return {name: size for name, size in self.known.items() if name in own or package_in(name) in others}

    def missing(self, pins: Collection[Pin]) -> list[Pin]:
        """Return the pins whose size is not known."""
        return [pin for pin in pins if f"{pin.name}{pin.origin}" not in self.known]


def package_in(pin: str) -> str:
    """Return the package of a pin, like flask of `flask==3.1.3`."""
    return re.split("[= @]", pin)[0]


def plan(lock: dict[str, Pin], before: Layers, sizes: Sizes, wishes: Wishes, *, rebaseline: bool) -> Layers:
    """Return the layers for a lock.

    Without a new baseline, what is in it stays there, and what has a layer keeps it: only packages that are in neither
    are judged by their size.
    """

    def is_large(pin: Pin) -> bool:
        if pin.name == "baseline":
            return False  # its lock has the name of another layer's
        if pin.name in wishes.always | wishes.never:
            return pin.name in wishes.always
        if not rebaseline and pin.name in before.everything:
            return pin.name in before.own
        return sizes.of(pin) >= (LARGE / 2 if pin.name in before.own else LARGE)

    large = sorted(filter(is_large, lock.values()), key=lambda pin: (-sizes.of(pin), pin.name))
    own = {pin.name: pin for pin in sorted(large[:MOST])}
    baseline = lock if rebaseline else before.baseline
    return Layers({name: pin for name, pin in sorted(baseline.items()) if name not in own}, own)


def share_changed(lock: dict[str, Pin], layers: Layers, sizes: Sizes) -> float:
    """Return how much of the packages without a layer of their own has changed since the baseline, by bytes."""
    rest = [pin for name, pin in lock.items() if name not in layers.own]
    changed = sum(sizes.of(pin) for pin in rest if layers.baseline.get(pin.name) != pin)
    return changed / (sum(map(sizes.of, rest)) or 1)


def write_baseline(pins: Mapping[str, Pin]) -> str:
    """Return the text of baseline.lock."""
    body = render(pins.values())
    return HEADER.format(digest=digest(body)) + body


def read_baseline(text: str, file: str) -> dict[str, Pin]:
    """Return the pins of baseline.lock. Raises LockError, which calls it `file`, when it is not as it was written."""
    pins = parse(text, file)
    if digest(render(pins.values())) not in text:
        raise LockError(f"{file} was edited or cut; run `make rebaseline`")
    return pins


def digest(text: str) -> str:
    """Return what tells a text from others, like `sha256:0123`."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def newer(lock: Mapping[str, Pin], baseline: Mapping[str, Pin]) -> list[str]:
    """Return the packages of which the baseline has a newer version than the lock."""
    pairs = ((pin, lock[name]) for name, pin in baseline.items() if name in lock)
    return [ours.name for ours, now in pairs if "@" not in ours.origin + now.origin and numbers(ours) > numbers(now)]


def numbers(pin: Pin) -> list[int]:
    """Return what versions are ordered by: their numbers, and negative ones for what comes before a release."""
    found = re.findall(r"\d+|a|b|rc|dev", pin.origin.partition("+")[0])
    return [*({"dev": -4, "a": -3, "b": -2, "rc": -1}.get(part) or int(part) for part in found), 0]


def in_dockerfile(dockerfile: str, names: Iterable[str], changed: Collection[str] = ()) -> str:
    """Return a Dockerfile in which these packages have a layer of their own, and no others.

    The steps that install them are copies of that of the baseline, and so have what people added there. Layers that
    have `changed` move to the top: an engine unpacks again what lies above one that is new, so those which change often
    should not lie below those which never do.

    Raises:
        LockError: the Dockerfile has no place for them.
    """
    without = FIRST + COPY.format("baseline")
    found = re.search(re.escape(BEGIN) + r"[\s\S]*?" + re.escape(END), dockerfile)
    place = found[0] if found else without
    step = re.search(r"^FROM base AS baseline\n((?:.+\n)+)", dockerfile, re.MULTILINE)
    if dockerfile.count(place) != 1 or not step:
        raise LockError(
            f"the Dockerfile has no stage 'FROM base AS baseline' or no lines {' / '.join(without.splitlines())!r}; "
            "write them as the template does"
        )
    if not (names := sorted(names)):
        return dockerfile.replace(place, without)
    steps = "".join(
        f"FROM base AS package-{name}\n{step[1].replace('baseline.lock', f'{name}.lock')}\n" for name in names
    )
    stay = [name for name in re.findall(r"(?m)^COPY --link --from=package-(\S+) ", place) if name in names]
    stay = [name for name in stay if name not in changed]
    order = [*stay, *(name for name in names if name not in stay)]
    copies = "".join(COPY.format(f"package-{name}") for name in order) + COPY.format("baseline")
    return dockerfile.replace(place, f"{BEGIN}{steps}{FIRST}{copies}{END}")
