"""All variants, through all events, each on engines of its own.

The first build finds an empty engine and fills it; the next events find it warm. Each event changes the state
at the start and is undone. What is to start empty again gets another new engine. After every build the image
is pushed to a repository that belongs to the round, so that the bytes pushed are those of layers which the
registry does not have from the events before.

The variants take turns at every event, so that what slows the machine down for a while slows all of them.
"""

import hashlib
import http.client
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks import scenario, trials
from benchmarks.commands import project as generate
from benchmarks.engines import SERVICE, Build, Engine
from benchmarks.index import Index
from benchmarks.life_index import Pages
from benchmarks.measure import BenchmarkError, Progress, machine, run
from benchmarks.registry import Registry
from benchmarks.results import Record, Results
from benchmarks.scenario import EVENTS, START, Event, Locks, blocks_of
from benchmarks.variants import Variant, settings

METHOD = "5"  # raised when something else is measured, or in another way
SETTLE = 0.5  # seconds
COST = {"service": 1.0, "heavy": 2.0}  # of an event, for the remaining time
ATTEMPTS = 3  # at a repeat in which a build failed, or in which the real index had to be asked
INSTALLERS = {"pip", "setuptools", "wheel"}  # what images may hold beside the lock
DERIVED = {"poetry.lock", "Pipfile.lock"}  # made of the lock, and of a port that is another each time
MANIFEST = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Workshop:
    """What all rounds share.

    Args:
        engine: the image of the engines, such as docker:dind.
    """

    folder: Path
    index: Index
    registry: Registry
    engine: str
    python: str
    project: Path
    locks: dict[str, Locks]
    sizes: dict[str, int]
    """Bytes of wheels by pin, for our own layers."""
    answers: dict[str, str] = field(default_factory=dict)
    """What the first variant answered, by path; all others have to answer the same."""

    @classmethod
    def open(cls, folder: Path, index: Index, registry: Registry, engine: str, sets: list[str]) -> "Workshop":
        """Generate the service and resolve its locks."""
        project = generate(folder / "built", scenario.PYTHON)
        locks = {name: scenario.locks_of(name, project, index) for name in sets}
        pins = {block.split()[0] for texts in locks.values() for lock in texts for block in blocks_of(lock).values()}
        with Pages(index.upstream, folder / "pages") as pages:
            sizes = {pin: pages.size(*pin.split("==")) for pin in sorted(pins)}
        return cls(folder, index, registry, engine, scenario.PYTHON, project, locks, sizes)

    @property
    def image(self) -> str:
        """The base image by its public name."""
        return f"python:{self.python}-slim"

    def secrets(self) -> Iterator[str]:
        """Write the files by which a build finds the package index; yield an option for each."""
        for name, text in settings(self.index.url).items():
            path = self.project.parent / name
            path.write_text(text, encoding="utf-8")
            yield f"--secret=id={name},src={path}"

    def inputs(self, store: str, variants: Sequence[Variant], start: str, *told_too: str) -> str:
        """Return a digest of what figures of these variants depend on and are measured with, but the machine's speed.

        Args:
            start: the lock that the service starts with.
            told_too: what else there is to depend on.
        """
        for variant in variants:
            trials.prepare(variant, self.project, start, start, self.index.url, self.sizes)
        images = [
            run("docker", "image", "inspect", "--format", "{{.Id}}", image).output
            for image in (self.engine, self.image)
        ]
        told = [METHOD, store, str(self.index.rate), machine(), *images, start, *told_too]
        told += sorted(f"{variant.name} {trials.output_of(variant)}" for variant in variants)
        for path in sorted(self.project.rglob("*")):
            if path.is_file() and path.name not in DERIVED:
                told += [str(path.relative_to(self.project)), path.read_text(encoding="utf-8")]
        return hashlib.sha256("\0".join(told).replace(self.index.url, "").encode()).hexdigest()[:16]

    def push_bases(self) -> None:
        """Put the base image, and one with another file, into the registry; an engine of the run can, without TLS."""
        with Engine(self.engine, "containerd", self.registry.address) as engine:
            archive = self.folder / "base.tar"
            run("docker", "save", "--output", archive, self.image)
            engine.docker("load", "--input", archive)
            archive.unlink()
            context = self.folder / "next-base"
            context.mkdir(exist_ok=True)
            (context / "Dockerfile").write_text(
                f"FROM {self.image}\nCOPY Dockerfile /etc/next-base\n", encoding="utf-8"
            )
            engine.docker("build", "--quiet", "--provenance=false", "--tag", self.base("next"), context)
            engine.docker("tag", self.image, self.base("today"))
            for which in ("today", "next"):
                engine.docker("push", "--quiet", self.base(which))

    def base(self, which: str) -> str:
        """Return the name of a base image in the registry."""
        return f"{self.registry.address}/base:{which}"


