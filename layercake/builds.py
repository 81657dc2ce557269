"""Builds the image of a copy of a service and reads what each build did. For `layercake cache-check`."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, cast

# A plain build log has "#8 [packages 1/1] RUN ..." once, then "#8 CACHED", or "#8 0.404 what the step printed".
LOG_LINE = re.compile(r"#(\d+) (?:\[(?!internal)([^\]]*\d+/\d+)\] (?!FROM)(.*)|(CACHED)|\d+\.\d+ (.*))")
INSTALLER = re.compile(r"\b(pip|uv|pipenv|poetry)\b.*\b(install|sync)\b")  # uv's cache and sync.py do as well
INSTALLED = re.compile(r" [+~] (\S+==\S+)|Successfully installed (.+)")  # says uv, says pip
DOWNLOADED = re.compile(r"Prepared (\d+) package|\s*Downloading \S+\.(?:whl|zip|tar\.gz)(?: |$)")  # the same
METADATA = re.compile(r"(?!.*/_vendor/)(?:.*/)?([^/]+-[^-/]+)\.dist-info/METADATA")


class BuildError(Exception):
    """What stopped a build, in one line that also says what to do."""


@dataclass
class Step:
    """One instruction of the Dockerfile in one build."""

    label: str  # its stage and place there, like "packages 1/1"
    command: str
    cached: bool = False
    output: list[str] = field(default_factory=list)

    @property
    def installed(self) -> set[str]:
        """What the installer says it has installed."""
        found = [match for line in self.output if (match := INSTALLED.match(line))]
        return {package_name(pin) for match in found for pin in (match[1] or match[2]).split()}

    @property
    def downloads(self) -> int:
        """How many packages the installer says it has downloaded."""
        return sum(int(match[1] or 1) for line in self.output if (match := DOWNLOADED.match(line)))


class Layer(NamedTuple):
    """A layer of an image. One that is made again has another time, though perhaps the same digest."""

    digest: str
    made: str


@dataclass
class Build:
    """What one build did."""

    event: str
    seconds: float
    steps: list[Step]  # that ran
    tag: str
    before: "Build | None"  # what it is compared with
    layers: list[Layer] = field(default_factory=list)  # lowest first
    packages: set[str] = field(default_factory=set)  # in the layers that were made since
    pushed: int = 0  # bytes, compressed, of the layers that were not there before

    @property
    def spoken(self) -> set[str]:
        """The packages that were installed, as far as the installers say."""
        return {name for step in self.steps for name in step.installed}

    @property
    def downloads(self) -> int:
        """How many packages were downloaded, as far as the installers say."""
        return sum(step.downloads for step in self.steps)

    @property
    def installed(self) -> set[str]:
        """The packages that were installed, whoever says so."""
        return self.packages | self.spoken

    @property
    def named_installers(self) -> list[Step]:
        """The steps that install, going by their commands."""
        return [step for step in self.steps if INSTALLER.search(step.command)]

    @property
    def installers(self) -> list[Step]:
        """The steps that install, as far as they can be told from the others."""
        return [step for step in self.steps if step.installed] or self.named_installers or self.steps


class Builder:
    """Builds the copy with one change at a time."""

    def __init__(self, scratch: Path, options: Sequence[str], wait: Callable[[subprocess.Popen[bytes]], None]) -> None:
        """Take a folder that has the copy in `context`, options of docker build, and how to wait for a process."""
        self.scratch, self.context, self.options, self.wait = scratch, scratch / "context", options, wait
        self.arguments: list[str] = []
        self.builds: list[Build] = []
        self.tags: list[str] = []

    def read(self, name: str) -> str:
        """Return the text of a file of the copy."""
        return (self.context / name).read_text(encoding="utf-8")

    def write(self, files: Mapping[str, str]) -> None:
        """Give files of the copy another text."""
        for name, text in files.items():
            (self.context / name).write_text(text, encoding="utf-8", newline="\n")

    def build(self, event: str, files: Mapping[str, str], *arguments: str, before: Build | None) -> Build:
        """Build with another text in some files; they are as they were afterwards."""
        self.tags.append(tag := f"cache-check:{os.getpid()}-{secrets.token_hex(8)}")
        original = {name: (self.context / name).read_bytes() for name in files}
        self.write(files)
        started = time.monotonic()
        log = self.run(event, [*self.options, *(arguments or self.arguments), "--tag", tag, str(self.context)])
        seconds = time.monotonic() - started
        for name, content in original.items():
            (self.context / name).write_bytes(content)
        self.builds.append(build := Build(event, seconds, ran(log), tag, before))
        return build

    def read_images(self) -> None:
        """Find out what is new in the image of each build. All are saved at once: they share most of their layers."""
        made = [build for build in self.builds if build.steps or not build.before]
        docker("image", "save", "--output", str(self.scratch / "images.tar"), *(build.tag for build in made))
        with tarfile.open(self.scratch / "images.tar") as archive:
            for build in made:
                read_image(archive, build)

    def remove_images(self) -> None:
        """Remove the images. What was built stays in the build cache, until the engine needs the room."""
        subprocess.run(["docker", "image", "rm", "--force", *self.tags], capture_output=True, check=False)

    def run(self, event: str, options: Sequence[str]) -> str:
        """Return the log of a build, with a dot per second as a sign of life. Raises BuildError when it fails."""
        print(f"cache-check: {event} ", end="", file=sys.stderr, flush=True)
        environment = os.environ | {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        environment.pop("SOURCE_DATE_EPOCH", None)  # with it, the image does not tell when a layer was made
        command = ["docker", "buildx", "build", "--progress=plain", "--load", *options]
        with (self.scratch / "log").open("w+b") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
            try:
                self.wait(process)
            finally:
                print(file=sys.stderr)
                process.terminate()
                process.wait()  # only then is there no image that comes too late to be removed
            output.seek(0)
            log = output.read().decode(errors="replace")
        if process.returncode:
            print(*log.splitlines()[-20:], sep="\n", file=sys.stderr)
            raise BuildError(f"the build failed at '{event}', see above; what docker build needs goes into ARGS='...'.")
        return log


def docker(*arguments: str) -> None:
    """Run a short docker command. Raises BuildError with its last words."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(f"docker {arguments[0]}: {(result.stderr.strip() or 'it said nothing').splitlines()[-1]}")


