"""Two years of weekly upgrades, by calculation: the bytes that each way to lay out an image pushes.

Everything is upgraded every week to what its lock would have been then. Bytes are those of wheels; a layer that the
registry has is not pushed again. The first image is not counted: all ways push the same.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.life_locks import PYTHON, Lock, Wheel
from benchmarks.measure import Line
from layercake.locks import common, project_tool

WORK = Path(__file__).resolve().parent.parent / "build" / "benchmarks" / "life"
MB = 1_000_000


class Layer(NamedTuple):
    """What a step installs and removes. Two with the same content are one in a registry."""

    wheels: frozenset[tuple[str, Wheel]]
    removed: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """The bytes of its wheels; a removal has none."""
        return sum(wheel.size for _, wheel in self.wheels)


class Image(NamedTuple):
    """The packages of a release: layers of their own, the baseline, and what differs from it."""

    heavy: frozenset[str]
    """The packages that have layers of their own."""
    layers: frozenset[Layer]
    renewed: int
    """How many shared layers were taken anew for this image."""


@dataclass(frozen=True)
class Heavy:
    """Which packages have layers of their own: the largest, as long as they are large enough."""

    least: float = math.inf
    """The bytes of the smallest wheel that counts as heavy."""
    most: int | None = None
    """How many there are at most."""
    stays: float = 1.0
    """The share of `least` down to which a heavy package remains one."""

    def among(self, lock: Lock, before: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the heavy packages of a lock, given those of the lock before."""
        bars = {name: self.least * (self.stays if name in before else 1) for name in lock}
        large = [name for name in lock if lock[name].size >= bars[name]]
        return frozenset(sorted(large, key=lambda name: (-lock[name].size, name))[: self.most])


class Choice(NamedTuple):
    """What a rule decides on: leave the level below as it is, or write it anew with all that differs above it."""

    above: Layer
    """What has to be installed above it otherwise."""
    anew: Layer
    """What it would have then."""
    waste: int
    """Bytes pushed above it since it was written, less those of the wheels that were new each time."""


Rule = Callable[[Choice], bool]


def share(limit: float) -> Rule:
    """Return the rule that writes a level anew when what is above it exceeds a share of its bytes."""
    return lambda choice: choice.above.size > limit * choice.anew.size


def count(limit: float) -> Rule:
    """Return the rule that writes a level anew when what is above it exceeds a share of its packages."""
    return lambda choice: len(choice.above.wheels) > limit * len(choice.anew.wheels)


def rental(limit: float) -> Rule:
    """Return the rule that writes a level anew when what that would have saved exceeds a share of what it costs."""
    return lambda choice: choice.waste > limit * choice.anew.size


def always(_: Choice) -> bool:
    """Write the level anew at every change: everything in one layer."""
    return True


@dataclass
class Level:
    """A layer that others lie on."""

    layer: Layer
    waste: int = 0


@dataclass(frozen=True)
class Policy:
    """A way to lay out images.

    Args:
        rules: one for each level that others lie on, the baseline's first.
    """

    title: str
    heavy: Heavy
    rules: tuple[Rule, ...]

    def images(self, history: Sequence[Lock]) -> Iterator[Image]:
        """Yield the image of each lock."""
        before: Lock = {}
        heavy: frozenset[str] = frozenset()
        levels: list[Level] = []
        for lock in history:
            heavy = self.heavy.among(lock, heavy)
            light = {name: wheel for name, wheel in lock.items() if name not in heavy}
            renewed = lock != before and self._lay(levels, light, size(changed(before, light)))
            own = [Layer(frozenset([(name, lock[name])])) for name in heavy]
            yield Image(heavy, frozenset([*own, *(level.layer for level in levels if any(level.layer))]), renewed)
            before = lock

    def _lay(self, levels: list[Level], light: Lock, fresh: int) -> bool:
        """Change the levels to give `light`, of which some bytes are new; return whether the first one was written."""
        depth = min(len(levels), len(self.rules))
        while depth:
            above, anew = (difference(levels[:number], light) for number in (depth, depth - 1))
            waste = levels[depth - 1].waste + above.size - fresh
            if not self.rules[depth - 1](Choice(above, anew, waste)):
                levels[depth - 1].waste = waste
                break
            depth -= 1
        levels[depth:] = [Level(difference(levels[:depth], light))]
        return depth == 0


