"""Fixtures that every test may use."""
{%- if cookiecutter.database == "postgresql" %}

import os
import subprocess
import time
from collections.abc import Iterator
from uuid import uuid4
{%- endif %}
{%- if cookiecutter.database == "sqlite" %}

from collections.abc import Iterator
from pathlib import Path
{%- endif %}

import pytest
from flask import Flask
from flask.testing import FlaskClient
{%- if cookiecutter.database == "postgresql" %}
from sqlalchemy import URL, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
{%- endif %}

from {{ cookiecutter.package_name }} import create_app
{%- if cookiecutter.database != "none" %}
from {{ cookiecutter.package_name }}.database import bring_up_to_date, engine
{%- endif %}
from {{ cookiecutter.package_name }}.settings import Settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the settings of whoever runs the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

{% if cookiecutter.database == "none" %}
@pytest.fixture
def settings(empty_environment: None) -> Settings:
    """Production settings: tests see what users see."""
    return Settings(app_env="production", secret_key="0123456789abcdef0123456789abcdef", app_version="1.2.3")
{%- elif cookiecutter.database == "sqlite" %}
@pytest.fixture
def settings(empty_environment: None, tmp_path: Path) -> Settings:
    """Production settings: tests see what users see. The database has no tables yet."""
    url = f"sqlite:///{tmp_path}/service.db"
    key = "0123456789abcdef0123456789abcdef"
    return Settings(app_env="production", app_version="1.2.3", database_url=url, secret_key=key)
{%- else %}
@pytest.fixture
def settings(request: pytest.FixtureRequest, empty_environment: None) -> Settings:
    """Production settings: tests see what users see. There is a database for tests that ask for `database`."""
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    url = request.getfixturevalue("empty_database") if "database" in request.fixturenames else nowhere
    key = "0123456789abcdef0123456789abcdef"
    return Settings(app_env="production", app_version="1.2.3", database_url=url, secret_key=key)
{%- endif %}


@pytest.fixture
{%- if cookiecutter.database == "none" %}
def app(settings: Settings) -> Flask:
    return create_app(settings)
{%- else %}
def app(settings: Settings) -> Iterator[Flask]:
    application = create_app(settings)
    yield application
    with application.app_context():
        engine().dispose()
{%- endif %}


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
{%- if cookiecutter.database != "none" %}


@pytest.fixture
def database(app: Flask) -> None:
    """Give the database its tables."""
    with app.app_context():
        bring_up_to_date()
{%- endif %}
{%- if cookiecutter.database == "postgresql" %}


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """A PostgreSQL server: the one of TEST_DATABASE_URL, else one in a container. Without both the test is skipped."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    try:
        docker("version")
    except subprocess.CalledProcessError:
        if "CI" in os.environ:  # a pipeline must not pass without these tests
            raise
        pytest.skip("there is neither TEST_DATABASE_URL nor a Docker engine")
    container = docker("run --detach --env POSTGRES_PASSWORD=postgres --publish 127.0.0.1::5432 postgres:17")
    try:
        port = int(docker(f"port {container} 5432").rpartition(":")[2])
        url = URL.create("postgresql+psycopg", "postgres", "postgres", "127.0.0.1", port, "postgres")
        wait_for(url)
        yield url
    finally:
        docker(f"rm --force --volumes {container}")


@pytest.fixture
def empty_database(server: URL) -> Iterator[str]:
    """The URL of a database without tables, for one test."""
    name = f"test_{uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield server.set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def docker(command: str) -> str:
    """Return what a docker command prints. Raises CalledProcessError, also where there is no such command."""
    return subprocess.run(f"docker {command}", shell=True, capture_output=True, text=True, check=True).stdout.strip()


def wait_for(url: URL, seconds: float = 60) -> None:
    """Wait until a server answers."""
    server = create_engine(url, poolclass=NullPool)
    deadline = time.monotonic() + seconds
    while True:
        try:
            server.connect().close()
            return
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
{%- endif %}