class Round:
    """One variant in one repeat."""

    def __init__(self, shop: Workshop, name: str, store: str, variant: Variant, repeat: int, inputs: str) -> None:
        self.shop, self.name, self.store, self.variant = shop, name, store, variant
        self.record = Record(name, store, variant.name, event="", repeat=repeat, inputs=inputs, rate=shop.index.rate)
        self.repository = f"{shop.registry.address}/{variant.name}-{secrets.token_hex(4)}"

    def events(self) -> list[Event]:
        """Return what can happen. The builder of the overlay2 store neither writes nor reads a registry cache."""
        if self.variant in trials.TRIALS:
            return [event for event in EVENTS if event.name in trials.EVENTS]
        return [event for event in EVENTS if self.store == "containerd" or not event.cached]

    def expected(self, event: Event) -> Record:
        """Return the record of an event, without figures."""
        return replace(self.record, event=event.name)

    def engine(self) -> AbstractContextManager[Engine]:
        """Return a new engine."""
        return Engine(self.shop.engine, self.store, self.shop.registry.address)

    def one_on_another_engine(self, event: Event) -> Record | None:
        """Make an event happen for a builder that starts empty."""
        with self.engine() as engine:
            return self.one(engine, event)

    def one(self, engine: Engine, event: Event) -> Record | None:
        """Make an event happen, build, push, and undo the event; return None when the real index had to be asked."""
        shop = self.shop
        self.prepare(event)
        before = scenario.edit(event, shop.project)
        options = ["--cache-from", f"type=registry,ref={self.repository}:cache"] if event.cached else []
        try:
            asked, sent = shop.index.asked, shop.index.traffic()
            shop.registry.take()
            settle()
            build = self.build(engine, event, *options)
            passage, sent = shop.registry.take(), shop.index.traffic() - sent
            engine.docker("push", "--quiet", self.tag(event))
            pushed = shop.registry.take().pushed
        finally:
            for path, text in before.items():
                path.write_text(text, encoding="utf-8")
        layers = self.layers(event)
        self.check(engine, event)
        first_answer, cache = 0.0, 0
        if event == START:
            first_answer = self.first_answer(engine, self.tag(event))
            cache = self.export_cache(engine, event)
        if shop.index.asked != asked:
            return None
        return replace(
            self.record, event=event.name, where=f"{engine.version}, {machine()}", seconds=build.seconds,
            ran=build.ran, wheels=dict(sent.files), pages=sent.pages, pushed=pushed, pulled=sum(passage.pulled.values()),
            pulled_layers=sum(digest in layers for digest in passage.pulled), layers=list(layers.values()),
            first_answer=first_answer, cache=cache,
        )  # fmt: skip

    def lock(self, event: Event) -> str:
        """Return the lock of an event."""
        text: str = getattr(self.shop.locks[self.name], event.lock)
        return text

    def prepare(self, event: Event) -> None:
        """Write what the variant installs from."""
        shop, baseline = self.shop, getattr(self.shop.locks[self.name], event.baseline)
        trials.prepare(self.variant, shop.project, self.lock(event), baseline, shop.index.url, shop.sizes)

    def tag(self, event: Event) -> str:
        """Return the name of an event's image. One name for all would have the engine remove layers during a build.

        The registry has got the layers of the events before, so that it receives what is new. A builder that starts
        empty pushes where only those of the start are.
        """
        place = f"{self.repository}-{event.name}" if event.cached else self.repository
        return f"{place}:{event.name}"

    def build(self, engine: Engine, event: Event, *options: str) -> Build:
        """Build the image into the engine's store."""
        shop = self.shop
        return engine.build(
            shop.project, "--file", self.variant.dockerfile, "--build-arg", f"PYTHON={shop.python}", *shop.secrets(),
            "--build-context", f"{shop.image}=docker-image://{shop.base(event.base)}", *options,
            f"--output=type=image,name={self.tag(event)}{trials.output_of(self.variant)}",
        )  # fmt: skip

    def export_cache(self, engine: Engine, start: Event) -> int:
        """Write a cache of the start to the registry, for builders that start empty; return its bytes beside the image."""
        if self.store != "containerd":
            return 0
        self.shop.registry.take()
        mode = self.variant.cache_mode
        self.build(engine, start, "--cache-to", f"type=registry,ref={self.repository}:cache,mode={mode}")
        written = self.shop.registry.take().pushed
        for event in (event for event in self.events() if event.cached):
            engine.docker("tag", self.tag(start), self.tag(event))
            engine.docker("push", "--quiet", self.tag(event))
        return written

    def layers(self, event: Event) -> dict[str, int]:
        """Return the compressed size of each layer of the image that was pushed, by digest."""
        name = self.tag(event).partition("/")[2].partition(":")[0]
        manifest = json.loads(self.shop.registry.get(f"/v2/{name}/manifests/{event.name}", MANIFEST))
        return {layer["digest"]: int(layer["size"]) for layer in manifest["layers"]}

    def check(self, engine: Engine, event: Event) -> None:
        """Raise BenchmarkError when the image has other packages than the lock: more, fewer, or of other versions."""
        probe = "import importlib.metadata as m, json, re; print(json.dumps([re.sub('[-_.]+', '-', d.name).lower() + '==' + d.version for d in m.distributions()]))"
        installed = json.loads(engine.docker("run", "--rm", self.tag(event), "python", "-c", probe))
        found = {pin for pin in installed if pin.partition("==")[0] not in INSTALLERS}
        if wrong := found ^ {block.split()[0] for block in blocks_of(self.lock(event)).values()}:
            raise BenchmarkError(f"the image and the lock differ in {', '.join(sorted(wrong))}")

    def first_answer(self, engine: Engine, tag: str) -> float:
        """Start the image; return the seconds to its first answer. Raises BenchmarkError when others answer otherwise."""
        name, port = f"service-{secrets.token_hex(4)}", engine.port(SERVICE)
        key = f"SECRET_KEY={secrets.token_urlsafe(32)}"
        started = time.perf_counter()
        engine.docker("run", "--detach", "--name", name, "--publish", f"{SERVICE}:{SERVICE}", "--env", key, tag)
        answer = get(port, "/readyz", started + 60)
        seconds = time.perf_counter() - started
        engine.docker("rm", "--force", name)
        if answer != self.shop.answers.setdefault("/readyz", answer):
            raise BenchmarkError(f"/readyz answers {answer}, others {self.shop.answers['/readyz']}")
        return seconds


