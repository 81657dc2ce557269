"""What is special about PostgreSQL: its URLs, its connections, and how its migrations take turns."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError, TimeoutError

URL_ERRORS = (ArgumentError, ValueError)  # of make_url
PATIENCE = 600
"""Seconds that a migration waits for another one."""

MIGRATION_LOCK = 4208136241
"""The advisory lock that a migration holds; any number that nothing else in the database uses."""

MIGRATION_OPTIONS: dict[str, Any] = {}

HOW_TO_START = "start it with: docker compose up --detach --wait database"
"""What a developer is told when it does not answer."""


def development_url() -> str:
    """Return where compose.yaml publishes its database: it is there as long as nobody says otherwise."""
    return f"postgresql://postgres:postgres@localhost:{os.environ.get('DATABASE_PORT') or 5432}/postgres"


def check_url(url: str, *, production: bool) -> str:
    """Return the URL of a database, with its driver. Raises ValueError for others, in production for development's."""
    if production and url == development_url():
        raise ValueError("production needs a database of its own, like postgresql://user:password@host:5432/name")
    try:
        parsed = make_url(url)
    except URL_ERRORS:
        raise ValueError("this is no URL of a database; in a password, write @ as %40, / as %2F") from None
    if parsed.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise ValueError("this is no PostgreSQL database; write it like postgresql://user:password@host:5432/name")
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def connect(url: str, threads: int) -> Engine:
    """Return a pool that keeps a connection for each thread, and none to a server that has gone."""
    return create_engine(
        url,
        # A server that vanishes without a word is given up after some seconds, not after the minutes of the system.
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "tcp_user_timeout": 10_000,
        },
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=threads,
    )


def is_our_mistake(_error: OperationalError | TimeoutError) -> bool:
    """Return whether an error is that of a statement and not of the server: PostgreSQL has other errors for these."""
    return False


@contextmanager
def migrating(engine: Engine) -> Iterator[Connection]:
    """Give a connection to migrate with. Whoever asks for another one waits until it is given back."""
    key = {"key": MIGRATION_LOCK}
    with engine.connect() as connection, engine.connect() as other:
        lock = other.execution_options(isolation_level="AUTOCOMMIT")  # a transaction that waits would hold up others
        give_up = None
        while not lock.scalar(text("SELECT pg_try_advisory_lock(:key)"), key):
            if give_up is None:
                click.echo("Waiting for another migration to end.", err=True)
                give_up = time.monotonic() + PATIENCE
            if time.monotonic() > give_up:
                raise click.ClickException(f"Another migration has not ended for {PATIENCE} seconds.")
            time.sleep(0.2)
        try:
            yield connection
        finally:
            lock.execute(text("SELECT pg_advisory_unlock(:key)"), key)


def check_migrated(_connection: Connection) -> None:
    """Accept what the migrations leave: PostgreSQL has checked it."""
