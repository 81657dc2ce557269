"""What a change costs in Docker: events x variants, on two sets of packages.

How every repeat starts from the same warm state. All locks of a run begin with a comment that no other run
has, and the cache mounts have a name of their own (BUILDKIT_CACHE_MOUNT_NS), so nothing is left over from an
earlier run. Each variant is then built once, untimed: its layers are in the build cache, and its wheels
are in the cache mount where it has one. Events never build upon each other: each changes that first state
and is undone. "One package added" adds another package in every repeat, the same one for all variants, so
neither its wheel nor a layer with it can be there already.
"""

import hashlib
import http.client
import json
import re
import secrets
import shutil
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.commands import ROOT, project
from benchmarks.index import Index
from benchmarks.measure import BenchmarkError, Line, Progress, Run, Spread, compare, limit, run

PYTHON: str = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["python_version"][0]
SETS: dict[str, list[str]] = {"service": [], "heavy": ["numpy", "pandas"]}
"""What is installed beside the packages of the generated service."""

ADDED = (
    "cachetools", "idna", "more-itertools", "pyparsing", "semver", "sortedcontainers", "tabulate", "tenacity",
    "toolz", "xmltodict", "zipp",
)  # fmt: skip
"""Small pure-Python packages that need no others and that no set has; one for each repeat, some to spare."""

PROD = "requirements/prod.txt"

SET_COST = {"service": 45.0, "heavy": 120.0}  # seconds, for the remaining time
REPEAT_COST = {"service": 22.0, "heavy": 50.0}
COLD_COST = 80.0
LABEL = "layercake.benchmark"


class LostSnapshotError(BenchmarkError):
    """The engine removed what this build was about to unpack upon, because somebody else removed an image."""


class Variant(NamedTuple):
    """A way to build the image of the service."""

    name: str
    dockerfile: str  # relative to the project
    options: tuple[str, ...] = ()


OURS = Variant("ours", "Dockerfile")
CLASSIC = Variant("classic", "classic.Dockerfile", ("--build-arg", f"PYTHON={PYTHON}"))
VARIANTS = (OURS, CLASSIC)


class Build(NamedTuple):
    """A build that succeeded."""

    seconds: float
    ran: list[str]
    """The RUN steps that were not in the build cache, like "packages 1/1"."""


@dataclass
class Workshop:
    """A generated service, and what is needed to build it again and again."""

    path: Path
    index: Index
    token: str
    code: str
    """The source file that "code changed" edits, relative to the project."""
    before: dict[str, str] = field(default_factory=dict)
    """The text of the files that events change, as it is before each of them."""

    def build(self, variant: Variant, *options: str, output: tuple[str, ...] = ()) -> Build:
        """Build the image into the engine, or to `output`. Raises BenchmarkError with the log."""
        output = output or ("--tag", self.image(variant), "--label", f"{LABEL}={self.token}")
        command = ["docker", "buildx", "build", "--progress", "plain", "--network", "host", "--provenance=false"]
        command += ["--file", variant.dockerfile, *variant.options, *output]
        command += [f"--secret=id={name},src={self.path.parent / name}" for name in ("pip.conf", "uv.toml")]
        command += ["--build-arg", f"BUILDKIT_CACHE_MOUNT_NS={self.token}", *options, "."]
        try:
            result = run(*command, cwd=self.path)
        except BenchmarkError as error:
            if re.search(r"parent snapshot \S+ does not exist", str(error)):
                raise LostSnapshotError(str(error)) from error
            raise
        return Build(result.seconds, steps_that_ran(result.output))

    def image(self, variant: Variant) -> str:
        """Return the name of a variant's image."""
        return f"layercake-bench-{self.token}:{variant.name}"

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        (self.path / name).write_text(text, encoding="utf-8")

    def reset(self) -> None:
        """Undo what the last event changed."""
        for name, text in self.before.items():
            self.write(name, text)


