from pathlib import Path
from threading import Thread

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import String

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core.database import engine, migrating, revision, session
from {{ cookiecutter.package_name }}.core.settings import Settings
from {{ cookiecutter.package_name }}.core.sqlite import check_url


@pytest.fixture
def app(app: Flask) -> Flask:
    """An application that reads from a table, and adds to it."""

    @app.get("/rows")
    def read() -> str:
        return str(session().connection().exec_driver_sql("SELECT count(*) FROM probes").scalar())

    @app.post("/rows")
    def add() -> str:
        read()
        session().connection().exec_driver_sql("INSERT INTO probes VALUES (1)")
        session().commit()
        return "added"

    return app


def test_a_request_whose_database_is_not_there_may_be_sent_again(settings: Settings, tmp_path: Path) -> None:
    gone = SecretStr(f"sqlite:///{tmp_path}/gone/service.db")
    app = core.make_app(settings.model_copy(update={"database_url": gone}))
    app.get("/rows")(lambda: str(session().connection()))
    response = app.test_client().get("/rows")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


def test_a_mistake_in_a_statement_is_not_the_fault_of_the_database(client: FlaskClient) -> None:
    assert client.get("/rows").status_code == 500  # there is no such table


@pytest.mark.usefixtures("database")
def test_a_request_that_writes_waits_for_its_turn(app: Flask, client: FlaskClient) -> None:
    answers: list[int] = []
    with app.app_context(), engine().begin() as connection:  # the lock for writing
        connection.exec_driver_sql("CREATE TABLE probes (number INTEGER)")
        waiting = Thread(target=lambda: answers.append(client.post("/rows").status_code))
        waiting.start()
        waiting.join(0.3)
        assert answers == []
    waiting.join(10)
    assert answers == [200]


@pytest.mark.usefixtures("database")
def test_the_revision_can_be_read_while_somebody_writes(app: Flask) -> None:
    with app.app_context():
        before = revision()
        with engine().begin():  # the lock for writing
            assert revision() == before


@pytest.mark.usefixtures("database")
def test_a_table_that_is_copied_keeps_the_rows_that_refer_to_it(app: Flask) -> None:
    with app.app_context(), migrating() as connection, connection.begin():
        operations = Operations(MigrationContext.configure(connection))
        connection.exec_driver_sql("CREATE TABLE probes (id INTEGER PRIMARY KEY, text VARCHAR(10))")
        connection.exec_driver_sql("INSERT INTO probes VALUES (1, 'parent')")
        connection.exec_driver_sql("CREATE TABLE tags (probe INTEGER REFERENCES probes (id) ON DELETE CASCADE)")
        connection.exec_driver_sql("INSERT INTO tags VALUES (1)")
        with operations.batch_alter_table("probes", recreate="always") as batch:
            batch.alter_column("text", type_=String(900))
        assert connection.exec_driver_sql("SELECT probe FROM tags").all() == [(1,)]


@pytest.mark.parametrize("url", ["sqlite:///here.db", "sqlite://data/x.db", "sqlite:///development.db", "sqlite://"])
def test_production_refuses_a_file_that_may_be_anywhere(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:////data/service\.db"):
        check_url(url, production=True)
