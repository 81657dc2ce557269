"""The database: how it is reached, whether its schema is what the code needs, and how it becomes so."""

import click
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from flask import Flask, current_app, g
{%- if cookiecutter.database == "sqlite" %}
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
{%- else %}
from sqlalchemy import Connection, Engine, MetaData, create_engine, text
{%- endif %}
from sqlalchemy.orm import DeclarativeBase, Session

from {{ cookiecutter.package_name }}.health import add_check
from {{ cookiecutter.package_name }}.settings import Settings
{% if cookiecutter.database == "postgresql" %}
MIGRATION_LOCK = 4208136241
"""The advisory lock that a migration holds; any number that nothing else in the database uses."""
{% endif %}

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
    with app.app_context():
        add_check("database", check_schema)

    @app.teardown_appcontext
    def close(_error: BaseException | None) -> None:
        if opened := g.pop("session", None):
            opened.close()

    @app.cli.command("migrate")
    def migrate() -> None:
        """Bring the schema of the database to what the code needs."""
        click.echo(f"The schema is at {bring_up_to_date()}.")


def connect(settings: Settings) -> Engine:
    """Return a pool of connections: one for each thread, and none that a restarted database has forgotten."""
    url = settings.database_url.get_secret_value()
{%- if cookiecutter.database == "sqlite" %}
    pool = create_engine(url, pool_pre_ping=True, pool_size=settings.web_threads)
    event.listen(pool, "connect", prepare)
    event.listen(pool, "begin", begin)
    return pool
{%- else %}
    return create_engine(url, pool_pre_ping=True, pool_size=settings.web_threads, connect_args={"connect_timeout": 5})
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
def prepare(connection: DBAPIConnection, _record: object) -> None:
    """Let readers and one writer work side by side, and let SQLAlchemy begin the transactions."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "busy_timeout = 10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin(connection: Connection) -> None:
    """Begin a transaction; a migration keeps others from writing from its first moment on."""
    alone = connection.get_execution_options().get("alone", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if alone else "BEGIN")

{% endif %}
def migrations() -> Config:
    """Return where Alembic finds the migrations, wherever it is called from."""
    config = Config()
    config.set_main_option("script_location", "{{ cookiecutter.package_name }}:migrations")
    return config


def check_schema() -> None:
    """Raise RuntimeError while the schema is behind the code. One from newer code is fine: that is being rolled out."""
    scripts = ScriptDirectory.from_config(migrations())
    with engine().connect() as connection:
        found, wanted = revision_of(connection), scripts.get_current_head()
    if found != wanted and found in {script.revision for script in scripts.walk_revisions()}:
        raise RuntimeError(f"the schema is at {found}, the code needs {wanted}: run `flask migrate`")


def bring_up_to_date() -> str:
    """Run the migrations that are missing, all or none; return the revision. A second run at the same time waits."""
    config = migrations()
{%- if cookiecutter.database == "postgresql" %}
    with engine().begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
{%- else %}
    with engine().execution_options(alone=True).begin() as connection:
{%- endif %}
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return revision_of(connection)


def revision_of(connection: Connection) -> str:
    """Return the revision of the schema. Raises SQLAlchemyError when there is none."""
    revision: str = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return revision
