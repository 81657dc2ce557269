"""The API of the service, as clients see it."""

import json
from pathlib import Path

from apiflask import APIBlueprint, APIFlask
from pydantic import RootModel

from {{ cookiecutter.package_name }} import create_app
from {{ cookiecutter.package_name }}.core.api import Input, spec_of
from {{ cookiecutter.package_name }}.core.openapi import description
from {{ cookiecutter.package_name }}.core.settings import Settings

OPENAPI = Path(__file__).parent.parent / "openapi.json"


def test_the_committed_description_is_current(settings: Settings) -> None:
    text = OPENAPI.read_text(encoding="utf-8")
    assert json.loads(text) == description(create_app(settings=settings)), "run `make openapi`, and commit it"


def test_every_operation_says_what_it_takes_and_returns(settings: Settings) -> None:
    app: APIFlask = create_app(settings=settings)
    for rule in app.url_map.iter_rules():
        blueprint = app.blueprints.get(rule.endpoint.rpartition(".")[0])
        if isinstance(blueprint, APIBlueprint) and blueprint.enable_openapi:
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                spec = spec_of(app.view_functions[rule.endpoint], method)
                noted = spec.keys() & {"response", "responses", "hide"}
                assert noted, f"{method} {rule}: add @blueprint.output(...), or @blueprint.doc(hide=True) for a page"
                for schema in filter(None, [spec.get("body"), *(taken for taken, _ in spec.get("args") or ())]):
                    strict = isinstance(schema, type) and issubclass(schema, Input | RootModel)
                    assert strict, f"{method} {rule}: {schema} is taken in, and has not the base core.api.Input"
