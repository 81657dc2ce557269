"""Decides in which layer of the image each package is. Reads and writes no file.

A package whose wheel is large has a layer of its own, which all services share that use it. The others are in two
layers, as they were when these were last taken: the baseline has what every service of the template has, so that it is
the same in all of them, and `service` what this one has besides. What has changed since is installed on top.
docs/layers.md of the template has the figures behind the numbers here.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from pins import LockError, Pin, parse, render

LARGE = 500_000  # bytes of a wheel, from which on a package has a layer of its own; it keeps it down to half of that
SHARE = 0.4  # of the bytes of the packages that share a layer: when more than that has changed, a new one pays
MOST = 40  # layers of single packages; an image can have 127 in all

BASELINE, SERVICE = SHARED = ("baseline", "service")  # the layers that packages share

HEADER = """\
# Packages that share a layer of the image, as prod.txt had them when it was last taken: `make rebaseline`.
# {digest}
"""
FIRST = "FROM system AS layers\n"
COPY = "COPY --link --from={} /layer/ /\n"
BEGIN = "# Large packages and what this service has besides the baseline: copies of its step, written by `make lock`.\n"
END = "# End of what `make lock` writes.\n"


class Layers(NamedTuple):
    """What is in which layer, below the one with the changes."""

    baseline: dict[str, Pin]
    service: dict[str, Pin]
    own: dict[str, Pin]
    """The packages with a layer of their own."""

    @property
    def everything(self) -> dict[str, Pin]:
        """All that is installed there."""
        return {**self.baseline, **self.service, **self.own}

    @property
    def beside_baseline(self) -> list[str]:
        """The layers that not every service has: large packages, and `service` when something is in it."""
        return [*self.own, *([SERVICE] if self.service else [])]


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


def plan(lock: dict[str, Pin], before: Layers, sizes: Sizes, wishes: Wishes, renew: Collection[str]) -> Layers:
    """Return the layers for a lock.

    Args:
        renew: which of SHARED are taken anew. In the others, what is there stays: only packages that are in none of
            them are judged by their size. A new baseline has the packages of the one before, so all services agree on
            them; without one before, it has all.
    """
    stays = {name for layer in SHARED if layer not in renew for name in getattr(before, layer)}

    def is_large(pin: Pin) -> bool:
        if pin.name in SHARED:
            return False  # its lock would have the name of another layer's
        if pin.name in wishes.always | wishes.never:
            return pin.name in wishes.always
        if pin.name in before.own:
            return sizes.of(pin) >= LARGE / 2
        return sizes.of(pin) >= LARGE and pin.name not in stays

    large = sorted(filter(is_large, lock.values()), key=lambda pin: (-sizes.of(pin), pin.name))
    own = {pin.name: pin for pin in sorted(large[:MOST])}
    common = before.baseline.keys() or lock.keys()
    shared = {name: pin for name, pin in sorted(lock.items()) if name not in own}
    baseline = {name: pin for name, pin in shared.items() if name in common}
    service = {name: pin for name, pin in shared.items() if name not in common}
    return Layers(
        baseline if BASELINE in renew else {name: pin for name, pin in before.baseline.items() if name not in own},
        service if SERVICE in renew else {name: pin for name, pin in before.service.items() if name not in own},
        own,
    )


def share_changed(lock: dict[str, Pin], now: Layers, sizes: Sizes, of: Collection[str] = SHARED) -> float:
    """Return how much of the packages of shared layers has changed since they were taken, by bytes."""
    homes = {name: BASELINE if name in now.baseline else SERVICE for name in lock.keys() - now.own.keys()}
    shared = [pin for name, pin in lock.items() if homes.get(name) in of]
    changed = sum(sizes.of(pin) for pin in shared if now.everything.get(pin.name) != pin)
    return changed / (sum(map(sizes.of, shared)) or 1)


def overgrown(lock: dict[str, Pin], now: Layers, sizes: Sizes) -> list[str]:
    """Return the shared layers that it pays to take anew.

    Each is judged by its own packages, so services that are upgraded together renew their baseline together.
    """
    return [layer for layer in SHARED if share_changed(lock, now, sizes, [layer]) > SHARE]


def write_shared(pins: Mapping[str, Pin]) -> str:
    """Return the text of baseline.lock or service.lock."""
    body = render(pins.values())
    return HEADER.format(digest=digest(body)) + body


def names_in(text: str) -> set[str]:
    """Return the packages that such a text names, whatever has happened to it."""
    return set(re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)(?:==| @)", text))


def read_shared(text: str, file: str) -> dict[str, Pin]:
    """Return the pins of such a text. Raises LockError, which calls it `file`, when it is not as it was written."""
    pins = parse(text, file)
    if digest(render(pins.values())) not in text:
        raise LockError(f"{file} was edited or cut; run `make rebaseline`")
    return pins


def digest(text: str) -> str:
    """Return what tells a text from others, like `sha256:0123`."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def newer(lock: Mapping[str, Pin], layer: Mapping[str, Pin]) -> list[str]:
    """Return the packages of which a layer has a newer version than the lock."""
    pairs = ((pin, lock[name]) for name, pin in layer.items() if name in lock)
    return [ours.name for ours, now in pairs if "@" not in ours.origin + now.origin and numbers(ours) > numbers(now)]


def numbers(pin: Pin) -> list[int]:
    """Return what versions are ordered by: their numbers, and negative ones for what comes before a release."""
    found = re.findall(r"\d+|a|b|rc|dev", pin.origin.partition("+")[0])
    return [*({"dev": -4, "a": -3, "b": -2, "rc": -1}.get(part) or int(part) for part in found), 0]


def in_dockerfile(dockerfile: str, names: Iterable[str], changed: Collection[str] = ()) -> str:
    """Return a Dockerfile that makes these layers beside the baseline, and no others: large packages, and `service`.

    Their steps are copies of that of the baseline, and so have what people added there. Layers of packages that have
    `changed` move to the top: an engine unpacks again what lies above one that is new, so those which change often
    should not lie below those which never do. What packages share lies above them all.

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
    if not (names := sorted(names, key=lambda name: (name in SHARED, name))):
        return dockerfile.replace(place, without)
    stages = {name: name if name in SHARED else f"package-{name}" for name in (*names, BASELINE)}
    copied = {name: step[1].replace("baseline.lock", f"{name}.lock") for name in names}
    steps = "".join(f"FROM base AS {stages[name]}\n{lines}\n" for name, lines in copied.items())
    stay = [name for name in re.findall(r"(?m)^COPY --link --from=package-(\S+) ", place) if name in names]
    stay = [name for name in stay if name not in changed]
    own = [*stay, *(name for name in names if name not in (*stay, SERVICE))]
    copies = "".join(COPY.format(stages[name]) for name in (*own, BASELINE, *([SERVICE] if SERVICE in names else [])))
    return dockerfile.replace(place, f"{BEGIN}{steps}{FIRST}{copies}{END}")
