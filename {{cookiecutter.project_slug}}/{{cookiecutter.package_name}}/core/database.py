"""The database: sessions for requests, whether its schema is what the code needs, and how it becomes so."""

import functools
import logging
import time
from contextlib import AbstractContextManager

import click
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from flask import Flask, Response, current_app, g
from sqlalchemy import Connection, Engine, MetaData, QueuePool, inspect, text
from sqlalchemy.exc import OperationalError, TimeoutError
from sqlalchemy.orm import DeclarativeBase, Session
from werkzeug.exceptions import ServiceUnavailable

from {{ cookiecutter.package_name }}.core import {{ cookiecutter.database }}
from {{ cookiecutter.package_name }}.core.errors import problem
from {{ cookiecutter.package_name }}.core.health import add_check
from {{ cookiecutter.package_name }}.core.settings import Settings

EXHAUSTED = "database_exhausted"
"""In `app.extensions` while all connections are held for too long: when the next request may try."""

PAUSE = 5
"""Seconds between two such tries."""

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
    url = settings.database_url.get_secret_value()
    app.extensions["database"] = {{ cookiecutter.database }}.connect(
        url,
{%- if cookiecutter.database == "postgresql" %}
        connect_timeout=settings.database_connect_timeout,
        statement_timeout=settings.database_statement_timeout,
{%- endif %}
        pool_size=settings.database_pool_size,
        pool_timeout=settings.database_pool_timeout,
        max_overflow=0,
    )
    for error in (OperationalError, TimeoutError):
        app.register_error_handler(error, unavailable)
    add_check(app, "database", check_schema)

    @app.teardown_appcontext
    def close(_error: BaseException | None) -> None:
        if opened := g.pop("session", None):
            opened.close()

    @app.cli.command("migrate")
    def migrate() -> None:
        """Bring the schema of the database to what the code needs."""
        try:
            reached = bring_up_to_date()
            click.echo(f"The schema is at {reached}." if reached else "There are no migrations yet.")
            if reached and reached not in revisions()[1]:
                click.echo(unknown(reached), err=True)
        except OperationalError as error:
            if error.statement is None and not settings.is_production:  # there is no connection
                said, how_to_start = str(error.orig).splitlines()[0], {{ cookiecutter.database }}.HOW_TO_START
                raise click.ClickException(f"{said}; {how_to_start}") from None
            raise click.ClickException(f"The database cannot be migrated. {error.orig}") from None


def unavailable(error: Exception) -> Response:
    """Return the answer to a request that needed the database, which did not do its part; raise what is our mistake."""
    if isinstance(error, OperationalError | TimeoutError) and {{ cookiecutter.database }}.is_our_mistake(error):
        raise error
    logger.error("the database failed", exc_info=True)
    if isinstance(error, TimeoutError):
        current_app.extensions[EXHAUSTED] = time.monotonic() + PAUSE
    return problem(ServiceUnavailable("A service that this needs is not available; try again later.", retry_after=5))


def engine() -> Engine:
    """Return the pool of the current application."""
    found: Engine = current_app.extensions["database"]
    return found


def session() -> Session:
    """Return the session of the current request or command; what it does not commit is rolled back in the end."""
    if "session" not in g:
        check_pool()
        g.session = Session(engine())
    opened: Session = g.session
    return opened


def check_pool() -> None:
    """Raise TimeoutError at once while all connections are held for too long, but let one request in a while try."""
    pool, now, state = engine().pool, time.monotonic(), current_app.extensions
    if not isinstance(pool, QueuePool) or pool.checkedout() < pool.size():
        state.pop(EXHAUSTED, None)
    elif EXHAUSTED in state:
        if now < state[EXHAUSTED]:
            raise TimeoutError("no connection of the pool has come back")
        state[EXHAUSTED] = now + PAUSE


def migrations() -> Config:
    """Return where Alembic finds the migrations, wherever it is called from."""
    config = Config()
    config.set_main_option("script_location", "{{ cookiecutter.package_name }}:migrations")
    return config


@functools.cache
def revisions() -> tuple[str | None, frozenset[str]]:
    """Return the revision that the code needs, None as long as there are no migrations, and all that it knows."""
    scripts = ScriptDirectory.from_config(migrations())
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


def revision() -> str | None:
    """Return the revision of the schema; None without one."""
    with engine().execution_options(reads=True).connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def unknown(found: str) -> str:
    """Return what to say where no migration of this code makes the revision of the database."""
    if current_app.config["SETTINGS"].is_production:
        return f"This code does not know {found}: it is taken for newer code's, and was left alone."
    what_to_do = "go back to the code that has it, or start the database anew"
    return f"The database is at {found}, which no migration here makes; {what_to_do}: {% raw %}{{% endraw %}{{ cookiecutter.database }}.HOW_TO_START_ANEW}"


def check_schema() -> None:
    """Raise RuntimeError while the schema is behind the code. What the code does not know is taken to be newer."""
    found, (wanted, known) = revision(), revisions()
    if found != wanted and (found is None or found in known):
        raise RuntimeError(f"the schema is at {found}, the code needs {wanted}: run `flask migrate`")


def bring_up_to_date() -> str | None:
    """Run the migrations that are missing, and return the revision; leave a schema alone that newer code has made."""
    give_up = time.monotonic() + {{ cookiecutter.database }}.PATIENCE
    while (found := revision()) is None or found in revisions()[1]:
        try:
            command.upgrade(migrations(), "head")
            break
        except OperationalError as error:
            if not {{ cookiecutter.database }}.is_worth_another_try(error) or time.monotonic() > give_up:
                raise
            click.echo("A transaction holds a table that has to change; trying again.", err=True)
            time.sleep(2)
    return revision()


def migrating() -> AbstractContextManager[Connection]:
    """Give a connection to migrate with. Whoever asks for another one waits until it is given back."""
    return {{ cookiecutter.database }}.migrating(engine())
