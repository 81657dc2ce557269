"""Decides in which layer of the image each package is. Reads and writes no file.

A package whose wheel is large has a layer of its own, which all services share that use it. The others are in two
layers, as they were when these were last made: the baseline has what every service of the template has, so that it is
the same in all of them, and `service` what this one has besides. What has changed since is installed on top.
docs/life.md of the template has the figures behind the numbers here.
"""

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from pins import LockError, Pin, parse, render

LARGE = 500_000  # bytes of a wheel, from which on a package has a layer of its own; it keeps it down to half of that
SHARE = 0.4  # of the bytes of a layer that packages share: when more has changed, it is cheaper to make it anew
MOST = 40  # layers of single packages; an image can have 127 in all

BASELINE, SERVICE = SHARED = ("baseline", "service")  # the layers that packages share

HEADER = """\
# The packages of one layer of the image, as prod.txt had them. Do not edit it: `make rebaseline` makes it anew.
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
        """The layers that the Dockerfile need not have: large packages, and `service` when something is in it."""
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

    @classmethod
    def read(cls, text: str) -> "Sizes":
        """Return the sizes in a sizes.json, also in one that a merge has left in pieces."""
        return cls({name: int(size) for name, size in re.findall(r'"([^"]+)": (\d+)', text)})

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


def plan(
    lock: dict[str, Pin], before: Layers, sizes: Sizes, wishes: Wishes, renew: Collection[str], common: Collection[str]
) -> Layers:
    """Return the layers for a lock.

    Args:
        renew: which of SHARED are made anew. In the others, what is there stays: only packages that are in none of
            them are judged by their size.
        common: the names of the packages that every service of the template has.
    """
    kept = {layer: getattr(before, layer) for layer in SHARED}
    stays = {name for layer, pins in kept.items() if layer not in renew for name in pins}

    def is_large(pin: Pin) -> bool:
        if pin.name in SHARED:
            return False  # its lock would have the name of another layer's
        if pin.name in wishes.always | wishes.never:
            return pin.name in wishes.always
        if pin.name in before.own:
            return sizes.of(pin) >= LARGE / 2
        return sizes.of(pin) >= LARGE and pin.name not in stays

    large = [(pin.name not in wishes.always, -sizes.of(pin), pin) for pin in filter(is_large, lock.values())]
    own = {pin.name: pin for *_, pin in sorted(large)[:MOST]}
    layers = kept | {layer: pins for layer, pins in split(lock, common).items() if layer in renew}
    baseline, service = (without(layers[layer], own) for layer in SHARED)
    return Layers(baseline, service, dict(sorted(own.items())))


def upgraded(
    lock: dict[str, Pin], before: Layers, sizes: Sizes, wishes: Wishes, renew: Collection[str], common: Collection[str]
) -> Layers:
    """Return the layers for a lock, as `plan` does; what is cheaper to make anew is made anew as well."""
    planned = plan(lock, before, sizes, wishes, renew, common)
    return plan(lock, before, sizes, wishes, {*renew, *overgrown(lock, planned, sizes, common)}, common)


def split(lock: Mapping[str, Pin], common: Collection[str]) -> dict[str, dict[str, Pin]]:
    """Return the packages of a lock by the shared layer that they belong to."""
    return {
        BASELINE: {name: pin for name, pin in sorted(lock.items()) if name in common},
        SERVICE: {name: pin for name, pin in sorted(lock.items()) if name not in common},
    }


def without(pins: Mapping[str, Pin], names: Collection[str]) -> dict[str, Pin]:
    """Return pins without those of some packages."""
    return {name: pin for name, pin in sorted(pins.items()) if name not in names}


def share_changed(wanted: Mapping[str, Pin], there: Mapping[str, Pin], sizes: Sizes) -> float:
    """Return how much of what is wanted, or is there, has to be put in or taken away: a share of their bytes."""
    removed = without(there, wanted).values()
    new = [pin for name, pin in wanted.items() if there.get(name) != pin]
    return sum(map(sizes.of, [*new, *removed])) / (sum(map(sizes.of, [*wanted.values(), *removed])) or 1)


def overgrown(lock: Mapping[str, Pin], now: Layers, sizes: Sizes, common: Collection[str]) -> list[str]:
    """Return the shared layers that are cheaper to make anew.

    Each is judged by its own packages, so services that are upgraded together renew their baseline together.
    """
    wanted = split(without(lock, now.own), common)
    return [layer for layer in SHARED if share_changed(wanted[layer], getattr(now, layer), sizes) > SHARE]


def write_shared(pins: Mapping[str, Pin]) -> str:
    """Return the text of baseline.lock or service.lock."""
    body = render(pins.values())
    return HEADER.format(digest=digest(body)) + body


def read_shared(text: str, file: str) -> dict[str, Pin]:
    """Return the pins of such a text. Raises LockError, which calls it `file`, when it is not as it was written."""
    with contextlib.suppress(LockError):
        pins = parse(text, file)
        if digest(render(pins.values())) in text:
            return pins
    raise LockError(f"{file} is not as it was written; restore it, or run `make rebaseline`")


def digest(text: str) -> str:
    """Return what tells a text from others, like `sha256:0123`."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def newer(lock: Mapping[str, Pin], layer: Mapping[str, Pin]) -> list[str]:
    """Return the packages of which a layer has a newer version than the lock."""
    pairs = ((pin, lock[name]) for name, pin in layer.items() if name in lock)
    return [ours.name for ours, now in pairs if "@" not in ours.origin + now.origin and numbers(ours) > numbers(now)]


def numbers(pin: Pin) -> list[int]:
    """Return what versions are ordered by: epoch, numbers, and negative ones for what comes before a release."""
    epoch, _, version = pin.origin.partition("+")[0].lstrip("=").rpartition("!")
    found = re.findall(r"\d+|a|b|rc|dev", version)
    return [int(epoch or 0), *({"dev": -4, "a": -3, "b": -2, "rc": -1}.get(part) or int(part) for part in found), 0]


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
