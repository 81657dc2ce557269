"""What Alembic runs, for `flask migrate` and for `alembic` on the command line."""

from alembic import context
from flask import has_app_context

from {{ cookiecutter.package_name }} import create_app
from {{ cookiecutter.package_name }}.core import {{ cookiecutter.database }}
from {{ cookiecutter.package_name }}.core.database import Model, migrating


def run() -> None:
    """Run migrations, all or none."""
    with migrating() as connection:
        context.configure(connection, target_metadata=Model.metadata, **{{ cookiecutter.database }}.MIGRATION_OPTIONS)
        with context.begin_transaction():
            context.run_migrations()
            {{ cookiecutter.database }}.check_migrated(connection)


if has_app_context():
    run()
else:
    with create_app().app_context():
        run()