def settle() -> None:
    """Let the disk and the engines end what the build before has left them to do: every build that is timed finds a quiet machine."""
    os.sync()
    time.sleep(SETTLE)


def get(port: int, path: str, give_up: float) -> str:
    """Return the body of the first answer 200 before the time `give_up`; else raise BenchmarkError."""
    while time.perf_counter() < give_up:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
            if response.status == 200:
                return body
        except (OSError, http.client.HTTPException):
            time.sleep(0.01)
        finally:
            connection.close()
    raise BenchmarkError(f"the service does not answer {path}")


def take_turns(
    rounds: Sequence[Round], done: Callable[[list[Record]], bool], events: Sequence[Event] = EVENTS
) -> Iterator[Record]:
    """Yield the records of rounds of the same set, store and repeat, event by event.

    An event that is `done` for all is built again and not counted: the next ones find the caches as it left them.
    Only builders that start empty leave nothing behind. A round in which something fails has no further records; the
    others go on.
    """
    engines: dict[Variant, Engine] = {}
    failed: set[Variant] = set()
    with ExitStack() as stack:
        for event in events:
            here = [turn for turn in rounds if event in turn.events() and turn.variant not in failed]
            known = done([turn.expected(event) for turn in here])
            if known and event.cached:
                continue
            for turn in here:
                try:
                    if event.cached:
                        record = turn.one_on_another_engine(event)
                    else:
                        if turn.variant not in engines:
                            engines[turn.variant] = stack.enter_context(turn.engine())
                        record = turn.one(engines[turn.variant], event)
                except BenchmarkError as error:
                    failed.add(turn.variant)
                    print(f"benchmarks: {turn.variant.name}, {event.name}: {error}", file=sys.stderr)
                else:
                    if record and not known:
                        yield record


def missing(group: Sequence[Round], results: Results) -> list[Record]:
    """Return the records, without figures, that rounds do not have yet."""
    expected = [turn.expected(event) for turn in group for event in turn.events()]
    return [record for record in expected if not results.have([record])]


def measure_builds(todo: Sequence[Sequence[Round]], results: Results, events: Sequence[Event] = EVENTS) -> None:
    """Measure groups of rounds. Raises BenchmarkError when one is not complete after some attempts."""
    progress = Progress(sum(COST.get(record.set, 1.0) for group in todo for record in missing(group, results)))
    for group in todo:
        attempts = 0
        while missing(group, results) and attempts < ATTEMPTS:
            attempts += 1
            for record in take_turns(group, results.have, events):
                progress.advance(0 if results.have([record]) else COST.get(record.set, 1.0))
                results.add(record)
                where = f"{record.set}, {record.store}, repeat {record.repeat + 1}"
                progress.say(f"{where}: {record.event}: {record.variant} {record.seconds:.2f} s")
    if failed := [group for group in todo if missing(group, results)]:
        raise BenchmarkError(
            f"{len(failed)} of {len(todo)} repeats are not complete, see above; the same command goes on with them"
        )
