"""Docker engines that start empty, in containers of the engine at hand: one for every measurement.

An engine of its own has no layers and no cache mounts of an earlier run, can have either image store, and is
gone afterwards. It asks the package index and the registry of the run, and nothing else.
"""

import io
import json
import os
import re
import secrets
import subprocess
import tarfile
import time
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from benchmarks.measure import BenchmarkError, run

STORES: dict[str, dict[str, object]] = {
    "containerd": {"features": {"containerd-snapshotter": True}},
    "overlay2": {"features": {"containerd-snapshotter": False}, "storage-driver": "overlay2"},
}
"""The image stores, with the configuration that chooses them."""

LABEL = f"layercake.benchmark={Path(__file__).resolve().parent}"
SERVICE = 8000
"""The port of the service in the engine; `Engine.port` tells where it is on this machine."""


class Build(NamedTuple):
    """A build that succeeded."""

    seconds: float
    ran: list[str]
    """The RUN steps that were not in the build cache, like "packages 1/1"."""


class Engine:
    """An empty engine as a context manager.

    Args:
        image: such as docker:dind.
        store: a key of `STORES`.
        registry: the host and port of a registry without TLS.
    """

    def __init__(self, image: str, store: str, registry: str) -> None:
        self.image, self.store, self.registry = image, store, registry
        self.name = f"layercake-bench-{secrets.token_hex(4)}"
        self.host: dict[str, str] = {}

    def __enter__(self) -> Self:
        settings = {**STORES[self.store], "insecure-registries": [self.registry]}
        options = ["--privileged", "--name", self.name, "--label", LABEL, "--publish", "127.0.0.1::2375"]
        options += ["--publish", f"127.0.0.1::{SERVICE}"]
        try:
            run("docker", "create", *options, "--env", "DOCKER_TLS_CERTDIR=", self.image)
            put(self.name, "/etc/docker/daemon.json", json.dumps(settings))
            run("docker", "start", self.name)
            self.host = {
                "DOCKER_HOST": f"tcp://127.0.0.1:{self.port(2375)}",
                "DOCKER_TLS_VERIFY": "",
                "DOCKER_CONTEXT": "",
            }
            self._wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the engine with everything in it."""
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True, check=False)

    def docker(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Return what a docker command prints that talks to this engine. Raises BenchmarkError."""
        return run("docker", *arguments, cwd=cwd, env=self.host).output

    def build(self, project: Path, *options: str) -> Build:
        """Build a project. Raises BenchmarkError with the log."""
        command = ["docker", "buildx", "build", "--progress", "plain", "--network", "host", "--provenance=false"]
        result = run(*command, *options, ".", cwd=project, env=self.host)
        return Build(result.seconds, steps_that_ran(result.output))

    def port(self, inside: int) -> int:
        """Return the port of this machine that leads to one of the engine's."""
        return int(run("docker", "port", self.name, str(inside)).output.rpartition(":")[2])

    @cached_property
    def version(self) -> str:
        """What builds: the engine, the client's builder, and the image store."""
        engine = self.docker("version", "--format", "{{.Server.Version}}").strip()
        buildx = self.docker("buildx", "version").split()[1]
        return f"Docker {engine}, buildx {buildx}, image store {self.store}"

    def _wait(self) -> None:
        give_up = time.monotonic() + 60
        while subprocess.run(["docker", "version"], env=os.environ | self.host, capture_output=True).returncode:
            if time.monotonic() > give_up:
                logs = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=False)
                raise BenchmarkError(f"the engine of {self.image} does not start:\n{logs.stderr[-2000:]}")
            time.sleep(0.2)


def put(container: str, path: str, text: str) -> None:
    """Write a file into a container that need not run."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size = len(text.encode())
        archive.addfile(entry, io.BytesIO(text.encode()))
    command = ["docker", "cp", "-", f"{container}:/"]
    result = subprocess.run(
        command, input=file.getvalue(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if result.returncode:
        raise BenchmarkError(f"{container}: {path} cannot be written: {result.stdout.decode(errors='replace')}")


def steps_that_ran(log: str) -> list[str]:
    """Return the RUN steps in a plain build log that no build cache had: neither the engine's nor a registry's."""
    steps = dict(re.findall(r"^#(\d+) \[([^\]]+)\] RUN ", log, re.MULTILINE))
    cached = set(re.findall(r"^#(\d+) (?:CACHED$|sha256:|extracting )", log, re.MULTILINE))
    return sorted(name for number, name in steps.items() if number not in cached)


def gateway() -> str:
    """Return the address under which this machine is reached from containers, and can listen."""
    found = run("docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    return found.output.strip()


def fetch(image: str) -> None:
    """Pull an image that is not here. Raises BenchmarkError."""
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
        run("docker", "pull", "--quiet", image)


def remove_leftovers() -> None:
    """Remove the containers of runs that were killed."""
    ids = run("docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}").output.split()
    if ids:
        run("docker", "rm", "--force", "--volumes", *ids)