@dataclass(frozen=True)
class Tools:
    """What the tools of a generated project do when everything is upgraded: `make upgrade` each week."""

    title: str

    def images(self, history: Sequence[Lock]) -> Iterator[Image]:
        """Yield the image of each lock."""
        names, now = common(PYTHON), LAYERS.Layers({}, {}, {})
        for lock in history:
            # The size stands for the hash: one version may get other wheels later.
            wanted = {
                name: PINS.Pin(name, f"=={wheel.version}", "", (str(wheel.size),)) for name, wheel in lock.items()
            }
            pins = [*now.everything.values(), *wanted.values()]
            sizes = LAYERS.Sizes({f"{pin.name}{pin.origin}": int(pin.hashes[0]) for pin in pins})
            before, renew = now, () if now.everything else LAYERS.SHARED
            now = LAYERS.upgraded(wanted, before, sizes, LAYERS.Wishes(), renew, names)
            below = [Level(layer_of(shared)) for shared in (now.baseline, now.service)]
            delta = difference(below, {name: wheel for name, wheel in lock.items() if name not in now.own})
            own = [Layer(frozenset([(name, lock[name])])) for name in now.own]
            shared = [layer for layer in (*(level.layer for level in below), delta) if any(layer)]
            renewed = sum(getattr(now, layer) != getattr(before, layer) for layer in LAYERS.SHARED)
            yield Image(frozenset(now.own), frozenset([*own, *shared]), renewed)


def layer_of(pins: Mapping[str, Any]) -> Layer:
    """Return the layer with these pins."""
    return Layer(frozenset((name, Wheel(pin.origin[2:], int(pin.hashes[0]))) for name, pin in pins.items()))


def difference(levels: Sequence[Level], lock: Lock) -> Layer:
    """Return the layer that makes a lock of what lies below it."""
    below: dict[str, Wheel] = {}
    for level in levels:
        below = {name: wheel for name, wheel in below.items() if name not in level.layer.removed}
        below.update(level.layer.wheels)
    return Layer(frozenset(changed(below, lock).items()), frozenset(below.keys() - lock.keys()))


def changed(before: Lock, lock: Lock) -> Lock:
    """Return the packages of a lock that are new in it, or have another wheel than before."""
    return {name: wheel for name, wheel in lock.items() if before.get(name) != wheel}


def size(lock: Lock) -> int:
    """Return the bytes of all wheels of a lock."""
    return sum(wheel.size for wheel in lock.values())


def floor(history: Sequence[Lock]) -> list[int]:
    """Return the bytes that no way can save: for each week, the wheels that were not in the lock of the week before."""
    return [size(changed(before, lock)) for before, lock in pairwise(history)]


class Cost(NamedTuple):
    """What the releases of a history cost after the first one. Bytes, unless said otherwise."""

    pushed: int
    """To a registry that keeps all releases."""
    pulled: int
    """By a node that runs every release, and has nothing but the one before."""
    stored: int
    """By that registry in the end, with the first release."""
    heavy: tuple[int, int]
    """The lowest and highest number of packages in layers of their own."""
    edits: int
    """How often it was other packages that had them: each time the Dockerfile is another."""
    baselines: int
    """How often a shared layer was taken anew."""


def cost(images: Sequence[Image]) -> Cost:
    """Return what at least one image costs."""
    pushed = sum(weekly(images))
    pulled = sum(total(image.layers - before.layers) for before, image in pairwise(images))
    heavy = [len(image.heavy) for image in images]
    edits = sum(before.heavy != image.heavy for before, image in pairwise(images))
    baselines = sum(image.renewed for image in images[1:])
    stored = total(images[0].layers) + pushed
    return Cost(pushed, pulled, stored, (min(heavy), max(heavy)), edits, baselines)


def weekly(images: Sequence[Image]) -> list[int]:
    """Return the bytes that each image but the first one pushes."""
    seen, pushed = set(images[0].layers), []
    for image in images[1:]:
        pushed.append(total(image.layers - seen))
        seen |= image.layers
    return pushed


def total(layers: set[Layer] | frozenset[Layer]) -> int:
    """Return the bytes of layers."""
    return sum(layer.size for layer in layers)


LARGEST = Heavy(least=0.1 * MB, most=10)
NONE = Heavy()
SHARES = (0.15, 0.25, 0.35, 0.5, 0.75, 1.0)
LEAST = (0.1, 0.2, 0.4, 0.5, 1.0, 2.0, 5.0)
"""Megabytes."""

