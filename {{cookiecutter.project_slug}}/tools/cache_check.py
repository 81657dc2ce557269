"""Proves that a build of the image reinstalls only what changed. Standard library only.

    python tools/cache_check.py [options of docker build]
    make cache-check ARGS='--secret id=uv.toml,src=uv.toml'

Builds a copy of this project, changes one thing at a time (code, version, a package, the baseline) and builds
again. What was installed is read from the layers that are new, so a quiet installer hides nothing; what was
downloaded only the installer knows, so there it must not be quiet.

Arguments of the Dockerfile whose names speak of a commit or a version get a new value as one of the changes.
One that only looks so is left alone when its value is given: ARGS='--build-arg GIT_VERSION=2.47'

Ends with 0 when nothing is done in vain, 1 when something is or a build fails, 2 without a Docker engine.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import lock

CODE = "{{ cookiecutter.package_name }}/__init__.py"
PROD, BASELINE, DEV = (f"requirements/{name}.txt" for name in ("prod", "baseline", "dev"))

# A plain build log has "#8 [packages 1/1] RUN ..." once, then "#8 CACHED", or "#8 0.404 what the step printed".
LOG_LINE = re.compile(r"#(\d+) (?:\[(?!internal)([^\]]*\d+/\d+)\] (?!FROM)(.*)|(CACHED)|\d+\.\d+ (.*))")
INSTALLER = re.compile(r"\b(pip|uv|poetry|pdm)\b.*\b(install|sync)\b")  # in the command of a step
INSTALLED = re.compile(r" [+~] (\S+==\S+)|Successfully installed (.+)")  # says uv, says pip
DOWNLOADED = re.compile(r"Prepared (\d+) package|\s*Downloading \S+\.(?:whl|zip|tar\.gz)(?: |$)")  # the same
METADATA = re.compile(r"(?!.*/_vendor/)(?:.*/)?([^/]+-[^-/]+)\.dist-info/METADATA")
CHANGES_OFTEN = re.compile(
    r"(.*_)?(GIT|SHA|COMMIT|REVISION|REF|TIMESTAMP|BUILD_(ID|NUMBER|DATE|TIME))(_.*)?|((APP|IMAGE|SERVICE)_)?VERSION"
)


class CheckError(Exception):
    """What stopped the check, in one line that also says what to do."""


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


@dataclass
class Build:
    """What one build did."""

    event: str
    steps: list[Step]  # that ran: without those taken from the cache
    layers: list[str]  # of the image, lowest first
    packages: set[str]  # in the layers that the first image does not have
    seconds: float

    @property
    def spoken(self) -> set[str]:
        """The packages that were installed, as far as the installers say."""
        return {name for step in self.steps for name in step.installed}

    @property
    def installers(self) -> list[Step]:
        """The steps that install, as far as they can be told from the others."""
        speaking = [step for step in self.steps if step.installed]
        return speaking or [step for step in self.steps if INSTALLER.search(step.command)] or self.steps


def main(options: Sequence[str]) -> int:
    if {"-h", "--help"} & {*options}:
        print(__doc__)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    try:
        docker("version")
        docker("buildx", "version")
    except (CheckError, OSError) as error:
        say(f"no Docker engine with buildx answers ({error}); start or install it.")
        return 2
    try:
        lock.CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="cache-check-", dir=lock.CACHE) as scratch:
            copy_project(Path(scratch, "context"))
            builds, reasons = check(Builder(Path(scratch), options))
    except KeyboardInterrupt:
        say("interrupted; everything it made is removed again.")
        return 130
    except (CheckError, OSError) as error:
        say(str(error))
        return 1
    print(table(builds))
    lock.report_delta()
    print("FAIL: a build does more than it has to." if reasons else "PASS: a build reinstalls only what changed.")
    print("".join(f"  {reason}\n" for reason in reasons), end="")
    return 1 if reasons else 0


# The changes, and what each may cost


def check(builder: "Builder") -> tuple[list[Build], list[str]]:
    """Return the builds, and every reason to be unhappy with them."""
    prod, baseline = (lock.pins(builder.read(name)) for name in (PROD, BASELINE))
    delta = {package_name(pin) for pin in {*prod} - {*baseline}}
    pin = spare_pin(builder.read(DEV), {package_name(pin) for pin in prod})
    added = package_name(pin)
    arguments = changing_arguments(builder.read("Dockerfile"), builder.options)
    builder.arguments = new_values(arguments)
    builder.append({PROD: "", BASELINE: ""})  # the packages of this run: no earlier build has left others in the cache

    builds = [first := builder.build("first build")]
    builds.append(code := builder.build("change code", {CODE: ""}))
    reasons = judge_unchanged(code, "Move what copies or mounts the code below it.")
    if code.layers == first.layers:
        reasons.append(f"{code.event}: {CODE} is not in the image; COPY the code in its last stage.")
    if arguments:
        builds.append(version := builder.build("change version", arguments=new_values(arguments)))
        reasons += judge_unchanged(version, f"Move ARG {', '.join(arguments)} and what uses it below it.")
    builds.append(package := builder.build(f"add {added}", {PROD: pin}))
    reasons += judge_added(package, added, delta)
    builds.append(rebaseline := builder.build("rebaseline", {PROD: pin, BASELINE: pin}))
    return builds, reasons + judge_downloads(rebaseline)


def judge_unchanged(build: Build, advice: str) -> list[str]:
    """Return why a build is wrong that had nothing to install."""
    if again := build.packages | build.spoken:
        return [f"{build.event}: {counted(again)} installed again by {labels(build.installers)}. {advice}"]
    if quiet := [step for step in build.steps if INSTALLER.search(step.command)]:  # and its result is not new
        return [f"{build.event}: {labels(quiet)} ran an installer again. {advice}"]
    return []


def judge_added(build: Build, added: str, delta: set[str]) -> list[str]:
    """Return why a build is wrong that had one package to install, and perhaps the delta that was there already."""
    if added not in build.packages:
        return [f"{build.event}: it is not in the image; let the Dockerfile install {PROD}."]
    if others := (build.packages | build.spoken) - delta - {added}:
        advice = f"Install {BASELINE} in one step, and in the next what {PROD} has besides."
        return [f"{build.event}: {counted(others)} installed again by {labels(build.installers)}. {advice}"]
    return []


def judge_downloads(build: Build) -> list[str]:
    """Return why a build is wrong that had to install everything again, when a cache mount could hold it all."""
    reasons = []
    if steps := [step for step in build.steps if step.downloads]:
        count = sum(step.downloads for step in steps)
        advice = "Mount a cache at the installer's own path, without UV_NO_CACHE or --no-cache-dir"
        advice += "; pip also needs an index that allows caching."
        reasons.append(f"{build.event}: {count} packages downloaded again by {labels(steps)}. {advice}")
    if build.packages - build.spoken or not build.spoken:
        advice = "Let the installer speak: no -q, --quiet or PIP_QUIET."
        reasons.append(f"{build.event}: {labels(build.installers)} did not say what is downloaded. {advice}")
    return reasons


def spare_pin(dev: str, taken: set[str]) -> str:
    """Return a pin with its hashes from dev.txt, not taken: small, pure, in need of nothing else."""
    needy = set(re.findall(r"^ +#(?: via)? +([a-z0-9._-]+)$", dev, re.MULTILINE))
    pins: list[str] = re.findall(r"^[a-z0-9._-]+==[^ ;]+ \\\n(?: +--hash.*\n)+", dev, re.MULTILINE)
    spare = [pin for pin in pins if package_name(pin) not in taken | needy]
    if not spare:
        raise CheckError(f"{DEV} has nothing to try that {PROD} does not have; add iniconfig to requirements/dev.in.")
    return min(spare, key=lambda pin: (pin.count("--hash="), pin))  # a pure package has the fewest files


def changing_arguments(dockerfile: str, options: Iterable[str]) -> list[str]:
    """Return the build arguments that change with a commit, going by their names, without those given as options."""
    stages = re.split(r"^FROM ", dockerfile, maxsplit=1, flags=re.MULTILINE)[-1]
    names = [word.partition("=")[0] for line in re.findall(r"^ARG (.+)", stages, re.MULTILINE) for word in line.split()]
    given = {option.removeprefix("--build-arg=").partition("=")[0] for option in options}
    return sorted({name for name in names if CHANGES_OFTEN.fullmatch(name)} - given)


def new_values(arguments: Iterable[str]) -> list[str]:
    """Return docker options that give arguments values never used before, fit for a commit, a number, a version."""
    values = {name: "0.0." * name.endswith("VERSION") + str(10**39 + secrets.randbelow(10**39)) for name in arguments}
    return [f"--build-arg={name}={value}" for name, value in values.items()]


# Building


class Builder:
    """Builds the copy with one change at a time, and compares each image with the first."""

    def __init__(self, scratch: Path, options: Sequence[str]) -> None:
        self.scratch, self.context, self.options = scratch, scratch / "context", options
        self.arguments: list[str] = []
        self.known: list[str] = []  # the layers of the first image

    def read(self, name: str) -> str:
        """Return the text of a file of the copy."""
        return (self.context / name).read_text(encoding="utf-8")

    def append(self, additions: Mapping[str, str]) -> None:
        """Add text to the end of files, and a comment that no earlier build has seen."""
        for name, text in additions.items():
            with (self.context / name).open("a", encoding="utf-8", newline="\n") as file:
                file.write(f"\n{text}# {secrets.token_hex(8)}\n")

    def build(self, event: str, additions: Mapping[str, str] | None = None, arguments: Sequence[str] = ()) -> Build:
        """Build with text added to the end of files; they are as before afterwards, and the image is gone."""
        tag = f"cache-check:{os.getpid()}-{secrets.token_hex(8)}"
        before = {name: (self.context / name).read_bytes() for name in additions or {}}
        self.append(additions or {})
        try:
            started = time.monotonic()
            log = self.run(event, [*self.options, *(arguments or self.arguments), "--tag", tag, str(self.context)])
            seconds = time.monotonic() - started
            layers: list[str] = json.loads(docker("image", "inspect", tag))[0]["RootFS"]["Layers"]
            packages = set[str]()
            if self.known and not {*layers} <= {*self.known}:
                docker("image", "save", "--output", str(self.scratch / "image.tar"), tag)
                packages = packages_in(self.scratch / "image.tar", layers, self.known)
            self.known = self.known or layers
        finally:
            subprocess.run(["docker", "image", "rm", "--force", tag], capture_output=True, check=False)
        for name, original in before.items():
            (self.context / name).write_bytes(original)
        return Build(event, [step for step in parse_steps(log) if not step.cached], layers, packages, seconds)

    def run(self, event: str, options: Sequence[str]) -> str:
        """Return the log of a build, with a dot per second as a sign of life. Raises CheckError when it fails."""
        print(f"cache-check: {event} ", end="", file=sys.stderr, flush=True)
        environment = os.environ | {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        environment.pop("SOURCE_DATE_EPOCH", None)  # with it, a layer that is installed again can look the same
        command = ["docker", "buildx", "build", "--progress=plain", "--load", *options]
        with (self.scratch / "log").open("w+b") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    try:
                        process.wait(timeout=1)
                    except subprocess.TimeoutExpired:
                        print(".", end="", file=sys.stderr, flush=True)
            finally:
                print(file=sys.stderr)
                process.terminate()
                process.wait()  # only then is there no image that comes too late to be removed
            output.seek(0)
            log = output.read().decode(errors="replace")
        if process.returncode:
            print(*log.splitlines()[-20:], sep="\n", file=sys.stderr)
            raise CheckError(f"the build failed at '{event}', see above; what docker build needs goes into ARGS='...'.")
        return log


def docker(*arguments: str) -> str:
    """Return what a short docker command prints. Raises CheckError with its last words."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        raise CheckError(f"docker {arguments[0]}: {(result.stderr.strip() or 'it said nothing').splitlines()[-1]}")
    return str(result.stdout)