def steps_that_ran(log: str) -> list[str]:
    """Return the RUN steps in a plain build log that the build cache did not have."""
    steps = dict(re.findall(r"^#(\d+) \[([^\]]+)\] RUN ", log, re.MULTILINE))
    cached = set(re.findall(r"^#(\d+) CACHED$", log, re.MULTILINE))
    return sorted(name for number, name in steps.items() if number not in cached)


@contextmanager
def workshop(work: Path, index: Index, packages: list[str]) -> Iterator[Workshop]:
    """Make a service that also needs `packages`; remove its images and caches at the end, whatever happens."""
    path = project(work / "built", PYTHON)
    (path.parent / "pip.conf").write_text(f"[global]\nindex-url = {index.url}\n", encoding="utf-8")
    (path.parent / "uv.toml").write_text(f'[[index]]\nurl = "{index.url}"\ndefault = true\n', encoding="utf-8")
    shutil.copy(Path(__file__).parent / "variants" / "classic.Dockerfile", path)
    code = str(next(path.glob("*/about.py")).relative_to(path))
    shop = Workshop(path, index, secrets.token_hex(4), code)
    prod = path / "requirements" / "prod.txt"
    if packages:
        wanted = path / "requirements" / "prod.in"
        wanted.write_text(wanted.read_text(encoding="utf-8") + "\n".join(packages) + "\n", encoding="utf-8")
        resolve(index, wanted, prod)
    lock = f"# {shop.token}\n" + prod.read_text(encoding="utf-8")
    shop.before = {PROD: lock, "requirements/baseline.txt": lock, code: (path / code).read_text(encoding="utf-8")}
    shop.reset()
    try:
        yield shop
    finally:
        clean(shop.token)


def clean(token: str) -> None:
    """Remove the containers, images and cache mounts of a run. Layers stay until the engine needs the room."""
    for things, remove in (("ps", ["rm", "--force"]), ("images", ["rmi", "--force"])):
        ids = run("docker", things, "--all", "--quiet", "--filter", f"label={LABEL}={token}").output.split()
        if ids:
            run("docker", *remove, *sorted(set(ids)))
    for record in run("docker", "buildx", "du", "--verbose").output.split("\n\n"):
        name = re.match(r"ID:\s+(\S+)", record)
        if name and token in record:
            run("docker", "buildx", "prune", "--force", "--filter", f"id={name[1]}")


def resolve(index: Index, wanted: Path, lock: Path, *options: str) -> None:
    """Lock what a file asks for, keeping the pins that the lock has."""
    run(
        sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate",
        "--generate-hashes", "--python-version", PYTHON, "--python-platform", "linux",
        "--default-index", index.url, "--output-file", lock, *options, wanted, env={"UV_FIND_LINKS": ""},
    )  # fmt: skip


def pins_to_add(work: Path, index: Index) -> dict[str, str]:
    """Return the pinned and hashed requirement of each package to add, by name."""
    wanted, lock = work / "added.in", work / "added.txt"
    wanted.write_text("\n".join(ADDED) + "\n", encoding="utf-8")
    lock.unlink(missing_ok=True)
    resolve(index, wanted, lock, "--no-deps")
    download = ("download", "--quiet", "--no-deps", "--dest", work / "added", "--requirement", lock)
    run(sys.executable, "-m", "pip", *download, env=index.for_pip())  # the local index then has the files
    blocks = re.split(r"\n(?=\w)", lock.read_text(encoding="utf-8").rstrip())
    return {block.split("==")[0]: block + "\n" for block in blocks}


class Round(NamedTuple):
    """One repeat of all events."""

    nothing: Build
    code: Build
    added: dict[str, Build]  # by variant
    layer: int  # bytes, of ours
    wheel: int  # bytes