def copy_project(project: Path, target: Path) -> None:
    """Copy what git knows or would add; where git knows nothing, everything but what tools made."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=project, capture_output=True, check=False).stdout
    except OSError:
        listed = b""
    names = os.fsdecode(listed).split("\0")
    if "Dockerfile" not in names:  # no git, or an outer repository that ignores the project
        skip = shutil.ignore_patterns(".git", ".venv", ".cache")
        shutil.copytree(project, target, symlinks=True, ignore=skip)
        return
    for name in names:
        if (project / name).is_file():  # not deleted since
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, target / name, follow_symlinks=False)


# Reading


def ran(log: str) -> list[Step]:
    """Return the steps that a plain build log tells of, without those taken from the cache."""
    steps: dict[str, Step] = {}
    for match in filter(None, map(LOG_LINE.match, log.splitlines())):
        number, label, command, cached, output = match.groups()
        if label:
            steps.setdefault(number, Step(label, command))
        elif number in steps:
            steps[number].cached |= cached is not None
            steps[number].output += [output] if output else []
    return [step for step in steps.values() if not step.cached]


def read_image(archive: tarfile.TarFile, build: Build) -> None:
    """Add to a build its layers, and what is new in them, from the saved images."""
    manifests = json.load(member(archive, "manifest.json"))
    image = next(manifest for manifest in manifests if build.tag in (manifest["RepoTags"] or []))
    config = json.load(member(archive, image["Config"]))
    # What COPY makes is found by what it copies: it may be of another build, and of another time.
    layers = [entry for entry in config["history"] if not entry.get("empty_layer")]
    times = ["" if entry.get("created_by", "").startswith("COPY ") else entry["created"] for entry in layers]
    build.layers = [Layer(*pair) for pair in zip(config["rootfs"]["diff_ids"], times, strict=True)]
    if not build.before:
        return  # an image of its own, base and all
    digests = {layer.digest for layer in build.before.layers}
    for layer, name in zip(build.layers, image["Layers"], strict=True):
        if layer not in build.before.layers:
            build.packages |= packages_in(member(archive, name))
        if layer.digest not in digests:
            build.pushed += compressed_size(member(archive, name))


def member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """Return a file in an archive."""
    return cast(IO[bytes], archive.extractfile(name))


def packages_in(layer: IO[bytes]) -> set[str]:
    """Return the packages that a layer brings."""
    with tarfile.open(fileobj=layer) as files:  # compressed or not: engines differ
        return {package_name(match[1]) for match in map(METADATA.fullmatch, files.getnames()) if match}


def compressed_size(layer: IO[bytes]) -> int:
    """Return the size of a layer as it is pushed: gzip's, or zlib's at level 6 where the engine keeps it unpacked."""
    if layer.read(2) == b"\x1f\x8b":
        return layer.seek(0, os.SEEK_END)
    layer.seek(0)
    packer = zlib.compressobj(6)
    return sum(len(packer.compress(chunk)) for chunk in iter(lambda: layer.read(1 << 20), b"")) + len(packer.flush())


def package_name(pin: str) -> str:
    """Return the normalised name (PEP 503) of flask==3.1.3 or flask-3.1.3, the version being optional."""
    name = pin.partition("==")[0] if "==" in pin else re.sub(r"-[^-]+$", "", pin)
    return re.sub(r"[-_.]+", "-", name).lower()
