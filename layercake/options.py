"""What an option is about, as data: for the README, the hook, the tests and the measurements.

The files that it brings are in `files`, its packages in the scaffold's requirements/prod.in, each once.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Option(NamedTuple):
    """A question whose answers differ in more than a text."""

    what: str
    """What you get, in the words of the README."""
    plain: str
    """The answer that brings least."""
    words: str
    """What is in no file of a service with the plain answer: a regular expression, of any case."""
    servers: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """The servers that the service needs, by answer; compose starts them."""
    processes: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """What compose starts of the service itself beside `web`, by answer."""


OPTIONS = {
    "dependency_manager": Option(
        what="what you edit, and the native lock; [they can be exchanged](docs/managers.md)",
        plain="pip-tools",
        words=r"pipenv|pipfile|poetry|uv\.lock",
    ),
    "ci": Option(
        what="a pipeline: lint, types, tests, locks, image",
        plain="none",
        words=r"github|gitlab|pipeline|(?:merge|pull) request",
    ),
    "database": Option(
        what="SQLAlchemy, migrations with Alembic, a sample resource",
        plain="none",
        words=r"alembic|database|migrat|postgres|psycopg|sqlalchemy|sqlite|\bnotes?\b",
        servers={"postgresql": ("database",)},
    ),
    "background_jobs": Option(
        what="workers, retries, a sample job; Redis",
        plain="none",
        words=r"broker|celery|jobs\.py|kombu|postcard|\bredis\b",
        servers={"celery": ("redis",)},
        processes={"celery": ("worker",)},
    ),
    "error_tracking": Option(
        what="errors that nobody expected go to Sentry",
        plain="none",
        words=r"sentry",
    ),
    "deployment": Option(
        what="what runs it in production: a proxy with TLS, replicas, backups; or manifests; each version with one command",
        plain="none",
        words=r"compose\.production|kubectl|kustomiz|make (?:deploy|rollback)|production\.env|swarm|caddy",
    ),
}
"""By question, in the order of the README. A new one needs files in `files` as well."""
