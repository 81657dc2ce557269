"""A browser in a container: with it the tests and `make screenshots` look at a service that runs in another."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.containers import KEY, built, docker, running
from tests.support import Project

VERSION = "1.2.3"  # of the service

Look = Callable[..., bytes]


@contextmanager
def looking_at(project: Project, *options: str, prepared: tuple[str, ...] = ("true",)) -> Iterator[Look]:
    """Build and run a service; yield a function that runs a script of this folder in its network.

    Args:
        project: the service.
        options: more options of `docker run` for it.
        prepared: a command that is run in its container first.

    The script is given the service's address, and returns what it prints. To the browser the service is
    localhost, which it trusts as it does HTTPS.
    """
    with (
        built(Project(Path(__file__).parent)) as browser,
        built(project, "--build-arg", f"VERSION={VERSION}") as service,
        running(service, "--env", f"SECRET_KEY={KEY}", *options) as (container, _),
    ):
        docker("exec", container, *prepared)

        def look(script: str, *arguments: str) -> bytes:
            command = ["docker", "run", "--rm", "--network", f"container:{container}", browser, "python", script]
            result = subprocess.run(
                [*command, "http://localhost:8000", *arguments], capture_output=True, check=False, timeout=300
            )
            assert result.returncode == 0, result.stderr.decode()
            return result.stdout

        yield look
