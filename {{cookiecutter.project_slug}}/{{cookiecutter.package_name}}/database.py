"""The database: how it is reached, whether its schema is what the code needs, and how it becomes so."""

import functools
import logging
{%- if cookiecutter.database == "sqlite" %}
import sqlite3
{%- endif %}
import time
from collections.abc import Iterator
from contextlib import {% if cookiecutter.database == "sqlite" %}closing, {% endif %}contextmanager

import click
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
{%- if cookiecutter.database == "sqlite" %}
from flask import Flask, Response, current_app, g, has_request_context, request
from sqlalchemy import Connection, Engine, MetaData, NullPool, create_engine, event, inspect, text
from sqlalchemy.engine.interfaces import DBAPIConnection
{%- elif cookiecutter.database == "postgresql" %}
from flask import Flask, Response, current_app, g
from sqlalchemy import Connection, Engine, MetaData, create_engine, inspect, text
{%- endif %}
from sqlalchemy.exc import OperationalError, TimeoutError
from sqlalchemy.orm import DeclarativeBase, Session
from werkzeug.exceptions import ServiceUnavailable

from {{ cookiecutter.package_name }}.errors import problem
from {{ cookiecutter.package_name }}.health import add_check
from {{ cookiecutter.package_name }}.settings import Settings

PATIENCE = 600
"""Seconds that a migration waits for {% if cookiecutter.database == "sqlite" %}others who use the file{% elif cookiecutter.database == "postgresql" %}another one{% endif %}."""
{% if cookiecutter.database == "postgresql" %}
MIGRATION_LOCK = 4208136241
"""The advisory lock that a migration holds; any number that nothing else in the database uses."""

START = "Start the database with: docker compose up --detach --wait database{% if cookiecutter.background_jobs == "celery" %} redis{% endif %}"
"""What a developer is told."""
{% endif %}
logger = logging.getLogger(__name__)


class Model(DeclarativeBase):
    """Base of the tables. Constraints have names, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def init_app(app: Flask) -> None:
    """Connect on demand, make readiness depend on the schema, and add `flask migrate`."""
    settings: Settings = app.config["SETTINGS"]
    app.extensions["database"] = connect(settings)
    for error in (OperationalError, TimeoutError):
        app.register_error_handler(error, unavailable)
    with app.app_context():
        add_check("database", check_schema)

    @app.teardown_appcontext
    def close(_error: BaseException | None) -> None:
        if opened := g.pop("session", None):
            opened.close()

    @app.cli.command("migrate")
    def migrate() -> None:
        """Bring the schema of the database to what the code needs."""
        try:
            click.echo(f"The schema is at {bring_up_to_date()}.")
        except OperationalError as error:
{%- if cookiecutter.database == "postgresql" %}
            if error.statement is None and not settings.is_production:  # there is no connection
                raise click.ClickException(f"{str(error.orig).splitlines()[0]}. {START}") from None
{%- endif %}
            raise click.ClickException(f"The database cannot be migrated. {error.orig}") from None


{% if cookiecutter.database == "sqlite" -%}
def unavailable(error: Exception) -> Response:
    """Return the answer to a request that needed the database, which did not do its part; raise what is our mistake."""
    if getattr(getattr(error, "orig", None), "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        raise error
{%- elif cookiecutter.database == "postgresql" -%}
def unavailable(_error: Exception) -> Response:
    """Return the answer to a request that needed the database, which did not do its part."""
{%- endif %}
    logger.error("the database failed", exc_info=True)
    return problem(ServiceUnavailable("A service that this needs is not available; try again later.", retry_after=5))


def connect(settings: Settings) -> Engine:
    """Return a pool that keeps a connection for each thread{% if cookiecutter.database == "postgresql" %}, and none to a server that has gone{% endif %}."""
    url = settings.database_url.get_secret_value()
{%- if cookiecutter.database == "sqlite" %}
    pool = create_engine(url, connect_args={"timeout": 10}, hide_parameters=True, pool_size=settings.web_threads)
    event.listen(pool, "connect", leave_transactions_to_sqlalchemy)
    event.listen(pool, "connect", enforce_foreign_keys)
    event.listen(pool, "begin", begin)
    return pool
{%- elif cookiecutter.database == "postgresql" %}
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
        pool_size=settings.web_threads,
    )
{%- endif %}


def engine() -> Engine:
    """Return the pool of the current application."""
    found: Engine = current_app.extensions["database"]
    return found


def session() -> Session:
    """Return the session of the current request or command; what it does not commit is rolled back in the end."""
    if "session" not in g:
        g.session = Session(engine())
    opened: Session = g.session
    return opened

{% if cookiecutter.database == "sqlite" %}
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

{% endif %}
def migrations() -> Config:
    """Return where Alembic finds the migrations, wherever it is called from."""
    config = Config()
    config.set_main_option("script_location", "{{ cookiecutter.package_name }}:migrations")
    return config


@functools.cache
def revisions() -> tuple[str | None, frozenset[str]]:
    """Return the revision that the code needs, and all that it knows."""
    scripts = ScriptDirectory.from_config(migrations())
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


def revision() -> str | None:
    """Return the revision of the schema; None without one."""
{%- if cookiecutter.database == "sqlite" %}
    with engine().execution_options(reads=True).connect() as connection:
{%- elif cookiecutter.database == "postgresql" %}
    with engine().connect() as connection:
{%- endif %}
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def check_schema() -> None:
    """Raise RuntimeError while the schema is behind the code. What the code does not know is taken to be newer."""
    found, (wanted, known) = revision(), revisions()
    if found is None or (found != wanted and found in known):
        raise RuntimeError(f"the schema is at {found}, the code needs {wanted}: run `flask migrate`")


def bring_up_to_date() -> str | None:
    """Run the migrations that are missing, and return the revision; leave a schema alone that newer code has made."""
    found = revision()
    if found is None or found in revisions()[1]:
        command.upgrade(migrations(), "head")
    return revision()


@contextmanager
def migrating() -> Iterator[Connection]:
    """Give a connection to migrate with. Whoever asks for another one waits until it is given back."""
{%- if cookiecutter.database == "sqlite" %}
    # Foreign keys stay off: a table that is changed is copied and dropped, and would take what refers to it along.
    pool = create_engine(engine().url, poolclass=NullPool, connect_args={"timeout": PATIENCE})
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
{%- elif cookiecutter.database == "postgresql" %}
    key = {"key": MIGRATION_LOCK}
    with engine().connect() as connection, engine().connect() as other:
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
{%- endif %}