def measure_round(shop: Workshop, package: str, pin: str) -> Round:
    """Carry out every event once. Raises BenchmarkError when one did not start from the warm state."""
    shop.reset()
    nothing = shop.build(OURS)
    shop.write(shop.code, shop.before[shop.code] + f"# the day {package} came\n")
    code = shop.build(OURS)
    shop.reset()
    shop.write(PROD, shop.before[PROD] + pin)
    added = {}
    before = shop.index.traffic()
    added[OURS.name] = shop.build(OURS)
    wheel = (shop.index.traffic() - before).file_bytes
    for variant in VARIANTS[1:]:
        added[variant.name] = shop.build(variant)
    for name, build in added.items():
        if len(build.ran) != 1:
            raise BenchmarkError(f"{name}: adding {package} ran {build.ran or 'nothing'} instead of one step")
    return Round(nothing, code, added, export(shop, shop.path.parent / "image.tar")[-3].size, wheel)


def measure_set(name: str, work: Path, index: Index, repeats: int, progress: Progress) -> list[Line]:
    """Measure the events on one set of packages: nothing changed, code changed, a package added."""
    if repeats > len(ADDED):
        raise BenchmarkError(f"--repeats: at most {len(ADDED)}, one for each package that can be added")
    rounds: list[Round] = []
    with workshop(work, index, SETS[name]) as shop:
        progress.say(f"{name}: first builds")
        for variant in VARIANTS:
            shop.build(variant)
        progress.advance(SET_COST[name])
        for package, pin in pins_to_add(work, index).items():
            try:
                rounds.append(measure_round(shop, package, pin))
            except LostSnapshotError:
                progress.say(f"{name}: the engine lost a snapshot while it cleaned up; repeating with the next")
                continue
            times = ", ".join(f"{variant} {build.seconds:.1f} s" for variant, build in rounds[-1].added.items())
            progress.say(f"{name} {len(rounds)}/{repeats}: + {package}: {times}")
            progress.advance(REPEAT_COST[name])
            if len(rounds) == repeats:
                check_answers(shop, package)
                break
        else:
            raise BenchmarkError(f"{name}: the engine lost too many snapshots; measure when it does nothing else")
        count = len(re.findall(r"^\w", shop.before[PROD], re.MULTILINE))
    return lines_of(rounds, f"({name}, {count} packages)")


def lines_of(rounds: list[Round], title: str) -> list[Line]:
    """Return the lines of the report for one set of packages."""
    seconds = {variant.name: [one.added[variant.name].seconds for one in rounds] for variant in VARIANTS}
    ratios = Spread.of([one.layer / one.wheel for one in rounds])
    layer, wheel = (Spread.of([getattr(one, name) / 1000 for one in rounds]).median for name in ("layer", "wheel"))
    figures = f"layer {layer:.0f} kB, wheel {wheel:.0f} kB ({ratios.low:.1f}..{ratios.high:.1f} x)"
    nothing, code = [one.nothing.seconds for one in rounds], [one.code.seconds for one in rounds]
    steps = sorted({step for one in rounds for step in one.code.ran})
    return [
        compare(f"One package added {title}", ("ours", seconds["ours"]), ("classic", seconds["classic"]), faster=12),
        Line(f"Its layer, against its wheel {title}", figures, ratios.median, 3),
        limit(f"Code changed, against nothing changed {title}", ("changed", code), ("nothing", nothing), times=1.6),
        Line(f"RUN steps after a code change {title}", ", ".join(steps) or "none", len(steps), 0, unit=""),
    ]


class Layer(NamedTuple):
    """A layer of an exported image."""

    digest: str
    size: int  # bytes, compressed


def export(shop: Workshop, tar: Path, *options: str, rewrite: bool = False) -> list[Layer]:
    """Write our image to an OCI archive and return its layers, lowest first."""
    shop.build(OURS, *options, output=("--output", f"type=oci,dest={tar},rewrite-timestamp={str(rewrite).lower()}"))
    with tarfile.open(tar) as archive:

        def blob(digest: str) -> dict[str, list[dict[str, str]]]:
            file = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file, digest
            content: dict[str, list[dict[str, str]]] = json.load(file)
            return content

        index_file = archive.extractfile("index.json")
        assert index_file, tar
        manifest = blob(json.load(index_file)["manifests"][0]["digest"])
    return [Layer(layer["digest"], int(layer["size"])) for layer in manifest["layers"]]


