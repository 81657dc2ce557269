"""Twenty services of one template on one registry and one node: the bytes that are stored and pulled.

Beside that, one copy of each package version as it is installed, with the base image and the code of each service.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

from benchmarks import variants
from benchmarks.commands import ROOT, render
from benchmarks.index import Index
from benchmarks.life import LAYERS, PINS
from benchmarks.life_build import STORE, Followed, warm
from benchmarks.life_index import Pages
from benchmarks.life_locks import OPTIONS, Kind
from benchmarks.registry import Registry
from benchmarks.rounds import Workshop
from benchmarks.scenario import PYTHON, Event, blocks_of, resolve
from benchmarks.variants import OURS, VARIANTS, Variant, write

ANSWERS = [
    {"database": database, "background_jobs": jobs, "error_tracking": errors}
    for database, jobs, errors in product(("sqlite", "postgresql", "none"), ("none", "celery"), ("none", "sentry"))
]
ADDED = ((), (), ("httpx",), ("boto3",), ("pandas",))
SERVICES = [Kind(ANSWERS[number % len(ANSWERS)], ADDED[number % len(ADDED)]) for number in range(20)]
"""Twelve choices of options, and what people have added since: no two are alike."""

WAYS = [variant for variant in VARIANTS if variant.name in ("uv-multi-stage", "ours")]
THRESHOLDS = (500_000, 250_000, 150_000, 100_000)  # bytes of a wheel, for other layouts
ONE_COPY = Variant("one-copy", "One copy of each package", "Each package version in a layer of its own.")


class Service:
    """A generated service.

    Args:
        made: its lock as the template made it.
        lock: the same with what people have added.
    """

    def __init__(self, project: Path, made: str, lock: str) -> None:
        self.project, self.made, self.lock = project, made, lock


def service(folder: Path, kind: Kind, pages: Pages, elsewhere: str = "") -> Service:
    """Generate a service, and add to its lock what people have added. Raises BenchmarkError.

    Args:
        elsewhere: a lock that has to have the same version of what both have.
    """
    render(ROOT, folder, project_name="Bench", python_version=PYTHON, **kind.answers)
    project = folder / "bench"
    made = (project / "requirements" / "prod.txt").read_text(encoding="utf-8")
    asked = (project / "requirements" / "prod.in").read_text(encoding="utf-8")
    wanted = asked + "".join(f"{package}\n" for package in kind.added)
    pins = [block.split()[0] for block in (blocks_of(elsewhere) | blocks_of(made)).values()]
    lock = resolve(wanted, pins, pages.url, folder / "lock.txt") if kind.added else made
    return Service(project, made, "".join(block for _, block in sorted(blocks_of(lock).items())))


class Services(NamedTuple):
    """What is to be known of the services to calculate with them; each package has one version in all of them."""

    sizes: dict[str, int]
    """Bytes of the wheel of each package."""
    locks: list[tuple[list[str], list[str]]]
    """The packages of each service as it was made, and those of today."""

    def layers(self, least: int, *, shared: bool) -> list[set[frozenset[str]]]:
        """Return the packages of each layer of each service.

        Args:
            least: bytes of a wheel, from which on a package has a layer of its own.
            shared: whether what all services were made with is a layer of its own, below the rest of the baseline.
        """
        common = frozenset.intersection(*(frozenset(made) for made, _ in self.locks)) if shared else frozenset()
        found = []
        for made, lock in self.locks:
            small = {name for name in lock if self.sizes[name] < least}
            baseline = small & set(made)
            groups = [baseline & common, baseline - common, small - baseline, *({name} for name in set(lock) - small)]
            found.append({frozenset(group) for group in groups if group})
        return found


class Fleet(Followed):
    """All services, built in one way."""

    keep = True

    def __init__(self, shop: Workshop, variant: Variant, services: Mapping[str, Service], inputs: str) -> None:
        super().__init__(shop, "fleet", STORE, variant, 0, inputs)
        self.services = services

    def events(self) -> list[Event]:
        """Return the services."""
        return [Event(name, name) for name in self.services]

    def lock(self, event: Event) -> str:
        """Return the lock of a service."""
        return self.services[event.name].lock

    def prepare(self, event: Event) -> None:
        """Turn to a service, whose people have added what they wanted."""
        one = self.services[event.name]
        self.shop = replace(self.shop, project=one.project)
        if self.variant in (OURS, ONE_COPY):
            variants.lay_out(one.project, "compile", one.lock, self.shop.sizes)
        else:
            variants.prepare(self.variant, one.project, one.lock, one.lock, self.shop.index.url)


class OneCopy(Fleet):
    """A service that has the packages of all, each in a layer of its own."""

    def prepare(self, event: Event) -> None:
        """Write a Dockerfile with a layer for every package."""
        super().prepare(event)
        project, pins = self.shop.project, PINS.parse(self.lock(event), "the lock")
        for name, pin in pins.items():
            write(project / "requirements" / "layers" / f"{name}.lock", PINS.render([pin]))
        write(project / "requirements" / "layers" / "baseline.lock", LAYERS.write_shared({}))
        dockerfile = (project / "Dockerfile").read_text(encoding="utf-8")
        empty = LAYERS.in_dockerfile(dockerfile, [])  # what is there would come first, and not by name
        write(project / ONE_COPY.dockerfile, LAYERS.in_dockerfile(empty, pins))


def rounds(folder: Path, index: Index, registry: Registry, engine: str) -> list[Fleet]:
    """Return what is built: the services in each way, and one copy of each package. Raises BenchmarkError."""
    with Pages(index.upstream, folder / "pages") as pages:
        every = service(folder / "fleet" / "every", Kind(OPTIONS, ()), pages)
        services = {
            f"{number:02}": service(folder / "fleet" / f"{number:02}", kind, pages, every.made)
            for number, kind in enumerate(SERVICES)
        }
        blocks = dict(pair for one in services.values() for pair in blocks_of(one.lock).items())
        sizes = {pin: pages.size(*pin.split("==")) for pin in (block.split()[0] for block in blocks.values())}
    every.lock = "".join(block for _, block in sorted(blocks.items()))
    names = [[sorted(blocks_of(lock)) for lock in (one.made, one.lock)] for one in services.values()]
    known = {name: sizes[block.split()[0]] for name, block in blocks.items()}
    write(folder / "fleet" / "services.json", json.dumps({"sizes": known, "locks": names}))
    shop = Workshop(folder, index, registry, engine, PYTHON, every.project, {}, sizes)
    warm(shop, [every.lock])
    inputs = shop.inputs(STORE, WAYS, every.lock, *(one.lock for one in services.values()))
    copy = OneCopy(shop, ONE_COPY, {ONE_COPY.name: every}, inputs)
    return [copy, *(Fleet(shop, variant, services, inputs) for variant in WAYS)]


def packages_of(copy: Sequence[int], names: Sequence[str]) -> dict[str, int]:
    """Return the compressed bytes of each package, from the layers of an image with one copy of each."""
    # Above them there are those of the baseline, which has folders only, and two of code; what differs is nothing.
    return dict(zip(sorted(names), copy[-len(names) - 3 : -3], strict=True))
