"""What Alembic runs, for `flask migrate` and for `alembic` on the command line."""

from alembic import context, util
from alembic.operations.ops import MigrationScript
from flask import has_app_context

from {{ cookiecutter.package_name }} import create_app
from {{ cookiecutter.package_name }}.core import {{ cookiecutter.database }}
from {{ cookiecutter.package_name }}.core.database import Model, migrating, revisions, unknown


def look(_context: object, _revision: object, directives: list[MigrationScript]) -> None:
    """Write no migration where nothing has changed, nor one that fails where a table has rows."""
    if getattr(context.config.cmd_opts, "autogenerate", False) and (changes := directives[0].upgrade_ops):
        if changes.is_empty():
            directives.clear()
            util.msg("no table has changed: there is nothing to write")
        for change in changes.as_diffs():
            if change[0] == "add_column" and not change[3].nullable and change[3].server_default is None:
                where = f"{change[2]}.{change[3].name}"
                raise util.CommandError(f"{where}: rows that are there have no value for it; give it a server_default")


def run() -> None:
    """Run migrations, all or none."""
    with migrating() as connection:
        context.configure(
            connection,
            target_metadata=Model.metadata,
            process_revision_directives=look,
            **{{ cookiecutter.database }}.MIGRATION_OPTIONS,
        )
        with context.begin_transaction():
            try:
                context.run_migrations()
            except util.CommandError:
                for found in {*context.get_context().get_current_heads()} - revisions()[1]:
                    raise util.CommandError(unknown(found)) from None
                raise
            {{ cookiecutter.database }}.check_migrated(connection)


if has_app_context():
    run()
else:
    with create_app().app_context():
        run()
