{%- set servers = cookiecutter.database == "postgresql" or cookiecutter.background_jobs == "celery" -%}
"""Fixtures that every test may use."""

import os
{%- if servers %}
import subprocess
import time
{%- endif %}
{%- if servers or cookiecutter.database != "none" %}
from collections.abc import {% if servers %}Callable, {% endif %}Iterator
{%- endif %}
{%- if servers %}
from contextlib import contextmanager
{%- endif %}
{%- if cookiecutter.database == "sqlite" %}
from pathlib import Path
{%- endif %}
{%- if cookiecutter.database != "none" %}
from typing import Any
{%- endif %}
{%- if cookiecutter.database == "postgresql" %}
from uuid import uuid4
{%- endif %}

import pytest
from flask import Flask
from flask.testing import FlaskClient
{%- if cookiecutter.background_jobs == "celery" %}
from redis import Redis, RedisError
{%- endif %}
{%- if cookiecutter.database == "sqlite" %}
from sqlalchemy import Engine
{%- elif cookiecutter.database == "postgresql" %}
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
{%- endif %}

from {{ cookiecutter.package_name }} import create_app
{%- if cookiecutter.database != "none" %}
from {{ cookiecutter.package_name }}.core import {{ cookiecutter.database }}
from {{ cookiecutter.package_name }}.core.database import bring_up_to_date
{%- endif %}
from {{ cookiecutter.package_name }}.core.settings import Settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the settings of whoever runs the tests, their .env, and where their traces go."""
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    names = [name.upper() for name in Settings.model_fields]
    traces = [name for name in os.environ if name.startswith("OTEL_")]
    for name in (*names, *(f"{name}_FILE" for name in names), *traces):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(
{%- if servers %}request: pytest.FixtureRequest, {% endif %}empty_environment: None
{%- if cookiecutter.database == "sqlite" %}, tmp_path: Path{% endif -%}
) -> Settings:
    """Production settings: tests see what users see.
{%- if servers %} {{ "A server is" if cookiecutter.database != "postgresql" or cookiecutter.background_jobs == "none" else "Servers are" }} there for tests that ask.{% endif %}"""
{%- if cookiecutter.database == "sqlite" %}
    database_url = f"sqlite:///{tmp_path}/service.db"
{%- elif cookiecutter.database == "postgresql" %}
    database_url = "postgresql://nobody@127.0.0.1:1/nothing"
    if "database" in request.fixturenames:
        database_url = request.getfixturevalue("empty_database")
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
    redis_url = "redis://127.0.0.1:1/0"
    if "redis_server" in request.fixturenames:
        redis_url = request.getfixturevalue("redis_server")
{%- endif %}
    return Settings(
        app_env="production",
        app_version="1.2.3",
{%- if cookiecutter.database != "none" %}
        database_url=database_url,
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
        redis_url=redis_url,
{%- endif %}
        secret_key="0123456789abcdef0123456789abcdef",
    )


@pytest.fixture
def app(settings: Settings) -> Flask:
    return create_app(settings=settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def servers(
{%- if cookiecutter.database != "none" %}database: None{% if cookiecutter.background_jobs == "celery" %}, {% endif %}{% endif %}
{%- if cookiecutter.background_jobs == "celery" %}redis_server: str{% endif -%}
) -> None:
    """Have all that readiness asks for."""
{%- if cookiecutter.database != "none" %}


@pytest.fixture
def database(app: Flask) -> None:
    """Give the database its tables."""
    with app.app_context():
        bring_up_to_date()


@pytest.fixture(autouse=True)
def closed_pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the connections of every application that a test makes."""
    connect, pools = {{ cookiecutter.database }}.connect, []

    def remember(url: str, **options: Any) -> Engine:
        pools.append(connect(url, **options))
        return pools[-1]

    monkeypatch.setattr({{ cookiecutter.database }}, "connect", remember)
    yield
    for pool in pools:
        pool.dispose()
{%- endif %}
{%- if cookiecutter.database == "postgresql" %}


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    """A PostgreSQL server: the one of TEST_DATABASE_URL, else one in a container."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield make_url(given).set(drivername="postgresql+psycopg")
        return

    def url(port: int) -> URL:
        return URL.create("postgresql+psycopg", "postgres", "postgres", "127.0.0.1", port, "postgres")

    def try_it(port: int) -> None:
        create_engine(url(port), poolclass=NullPool).connect().close()

    run = "--tmpfs /var/lib/postgresql/data --env POSTGRES_PASSWORD=postgres postgres:17"  # a disk takes longer
    with container(run, 5432, try_it, OperationalError, "TEST_DATABASE_URL") as port:
        yield url(port)


@pytest.fixture
def empty_database(postgresql_server: URL) -> Iterator[str]:
    """The URL of a database without tables, for one test."""
    name = f"test_{uuid4().hex}"
    admin = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield postgresql_server.set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    """The URL of a Redis: TEST_REDIS_URL, which the tests empty, else one in a container."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return

    def try_it(port: int) -> None:
        Redis(port=port).ping()

    with container("redis:8", 6379, try_it, RedisError, "TEST_REDIS_URL") as port:
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def redis_server(redis: str) -> str:
    """The URL of a Redis that holds nothing, for one test."""
    Redis.from_url(redis).flushdb()
    return redis
{%- endif %}
{%- if servers %}


@contextmanager
def container(
    run: str, port: int, try_it: Callable[[int], None], not_yet: type[Exception], instead: str
) -> Iterator[int]:
    """Run a server, and give the port of this machine at which it answers. Without an engine the test is skipped."""
    try:
        docker("version")
    except subprocess.CalledProcessError:
        if "CI" in os.environ:  # where nobody would notice that these tests are missing
            raise
        pytest.skip(f"there is neither {instead} nor a Docker engine")
    server = docker(f"run --detach --publish 127.0.0.1::{port} {run}")
    try:
        published = int(docker(f"port {server} {port}").rpartition(":")[2])
        deadline = time.monotonic() + 60
        while True:
            try:
                try_it(published)
                break
            except not_yet:
                assert time.monotonic() < deadline, docker(f"logs {server}")
                time.sleep(0.2)
        yield published
    finally:
        docker(f"rm --force --volumes {server}")


def docker(command: str) -> str:
    """Return what a docker command prints. Raises CalledProcessError, also where there is no such command."""
    return subprocess.run(f"docker {command}", shell=True, capture_output=True, text=True, check=True).stdout.strip()
{%- endif %}
