import pytest
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core import postgresql
from {{ cookiecutter.package_name }}.core.database import bring_up_to_date, engine, migrating, session
from {{ cookiecutter.package_name }}.core.settings import Settings


@pytest.fixture
def app(app: Flask) -> Flask:
    """An application that asks the database."""
    app.get("/ask")(lambda: str(session().connection().exec_driver_sql("SELECT 1").scalar()))
    return app


def test_a_request_whose_database_is_not_there_may_be_sent_again(client: FlaskClient) -> None:
    response = client.get("/ask")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


@pytest.mark.usefixtures("database")
def test_a_migration_that_another_one_blocks_says_so_and_gives_up(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "PATIENCE", 0)
    with app.app_context(), migrating():
        result = app.test_cli_runner().invoke(args=["migrate"])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Waiting for another migration to end.",
        "Error: Another migration has not ended for 0 seconds.",
    ]


@pytest.mark.usefixtures("database")
def test_connections_that_the_server_has_dropped_are_replaced(app: Flask, client: FlaskClient) -> None:
    assert client.get("/ask").status_code == 200
    others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
    other = core.make_app(app.config["SETTINGS"])
    with other.app_context(), engine().connect() as connection:
        assert connection.exec_driver_sql(others).all()
        connection.close()
    assert client.get("/ask").status_code == 200


@pytest.mark.usefixtures("database")
def test_the_server_stops_a_statement_that_takes_too_long(settings: Settings) -> None:
    app = core.make_app(settings.model_copy(update={"database_statement_timeout": 0.2}))
    app.get("/ask")(lambda: str(session().connection().exec_driver_sql("SELECT pg_sleep(60)")))
    assert app.test_client().get("/ask").status_code == 503


@pytest.mark.usefixtures("database")
def test_a_migration_lets_others_through_while_a_table_is_held(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "LOCK_PATIENCE", 1)
    monkeypatch.setattr("time.sleep", lambda _: None)
    tries = []

    def upgrade(*_: object) -> None:
        tries.append(1)
        with migrating() as connection:
            connection.exec_driver_sql("ALTER TABLE held ADD COLUMN more INTEGER")
            connection.commit()

    monkeypatch.setattr("alembic.command.upgrade", upgrade)
    with app.app_context(), engine().connect() as holder:
        holder.exec_driver_sql("CREATE TABLE held (number INTEGER)")
        holder.commit()
        holder.exec_driver_sql("SELECT * FROM held")
        monkeypatch.setattr("click.echo", lambda *_, **__: holder.commit())  # after the first try
        bring_up_to_date()
    assert len(tries) == 2


@pytest.mark.parametrize("url", ["postgresql://u:p@ss:hunter2@host/db", "mysql://db/x", postgresql.development_url()])
def test_production_refuses_what_is_no_database_of_its_own_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"postgresql://user:password@host:5432/name|write @ as %40") as error:
        postgresql.check_url(url, production=True)
    assert url not in str(error.value)
    assert "hunter2" not in str(error.value)
