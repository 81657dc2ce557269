"""What Alembic runs: for `flask migrate`, which hands over its connection, and for `alembic` on the command line."""

from alembic import context
from sqlalchemy import Connection

from {{ cookiecutter.package_name }} import create_app, models
from {{ cookiecutter.package_name }}.database import engine


def run(connection: Connection) -> None:
{%- if cookiecutter.database == "sqlite" %}
    """Run migrations. SQLite can hardly change a table in place: Alembic copies it."""
    context.configure(connection, target_metadata=models.Note.metadata, render_as_batch=True)
{%- else %}
    """Run migrations."""
    context.configure(connection, target_metadata=models.Note.metadata)
{%- endif %}
    with context.begin_transaction():
        context.run_migrations()


if given := context.config.attributes.get("connection"):
    run(given)
else:
    with create_app().app_context(), engine().connect() as connection:
        run(connection)
