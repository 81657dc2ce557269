"""What is special about SQLite: its URLs, its locks, and how its tables change."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from flask import has_request_context, request
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, OperationalError, TimeoutError

URL_ERRORS = (ArgumentError, ValueError)  # of make_url
PATIENCE = 600
"""Seconds that a migration waits for others who use the file."""

HOW_TO_START = "see that its folder is there, and may be written to"
"""What a developer is told when it cannot be opened."""

HOW_TO_START_ANEW = "delete its file, development.db; in Docker: docker compose down --volumes"
"""What a developer is told when no migration makes its revision."""

MIGRATION_OPTIONS: dict[str, Any] = {"render_as_batch": True, "transactional_ddl": True}
"""SQLite can hardly change a table in place, so Alembic copies it."""


def development_url() -> str:
    """Return where the database is as long as nobody says it."""
    return "sqlite:///development.db"


def check_url(url: str, *, production: bool) -> str:
    """Return the URL of a database. Raises ValueError for what is none, and in production for the one of development."""
    if production and url == development_url():
        raise ValueError("production needs a database of its own, like sqlite:////data/service.db")
    try:
        parsed = make_url(url)
    except URL_ERRORS:
        raise ValueError("this is no URL of a database; write it like sqlite:////data/service.db") from None
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite") or parsed.host or not parsed.database:
        raise ValueError("this is no SQLite file; write it like sqlite:////data/service.db")
    if production and not parsed.database.startswith("/"):
        raise ValueError("production needs a whole path, with four slashes: sqlite:////data/service.db")
    return url


def connect(url: str, **pool_options: Any) -> Engine:
    """Return a pool of connections."""
    pool = create_engine(url, connect_args={"timeout": 10}, hide_parameters=True, **pool_options)
    event.listen(pool, "connect", leave_transactions_to_sqlalchemy)
    event.listen(pool, "connect", enforce_foreign_keys)
    event.listen(pool, "begin", begin)
    return pool


def is_our_mistake(error: OperationalError | TimeoutError) -> bool:
    """Return whether an error is that of a statement, like a table that is not there, and not of the database."""
    return getattr(getattr(error, "orig", None), "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR


def leave_transactions_to_sqlalchemy(connection: DBAPIConnection, _record: object) -> None:
    """Keep the driver from beginning transactions of its own."""
    connection.isolation_level = None


def enforce_foreign_keys(connection: DBAPIConnection, _record: object) -> None:
    """Check references, which SQLite does only when it is told to."""
    connection.cursor().execute("PRAGMA foreign_keys = ON")


def begin(connection: Connection) -> None:
    """Begin a transaction, with the lock for writing unless it only reads, as most requests do.

    SQLite refuses at once, however long it may wait otherwise, to let a transaction that has read begin to write.
    """
    asks = has_request_context() and request.method in ("GET", "HEAD", "OPTIONS")
    reads = asks or connection.get_execution_options().get("reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def migrating(engine: Engine) -> Iterator[Connection]:
    """Give a connection to migrate with. Whoever asks for another one waits until it is given back."""
    # Foreign keys stay off: a table that is changed is copied and dropped, and would take what refers to it along.
    pool = create_engine(engine.url, poolclass=NullPool, connect_args={"timeout": PATIENCE})
    event.listen(pool, "connect", leave_transactions_to_sqlalchemy)
    event.listen(pool, "begin", begin)
    use_write_ahead_log(pool)
    with pool.connect() as connection:
        yield connection


def use_write_ahead_log(pool: Engine) -> None:
    """Let readers and one writer work side by side; the file remembers it. Here SQLite does not wait for others."""
    give_up = time.monotonic() + PATIENCE
    with closing(pool.raw_connection()) as connection:
        cursor = connection.cursor()
        while cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                cursor.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)


def check_migrated(connection: Connection) -> None:
    """Raise RuntimeError when the migrations leave rows that refer to nothing."""
    if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
        raise RuntimeError(f"the migrations leave {len(broken)} rows that refer to nothing")


def is_worth_another_try(_error: OperationalError) -> bool:
    """Return whether a migration only lacked a lock: here it has waited for it."""
    return False
