import os
import subprocess
import sys
{%- if cookiecutter.database == "sqlite" %}
from pathlib import Path
from threading import Thread
{%- endif %}

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
{%- if cookiecutter.database == "sqlite" %}
from alembic.operations import Operations
{%- endif %}
from flask import Flask
from flask.testing import FlaskClient
{%- if cookiecutter.database == "sqlite" %}
from pydantic import SecretStr
from sqlalchemy import String
{%- endif %}

from {{ cookiecutter.package_name }} import create_app, database, models
from {{ cookiecutter.package_name }}.settings import Settings, SettingsError, load_settings

HEAD = database.revisions()[0] or ""


@pytest.mark.usefixtures("database")
def test_the_migrations_make_the_tables_of_the_models(app: Flask) -> None:
    with app.app_context(), database.engine().connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, models.METADATA) == [], "run `make migration`"


@pytest.mark.usefixtures("database")
def test_every_migration_can_be_taken_back(app: Flask) -> None:
    with app.app_context():
        command.downgrade(database.migrations(), "base")
        command.upgrade(database.migrations(), "head")


@pytest.mark.usefixtures("database"{% if cookiecutter.background_jobs == "celery" %}, "redis_server"{% endif %})
def test_readyz_fails_while_the_schema_is_behind(app: Flask, client: FlaskClient) -> None:
    assert client.get("/readyz").status_code == 200
    set_revision(app, None)
    assert client.get("/readyz").status_code == 503


@pytest.mark.usefixtures("database"{% if cookiecutter.background_jobs == "celery" %}, "redis_server"{% endif %})
def test_a_schema_that_newer_code_has_made_is_left_alone_and_taken(app: Flask, client: FlaskClient) -> None:
    set_revision(app, "ffff")
    with app.app_context():
        assert database.bring_up_to_date() == "ffff"
    assert client.get("/readyz").status_code == 200


def set_revision(app: Flask, revision: str | None) -> None:
    with app.app_context(), database.engine().begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        if revision:
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")


@pytest.mark.usefixtures("database")
def test_two_migrations_at_once_are_safe(app: Flask, settings: Settings) -> None:
    with app.app_context():
        command.downgrade(database.migrations(), "base")
    migrate = [sys.executable, "-m", "flask", "--app", "{{ cookiecutter.package_name }}", "migrate"]
    url = settings.database_url.get_secret_value()
    environment = os.environ | {"APP_ENV": "development", "DATABASE_URL": url}
    jobs = [subprocess.Popen(migrate, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [job.communicate(timeout=120)[0] for job in jobs] == [f"The schema is at {HEAD}.\n"] * 4


def test_a_request_whose_database_is_not_there_may_be_sent_again(
{%- if cookiecutter.database == "sqlite" %}settings: Settings, tmp_path: Path) -> None:
    gone = SecretStr(f"sqlite:///{tmp_path}/gone/service.db")
    client = create_app(settings.model_copy(update={"database_url": gone})).test_client()
{%- elif cookiecutter.database == "postgresql" %}client: FlaskClient) -> None:
{%- endif %}
    response = client.get("/api/notes")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
{%- if cookiecutter.database == "sqlite" %}


def test_a_mistake_in_a_statement_is_not_the_fault_of_the_database(client: FlaskClient) -> None:
    assert client.get("/api/notes").status_code == 500  # there are no tables
{%- endif %}

{% if cookiecutter.database == "postgresql" %}
@pytest.mark.usefixtures("database")
def test_a_migration_that_another_one_blocks_says_so_and_gives_up(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0)
    with app.app_context(), database.migrating():
        result = app.test_cli_runner().invoke(args=["migrate"])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Waiting for another migration to end.",
        "Error: Another migration has not ended for 0 seconds.",
    ]

{% endif %}
@pytest.mark.usefixtures("database")
def test_what_is_not_committed_is_gone(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        database.session().add(models.Note(text="half"))
        database.session().flush()
    listing = client.get("/api/notes").json
    assert listing is not None
    assert listing["items"] == []

{% if cookiecutter.database == "postgresql" %}
@pytest.mark.usefixtures("database")
def test_connections_that_the_server_has_dropped_are_replaced(app: Flask, client: FlaskClient) -> None:
    assert client.get("/api/notes").status_code == 200
    others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
    with create_app(app.config["SETTINGS"]).app_context(), database.engine().connect() as connection:
        assert connection.exec_driver_sql(others).all()
        connection.close()
        database.engine().dispose()
    assert client.get("/api/notes").status_code == 200

{% elif cookiecutter.database == "sqlite" %}
@pytest.mark.usefixtures("database")
def test_a_request_that_writes_waits_for_its_turn(app: Flask, client: FlaskClient) -> None:
    note = client.post("/api/notes", json={"text": "soon gone"}).json
    assert note is not None
    with app.app_context(), database.engine().begin():  # the lock for writing
        waiting = Thread(target=lambda: answers.append(client.delete(f"/api/notes/{note['id']}").status_code))
        answers: list[int] = []
        waiting.start()
        waiting.join(0.3)
        assert answers == []
    waiting.join(10)
    assert answers == [204]


@pytest.mark.usefixtures("database")
def test_the_revision_can_be_read_while_somebody_writes(app: Flask) -> None:
    with app.app_context(), database.engine().begin():  # the lock for writing
        assert database.revision() == HEAD


@pytest.mark.usefixtures("database")
def test_a_table_that_is_copied_keeps_the_rows_that_refer_to_it(app: Flask) -> None:
    with app.app_context(), database.migrating() as connection, connection.begin():
        operations = Operations(MigrationContext.configure(connection))
        connection.exec_driver_sql("INSERT INTO notes VALUES (1, 'parent')")
        connection.exec_driver_sql("CREATE TABLE tags (note INTEGER REFERENCES notes (id) ON DELETE CASCADE)")
        connection.exec_driver_sql("INSERT INTO tags VALUES (1)")
        with operations.batch_alter_table("notes", recreate="always") as batch:
            batch.alter_column("text", type_=String(900))
        assert connection.exec_driver_sql("SELECT note FROM tags").all() == [(1,)]

{% endif %}
@pytest.mark.parametrize("url", [None, "mysql://db/x", "no url", "{% if cookiecutter.database == "sqlite" %}sqlite:///here.db", "sqlite://data/service.db{% elif cookiecutter.database == "postgresql" %}postgresql://u:p@ss:hunter2@host/db{% endif %}"])
def test_production_refuses_another_database_without_showing_it(
    url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef0123456789abcdef")
    if url:
        monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SettingsError, match="DATABASE_URL: ") as error:
        load_settings()
{%- if cookiecutter.database == "sqlite" %}
    assert not url or url not in str(error.value)
{%- elif cookiecutter.database == "postgresql" %}
    assert not url or not any(part in str(error.value) for part in (url, "hunter2"))
{%- endif %}