def check_answers(shop: Workshop, package: str) -> None:
    """Start every variant's image and raise BenchmarkError unless all have the package and answer alike."""
    answers = {}
    for variant in VARIANTS:
        name = f"layercake-bench-{shop.token}-{variant.name}"
        options = ["--detach", "--name", name, "--label", f"{LABEL}={shop.token}", "--publish", "127.0.0.1::8000"]
        run("docker", "run", *options, "--env", f"SECRET_KEY={secrets.token_urlsafe(32)}", shop.image(variant))
        port = run("docker", "port", name, "8000").output.rpartition(":")[2].strip()
        answers[variant.name] = get(int(port), "/readyz", name)
        probe = f"from importlib.metadata import version; version({package!r})"
        run("docker", "exec", name, "python", "-c", probe)
        run("docker", "rm", "--force", name)
    if len(set(answers.values())) != 1:
        raise BenchmarkError(f"the variants answer differently: {answers}")


def get(port: int, path: str, container: str) -> str:
    """Return the body of the first answer 200, within half a minute; else raise BenchmarkError with the logs."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
            if response.status == 200:
                return body
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        finally:
            connection.close()
    raise BenchmarkError(f"{container} does not answer {path}:\n{run('docker', 'logs', container).output}")


def measure_cold(work: Path, index: Index, progress: Progress) -> list[Line]:
    """Build the service twice from nothing, with packages fetched anew, and compare every layer."""
    archives = [work / "first.tar", work / "second.tar"]
    layers = []
    with workshop(work, index, []) as shop:
        for number, archive in enumerate(archives, start=1):
            progress.say(f"cold build {number}/2")
            shop.token, token = f"{shop.token}-{number}", shop.token
            epoch = ("--build-arg", "SOURCE_DATE_EPOCH=1700000000")
            layers.append(export(shop, archive, "--no-cache", *epoch, rewrite=True))
            shop.token = token
            progress.advance(COLD_COST / 2)
    pairs: list[tuple[Layer, Layer]] = list(zip(layers[0], layers[1], strict=True))
    differing = [number for number, (first, second) in enumerate(pairs) if first.digest != second.digest]
    found = f"{len(pairs)} layers each"
    if differing:
        found += f"; first difference: {difference(archives, pairs[differing[0]])}"
    return [Line("Layers that differ between two cold builds", found, len(differing), 0, unit="")]


def difference(archives: Sequence[Path], layers: Sequence[Layer]) -> str:
    """Return the name of the first file that differs between a layer of two archives."""
    contents: list[dict[str, tuple[object, ...]]] = []
    for path, layer in zip(archives, layers, strict=True):
        with tarfile.open(path) as archive:
            packed = archive.extractfile(f"blobs/{layer.digest.replace(':', '/')}")
            entries: dict[str, tuple[object, ...]] = {}
            with tarfile.open(fileobj=packed, mode="r:*") as files:
                for member in files:
                    file = files.extractfile(member)
                    digest = hashlib.sha256(file.read()).hexdigest() if file else ""
                    entries[member.name] = (digest, member.mtime, member.mode, member.uid, member.gid, member.linkname)
            contents.append(entries)
    names = sorted(contents[0].keys() | contents[1].keys())
    return next((n for n in names if contents[0].get(n) != contents[1].get(n)), "only the order of the files")


def versions() -> dict[str, str]:
    """Return the versions of what built the images."""
    engine: Run = run("docker", "version", "--format", "{{.Server.Version}}")
    store = run("docker", "info", "--format", "{{.Driver}}")
    buildx = run("docker", "buildx", "version")
    return {
        "Docker": f"{engine.output.strip()}, image store {store.output.strip()}",
        "buildx": buildx.output.split()[1],
        "image": f"python:{PYTHON}-slim",
    }
