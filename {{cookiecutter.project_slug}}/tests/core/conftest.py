"""What carries the service is tested by itself: in an application without the service's own resources."""

import pytest
from apiflask import APIFlask

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core.settings import Settings


@pytest.fixture
def app(settings: Settings) -> APIFlask:
    """An application with a single route, besides those that every service has."""
    application = core.make_app(settings)

    @application.get("/probe/<name>")
    def probe(name: str) -> str:
        return f"Hello, {name}!"

    return application
