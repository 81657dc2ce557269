"""The migrations of the service's own tables."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask

from {{ cookiecutter.package_name }}.core import database

pytestmark = pytest.mark.usefixtures("database")


def test_the_migrations_make_the_tables_of_the_models(app: Flask) -> None:
    with app.app_context(), database.engine().connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, database.Model.metadata) == [], "run `make migration`"


def test_every_migration_can_be_taken_back(app: Flask) -> None:
    with app.app_context():
        command.downgrade(database.migrations(), "base")
        command.upgrade(database.migrations(), "head")
