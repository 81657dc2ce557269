import pytest
from alembic import command
from alembic.util import CommandError
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import QueuePool
from sqlalchemy.pool import ConnectionPoolEntry

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core import database
from {{ cookiecutter.package_name }}.core.settings import Settings, SettingsError, load_settings

COUNT = "SELECT count(*) FROM probes"
engine = database.engine  # some tests have a fixture of the module's name


@pytest.fixture
def app(app: Flask) -> Flask:
    """An application that counts the rows of a table, and adds one."""

    @app.get("/rows")
    def count() -> str:
        return str(database.session().connection().exec_driver_sql(COUNT).scalar())

    @app.post("/rows")
    def add() -> str:
        database.session().connection().exec_driver_sql("INSERT INTO probes VALUES (1)")
        database.session().commit()
        return "added"

    return app


@pytest.fixture
def table(app: Flask, database: None) -> None:
    with app.app_context(), engine().begin() as connection:
        connection.exec_driver_sql("CREATE TABLE probes (number INTEGER)")


@pytest.mark.usefixtures("servers")
def test_readyz_fails_while_the_schema_is_behind(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/readyz").status_code == 200
    monkeypatch.setattr(database, "revisions", lambda: ("ffff", frozenset({"ffff"})))
    set_revision(app, None)
    assert client.get("/readyz").status_code == 503


@pytest.mark.usefixtures("servers")
def test_a_schema_that_newer_code_has_made_is_left_alone_and_taken(app: Flask, client: FlaskClient) -> None:
    set_revision(app, "ffff")
    with app.app_context():
        assert database.bring_up_to_date() == "ffff"
    assert client.get("/readyz").status_code == 200


@pytest.mark.usefixtures("database")
def test_where_no_migration_makes_the_revision_developers_are_told_what_to_do(app: Flask, settings: Settings) -> None:
    set_revision(app, "ffff")
    assert "taken for newer code's" in app.test_cli_runner().invoke(args=["migrate"]).output
    developers = core.make_app(settings.model_copy(update={"app_env": "development"}))
    said = developers.test_cli_runner().invoke(args=["migrate"])
    assert (said.exit_code, "start the database anew: " in said.output) == (0, True)
    with developers.app_context(), pytest.raises(CommandError, match="at ffff, which no migration here makes"):
        command.upgrade(database.migrations(), "head")


def set_revision(app: Flask, revision: str | None) -> None:
    with app.app_context(), engine().begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        if revision:
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")


@pytest.mark.usefixtures("table")
def test_what_is_committed_stays_and_what_is_not_is_gone(app: Flask, client: FlaskClient) -> None:
    assert client.post("/rows").status_code == 200
    with app.app_context():
        database.session().connection().exec_driver_sql("INSERT INTO probes VALUES (2)")
    assert client.get("/rows").text == "1"


@pytest.mark.usefixtures("database")
def test_while_all_connections_are_held_one_request_waits_and_the_others_do_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"database_pool_size": 1, "database_pool_timeout": 0.3}
    app = core.make_app(settings.model_copy(update=short))
    app.get("/ask")(lambda: str(database.session().connection().exec_driver_sql("SELECT 1").scalar()))
    waited = []
    get = QueuePool._do_get

    def get_and_tell(pool: QueuePool) -> ConnectionPoolEntry:
        waited.append(pool)
        return get(pool)

    with app.app_context():
        held = engine().execution_options(reads=True).connect()
    with held:
        monkeypatch.setattr(QueuePool, "_do_get", get_and_tell)
        for tries in (1, 2):
            assert [app.test_client().get("/ask").status_code for _ in range(3)] == [503] * 3
            assert len(waited) == tries
            app.extensions[database.EXHAUSTED] = 0.0  # some seconds later
    assert app.test_client().get("/ask").text == "1"


def test_a_database_of_another_kind_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef0123456789abcdef")
    for url in ("", "mysql://u:hunter2@db/x", "no url"):
        monkeypatch.setenv("DATABASE_URL", url)
        with pytest.raises(SettingsError, match="DATABASE_URL: ") as error:
            load_settings()
        assert not url or not any(part in str(error.value) for part in (url, "hunter2"))