def copy_project(target: Path) -> None:
    """Copy what git knows or would add; where git knows nothing, everything but what tools made."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=lock.PROJECT, capture_output=True, check=False).stdout
    except OSError:
        listed = b""
    names = os.fsdecode(listed).split("\0")
    if "Dockerfile" not in names:  # no git, or an outer repository that ignores the project
        skip = shutil.ignore_patterns(".git", ".venv", ".cache")
        shutil.copytree(lock.PROJECT, target, symlinks=True, ignore=skip)
        return
    for name in names:
        if (lock.PROJECT / name).is_file():  # not deleted since
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(lock.PROJECT / name, target / name, follow_symlinks=False)


# Reading


def parse_steps(log: str) -> list[Step]:
    """Return the steps that a plain build log tells of."""
    steps: dict[str, Step] = {}
    for match in filter(None, map(LOG_LINE.match, log.splitlines())):
        number, label, command, cached, output = match.groups()
        if label:
            steps.setdefault(number, Step(label, command))
        elif number in steps:
            steps[number].cached |= cached is not None
            steps[number].output += [output] if output else []
    return list(steps.values())


def packages_in(archive: Path, layers: Sequence[str], known: Sequence[str]) -> set[str]:
    """Return the packages in the layers of a saved image, except for layers that are known."""
    found = set[str]()
    with tarfile.open(archive) as image:
        names: list[str] = json.load(member(image, "manifest.json"))[0]["Layers"]
        for layer, name in zip(layers, names, strict=True):
            if layer not in known:
                with tarfile.open(fileobj=member(image, name)) as files:  # compressed or not: engines differ
                    found |= {package_name(match[1]) for match in map(METADATA.fullmatch, files.getnames()) if match}
    return found


def member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """Return a file in an archive."""
    return cast(IO[bytes], archive.extractfile(name))


def package_name(pin: str) -> str:
    """Return the normalised name (PEP 503) of flask==3.1.3 or flask-3.1.3, the version being optional."""
    name = pin.partition("==")[0] if "==" in pin else re.sub(r"-[^-]+$", "", pin)
    return re.sub(r"[-_.]+", "-", name).lower()


# Telling


def table(builds: Iterable[Build]) -> str:
    """Return what each build did, a line each."""
    rows = [("event", "seconds", "downloaded", "installed", "steps that ran")]
    for build in builds:
        downloads = sum(step.downloads for step in build.steps)
        installed = counted(build.packages | build.spoken) or "nothing"
        rows.append((build.event, f"{build.seconds:.1f}", str(downloads), installed, labels(build.steps) or "none"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def counted(packages: set[str]) -> str:
    """Return the packages by name when they are few, else how many there are."""
    return ", ".join(sorted(packages)) if len(packages) <= 3 else f"{len(packages)} packages"


def labels(steps: Iterable[Step]) -> str:
    """Return the places of steps, as the build log has them."""
    return ", ".join(f"[{step.label}]" for step in steps)


def say(message: str) -> None:
    """Tell the person who waits; standard output is for the result."""
    print(f"cache-check: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
