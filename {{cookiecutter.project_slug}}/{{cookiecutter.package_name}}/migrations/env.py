"""What Alembic runs, for `flask migrate` and for `alembic` on the command line."""

from alembic import context
from flask import has_app_context

from {{ cookiecutter.package_name }} import create_app, models
from {{ cookiecutter.package_name }}.database import migrating


def run() -> None:
    """Run migrations, all or none."""
    with migrating() as connection:
{%- if cookiecutter.database == "sqlite" %}
        # SQLite can hardly change a table in place, so Alembic copies it.
        context.configure(connection, target_metadata=models.METADATA, render_as_batch=True, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
            if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
                raise RuntimeError(f"the migrations leave {len(broken)} rows that refer to nothing")
{%- elif cookiecutter.database == "postgresql" %}
        context.configure(connection, target_metadata=models.METADATA)
        with context.begin_transaction():
            context.run_migrations()
{%- endif %}


if has_app_context():
    run()
else:
    with create_app().app_context():
        run()