CLASSIC = Policy("everything in one layer", NONE, (always,))
LAYERS, PINS = project_tool("layers"), project_tool("pins")
OURS = Tools(f"ours: {LAYERS.LARGE / MB:g} MB and until half, two shared layers at {100 * LAYERS.SHARE:.0f} %")
POLICIES: list[Policy | Tools] = [
    CLASSIC,
    Policy("baseline at half by count", NONE, (count(0.5),)),
    *(Policy(f"baseline at {100 * limit:g} %", NONE, (share(limit),)) for limit in SHARES[1:]),
    Policy("0.4 MB, baseline at 35 %", Heavy(0.4 * MB), (share(0.35),)),
    Policy("0.4 MB, baseline at 50 %", Heavy(0.4 * MB), (share(0.5),)),
    Policy("1 MB and until 0.5, baseline at 50 %", Heavy(1 * MB, stays=0.5), (share(0.5),)),
    Policy("0.4 MB, baseline at waste", Heavy(0.4 * MB), (rental(1),)),
    Policy("0.4 MB, three levels at 50 %", Heavy(0.4 * MB), (share(0.5), share(0.5))),
    Policy("6 largest, baseline at 50 %", Heavy(0.1 * MB, 6), (share(0.5),)),
    Policy("10 largest, baseline at 50 %", LARGEST, (share(0.5),)),
    OURS,
    Policy("10 largest, baseline at 40 %", LARGEST, (share(0.4),)),
    Policy("10 largest, baseline at half by count", LARGEST, (count(0.5),)),
    Policy("10 largest, baseline at waste", LARGEST, (rental(1),)),
    Policy("10 largest, three levels at 50 %", LARGEST, (share(0.5), share(0.5))),
    Policy("15 largest, baseline at 50 %", Heavy(0.1 * MB, 15), (share(0.5),)),
]
GRID = [
    Policy(f"{least:g} MB{words}, baseline at {100 * limit:g} %", Heavy(least * MB, most, stays), (share(limit),))
    for words, most, stays in (("", None, 1.0), (" and until half", None, 0.5), (", 40 at most", 40, 1.0))
    for least in LEAST
    for limit in SHARES
]
BARS = {"service": 1.9, "options": 1.15, "heavy": 1.15}
"""How much may be pushed, in floors."""
LESS = 3.0
"""How many times as much the classic order has to push where packages are heavy."""


def lines(name: str, history: Sequence[Lock]) -> Iterator[Line]:
    """Yield what has to be reached, beside what ours does."""
    ours, classic = (cost(list(policy.images(history))) for policy in (OURS, CLASSIC))
    least, title = sum(floor(history)), f"Two years ({name})"
    pushed = f"ours {ours.pushed / MB:.0f} MB"
    yield Line(
        f"{title}: bytes pushed, against the least",
        f"{pushed}, least {least / MB:.0f} MB",
        ours.pushed / least,
        BARS[name],
    )
    figures = f"{ours.pulled / MB:.0f} MB pulled, {pushed}"
    yield Line(f"{title}: bytes pulled by a node, against those pushed", figures, ours.pulled / ours.pushed, 1)
    if name == "heavy":
        figures = f"{pushed}, all in one layer {classic.pushed / MB:.0f} MB"
        yield Line(
            f"{title}: times fewer bytes pushed than all in one layer",
            figures,
            classic.pushed / ours.pushed,
            LESS,
            at_least=True,
        )


HEADS = ("", "MB pushed", "of floor", "of classic", "MB pulled", "MB stored", "heavy", "edits", "new baselines")


def rows(history: Sequence[Lock], policies: Sequence[Policy | Tools]) -> Iterator[Sequence[str]]:
    """Yield the table of one history."""
    least, classic = sum(floor(history)), cost(list(CLASSIC.images(history))).pushed
    yield HEADS
    yield ("floor", f"{least / MB:.0f}", "1.00", f"{least / classic:.2f}", *[""] * 5)
    for policy in policies:
        it = cost(list(policy.images(history)))
        ratios = f"{it.pushed / least:.2f}", f"{it.pushed / classic:.2f}"
        heavy = "..".join(map(str, sorted(set(it.heavy))))
        counts = heavy, f"{it.edits}", f"{it.baselines}"
        yield (
            policy.title,
            f"{it.pushed / MB:.0f}",
            *ratios,
            f"{it.pulled / MB:.0f}",
            f"{it.stored / MB:.0f}",
            *counts,
        )
