from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask.testing import FlaskClient

from {{ cookiecutter.package_name }} import create_app, models
from {{ cookiecutter.package_name }}.database import bring_up_to_date, engine, migrations, session
from {{ cookiecutter.package_name }}.settings import Settings, SettingsError, load_settings

HEAD = ScriptDirectory.from_config(migrations()).get_current_head()


@pytest.mark.usefixtures("database")
def test_the_migrations_make_the_tables_of_the_models(app: Flask) -> None:
    with app.app_context(), engine().connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, models.Note.metadata) == [], "run `make migration`"


@pytest.mark.usefixtures("database")
def test_every_migration_can_be_taken_back(app: Flask) -> None:
    with app.app_context(), engine().begin() as connection:
        config = migrations()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        command.upgrade(config, "head")


@pytest.mark.usefixtures("database")
def test_readyz_fails_while_the_schema_is_behind(app: Flask, client: FlaskClient) -> None:
    assert client.get("/readyz").status_code == 200
    set_revision(app, None)
    assert client.get("/readyz").status_code == 503


@pytest.mark.usefixtures("database")
def test_readyz_takes_a_schema_that_newer_code_has_made(app: Flask, client: FlaskClient) -> None:
    set_revision(app, "ffff")
    assert client.get("/readyz").status_code == 200


def set_revision(app: Flask, revision: str | None) -> None:
    with app.app_context(), engine().begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        if revision:
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")


@pytest.mark.usefixtures("database")
def test_two_migrations_at_once_are_safe(app: Flask, settings: Settings) -> None:
    with app.app_context(), engine().begin() as connection:
        config = migrations()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")

    def migrate(_number: int) -> str | None:
        with create_app(settings).app_context():
            revision = bring_up_to_date()
            engine().dispose()
            return revision

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(migrate, range(4))) == [HEAD] * 4


@pytest.mark.usefixtures("database")
def test_what_is_not_committed_is_gone(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        session().add(models.Note(text="half"))
        session().flush()
    listing = client.get("/api/notes").json
    assert listing is not None
    assert listing["items"] == []

{% if cookiecutter.database == "postgresql" %}
@pytest.mark.usefixtures("database")
def test_connections_that_the_server_has_dropped_are_replaced(app: Flask, client: FlaskClient) -> None:
    assert client.get("/api/notes").status_code == 200
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
    with create_app(app.config["SETTINGS"]).app_context(), engine().connect() as connection:
        assert connection.exec_driver_sql(others).all()
        connection.close()
        engine().dispose()
    assert client.get("/api/notes").status_code == 200

{% endif %}
@pytest.mark.parametrize("url", [None, "mysql://db/x", "no url"])
def test_production_refuses_another_database_without_showing_it(
    url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef0123456789abcdef")
    if url:
        monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SettingsError, match="DATABASE_URL: ") as error:
        load_settings()
    assert str(url) not in str(error.value)
