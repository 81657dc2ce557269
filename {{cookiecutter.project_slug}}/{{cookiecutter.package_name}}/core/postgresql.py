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

LOCK_PATIENCE = 3
"""Seconds that a migration waits for a table that a transaction holds, before it lets others through."""

MIGRATION_LOCK = 4208136241
"""The advisory lock that a migration holds; any number that nothing else in the database uses."""

MIGRATION_OPTIONS: dict[str, Any] = {}

HOW_TO_START = "start it with: docker compose up --detach --wait database"
"""What a developer is told when it does not answer."""

HOW_TO_START_ANEW = "docker compose down --volumes"
"""What a developer is told when no migration makes its revision."""


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


def connect(url: str, *, connect_timeout: int, statement_timeout: float, **pool_options: Any) -> Engine:
    """Return a pool of connections, without those to a server that has gone. Times are in seconds."""
    return create_engine(
        url,
        # A server that vanishes without a word is given up after some seconds, not after the minutes of the system.
        connect_args={
            "connect_timeout": connect_timeout,
            "options": f"-c statement_timeout={round(statement_timeout * 1000)}",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "tcp_user_timeout": 10_000,
        },
        hide_parameters=True,
        pool_pre_ping=True,
        **pool_options,
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
        # Whoever waits for the lock of a table holds up all who come after, so no migration waits for long.
        connection.execute(text(f"SET lock_timeout = '{LOCK_PATIENCE}s'; SET statement_timeout = 0"))
        connection.commit()
        try:
            yield connection
        finally:
            lock.execute(text("SELECT pg_advisory_unlock(:key)"), key)


def check_migrated(_connection: Connection) -> None:
    """Accept what the migrations leave: PostgreSQL has checked it."""


def is_worth_another_try(error: OperationalError) -> bool:
    """Return whether a migration only lacked a lock, that of a table that some transaction holds."""
    return getattr(error.orig, "sqlstate", None) == "55P03"  # lock_not_available
