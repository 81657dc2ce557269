"""Consecutive weeks of the calculated life, really built: what each way costs, and a node that follows each release.

Every way has two engines of its own: one that builds and pushes each week's image, one that pulls it. A registry cache
is written after every build, as a pipeline does. Ways take turns, week by week.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from benchmarks import variants
from benchmarks.commands import ROOT, render
from benchmarks.engines import Engine
from benchmarks.index import Index
from benchmarks.life import OURS, WORK
from benchmarks.life_index import Pages
from benchmarks.life_locks import KINDS, PYTHON, History, Lock
from benchmarks.measure import run
from benchmarks.registry import Registry
from benchmarks.results import Record
from benchmarks.rounds import Round, Workshop
from benchmarks.scenario import Event, blocks_of
from benchmarks.variants import VARIANTS, Variant

WEEKS = 12
WAYS = [variant for variant in VARIANTS if variant.name in ("classic", "uv", "uv-multi-stage", "ours")]
STORE = "containerd"
NEWEST = "x86_64-manylinux_2_40"  # no older than the C library of any base image


def window(history: Sequence[Lock]) -> range:
    """Return the weeks that are built: those nearest to the middle in which ours takes a new baseline, and one before."""
    renewed = [image.renewed for image in OURS.images(history)]
    middle = (len(history) - WEEKS - 1) // 2
    starts = [first for first in range(len(history) - WEEKS) if any(renewed[first + 1 : first + WEEKS + 1])]
    first = min(starts, key=lambda first: abs(first - middle), default=max(middle, 0))
    return range(first, min(first + WEEKS + 1, len(history)))


def hashed(lock: Lock, pages: Pages) -> str:
    """Return a lock as an installer takes it. Raises BenchmarkError when the index has lost a release."""
    text = ""
    for name, wheel in sorted(lock.items()):
        hashes = sorted(file["hashes"]["sha256"] for file in pages.release(name, wheel.version))
        text += " \\\n    ".join([f"{name}=={wheel.version}", *(f"--hash=sha256:{one}" for one in hashes)]) + "\n"
    return text


class Followed(Round):
    """A way to build, each of whose images another engine pulls: one that has the one before, as a node of a cluster has."""

    node: Engine
    keep = False
    """Whether engines keep all images, not only the newest one."""

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Give an engine that builds, and have one that pulls."""
        with super().engine() as engine, super().engine() as self.node:
            yield engine

    def one(self, engine: Engine, event: Event) -> Record | None:
        """Build an image, push it, and pull it on the node."""
        record = super().one(engine, event)
        self.shop.registry.take()
        self.node.docker("pull", "--quiet", self.tag(event))
        pulled = sum(self.shop.registry.take().pulled.values())
        for place in () if self.keep else (engine, self.node):
            others = set(place.docker("images", "--format", "{{.Repository}}:{{.Tag}}", self.repository).split())
            for old in others - {self.tag(event)}:
                place.docker("image", "rm", old)
        return record and replace(record, node=pulled)


class Life(Followed):
    """One way through all weeks.

    Args:
        locks: by day, with those of the time before.
        built: the days of the weeks that are built.
    """

    def __init__(
        self, shop: Workshop, name: str, variant: Variant, locks: Mapping[str, str], built: Sequence[str], inputs: str
    ) -> None:
        super().__init__(shop, name, STORE, variant, 0, inputs)
        self.locks, self.built = locks, built

    def events(self) -> list[Event]:
        """Return the weeks."""
        return [Event(day, day) for day in self.built]

    def lock(self, event: Event) -> str:
        """Return the lock of a week."""
        return self.locks[event.name]

    def prepare(self, event: Event) -> None:
        """Do what people do for a week's upgrade; before the first one that is built, for all those before."""
        shop, first = self.shop, event.name == self.built[0]
        since = [day for day in sorted(self.locks) if day <= event.name] if first else [event.name]
        if self.variant != variants.OURS or first:
            oldest = self.locks[since[0]]
            variants.prepare(self.variant, shop.project, oldest, oldest, shop.index.url, shop.sizes)
        for day in since:
            if self.variant == variants.OURS:
                variants.lay_out(shop.project, "upgrade", self.locks[day], shop.sizes)
            else:
                variants.write(shop.project / "requirements" / "prod.txt", self.locks[day])

    def one(self, engine: Engine, event: Event) -> Record | None:
        """Build, push and pull the image of a week; then write the cache."""
        record = super().one(engine, event)
        cache = self.export_cache(engine, event)
        return record and replace(record, cache=cache)


def warm(shop: Workshop, locks: Sequence[str]) -> None:
    """Let the index have every wheel before a build asks for it. Raises BenchmarkError."""
    folder = shop.project.parent / "warm"
    folder.mkdir(parents=True, exist_ok=True)
    ours = blocks_of((shop.project / "requirements" / "tools.txt").read_text(encoding="utf-8"))["uv"]
    theirs = next(line for line in variants.read("installers.txt").splitlines() if line.startswith("uv=="))
    for lock in (ours, theirs, *locks):
        (folder / "lock.txt").write_text(lock, encoding="utf-8")
        print("benchmarks: fetching the wheels of a week", file=sys.stderr, flush=True)
        run(
            sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-config", "--no-deps", "--only-binary", ":all:",
            "--python-version", shop.python, "--python-platform", NEWEST,
            "--default-index", shop.index.url, "--cache-dir", folder / "cache", "--link-mode", "hardlink",
            "--reinstall", "--target", folder / "site", "--requirement", folder / "lock.txt",
        )  # fmt: skip


def rounds(kind: str, index: Index, registry: Registry, engine: str) -> list[Life]:
    """Generate the service; return a life for each way. Raises BenchmarkError."""
    place = WORK / "built"
    render(ROOT, place, project_name="Bench", python_version=PYTHON, **KINDS[kind].answers)
    history = History(WORK / f"{kind}.json")
    days, weeks = sorted(history.weeks), window(history.locks())
    with Pages(index.upstream, WORK / f"pages-{history.newest}") as pages:
        locks = {day: hashed(history.weeks[day], pages) for day in days[: weeks.stop]}
    sizes = {f"{name}=={wheel.version}": wheel.size for day in locks for name, wheel in history.weeks[day].items()}
    shop = Workshop(WORK, index, registry, engine, PYTHON, place / "bench", {}, sizes)
    first = list(OURS.images(history.locks()[: weeks.start + 1]))[-1]  # its layers may be older than its lock
    built = days[weeks.start : weeks.stop]
    warm(shop, [*(hashed(dict(layer.wheels), pages) for layer in first.layers), *(locks[day] for day in built)])
    inputs = shop.inputs(STORE, WAYS, locks[built[0]], *(locks[day] for day in built))
    return [Life(shop, f"life-{kind}", variant, locks, built, inputs) for variant in WAYS]
