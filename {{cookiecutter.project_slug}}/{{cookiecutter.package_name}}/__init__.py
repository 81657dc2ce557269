"""The application factory: everything the service is made of is put together here."""

from collections.abc import Mapping

from apiflask import APIFlask

from {{ cookiecutter.package_name }} import core, resources
from {{ cookiecutter.package_name }}.core.settings import Settings, load_settings


def create_app(config: Mapping[str, object] | None = None, *, settings: Settings | None = None) -> APIFlask:
    """Return the application.

    Args:
        config: what else Flask and its extensions shall find in `app.config`, like `{"TESTING": True}`.
        settings: the settings; by default those of the environment.

    Raises:
        SettingsError: the environment holds values the service must not start with.
    """
    app = core.make_app(settings or load_settings(), config)
    resources.init_app(app)
    return app
