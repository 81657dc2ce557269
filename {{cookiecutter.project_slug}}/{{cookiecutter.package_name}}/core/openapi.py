"""The description of the API: APIFlask's, and what it leaves out."""

import json
import re
from threading import Lock
from typing import Any

import click
from apiflask import APIFlask
from flask import Flask
from pydantic.json_schema import models_json_schema
from werkzeug.exceptions import NotFound
from werkzeug.routing import AnyConverter, IntegerConverter, Rule, UUIDConverter
from werkzeug.routing.converters import NumberConverter

from {{ cookiecutter.package_name }} import about
from {{ cookiecutter.package_name }}.core.api import models
from {{ cookiecutter.package_name }}.core.errors import FieldError, Problem

REFERENCE = "#/components/schemas/"
LIBRARYS = {"application/json": {"schema": {"$ref": f"{REFERENCE}HTTPError"}}}
"""What APIFlask takes errors for."""

lock = Lock()
PROBLEMS = {
    "400": "The body is not JSON",
    "401": "Nobody has said who is asking",
    "403": "Whoever is asking may not do this",
    "404": "There is no such thing",
    "411": "The body has no length",
    "413": "The body is too large",
    "415": "The body is not called application/json",
    "422": "A value does not fit",
    "default": "Another problem",
}


CONFIG = {
    "DESCRIPTION": about.DESCRIPTION,
    "AUTO_OPERATION_ID": True,
    "AUTO_SERVERS": False,
    # These have other types, and bare views are no operations.
    "AUTO_200_RESPONSE": False,
    "AUTO_404_RESPONSE": False,
    "AUTO_AUTH_ERROR_RESPONSE": False,
    "AUTO_VALIDATION_ERROR_RESPONSE": False,
}
"""How APIFlask describes."""


def init_app(app: APIFlask) -> None:
    """Add `flask openapi`, which prints the description."""

    @app.cli.command("openapi")
    def openapi() -> None:
        """Print the description of the API."""
        click.echo(json.dumps(description(app), ensure_ascii=False, indent=2))


def description(app: APIFlask) -> dict[str, Any]:
    """Return the OpenAPI document of all operations; it is made once."""
    with lock:  # APIFlask writes down, in the views, which operation it is at
        if "openapi" not in app.extensions:
            models.clear()
            models.update(Problem=Problem, FieldError=FieldError)
            without = {rule.endpoint for rule in app.url_map.iter_rules()} - app.view_functions.keys()
            app.view_functions.update(dict.fromkeys(without, nowhere))  # APIFlask wants a view for each rule,
            for blueprint in app.blueprints.values():  # and of each blueprint to know whether it is described
                if not hasattr(blueprint, "enable_openapi"):
                    blueprint.enable_openapi = False  # type: ignore[attr-defined]
            try:
                app.extensions["openapi"] = complete(app, app.spec)
            finally:
                for endpoint in without:
                    del app.view_functions[endpoint]
    document: dict[str, Any] = app.extensions["openapi"]
    return document


def nowhere(**_: object) -> str:
    """Stand for the view of a rule that has none."""
    raise NotFound


def complete(app: Flask, document: Any) -> dict[str, Any]:
    """Add to APIFlask's description what it leaves out: problems, what a path may hold, that bodies are needed."""
    rules = {re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule): rule for rule in app.url_map.iter_rules()}
    _, schemas = models_json_schema([(Problem, "serialization")], ref_template=REFERENCE + "{model}")
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components.pop("HTTPError", None)
    components |= schemas["$defs"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and parameter["schema"].keys() == {"type"}:  # no model describes it
                    parameter["schema"] = path_schema(rules[path], parameter["name"])
            body = operation.get("requestBody")
            problems = {"422", "default"} | ({"404"} if "{" in path else set())
            if operation.get("security"):
                problems |= {"401", "403"}
            if body:
                body["required"] = True
                problems |= {"411", "413", *(("400", "415") if "application/json" in body["content"] else ())}
            for status in problems:
                operation["responses"].setdefault(status, {"description": PROBLEMS[status]})
            for status, response in operation["responses"].items():
                if status >= "400" and response.get("content", LIBRARYS) == LIBRARYS:
                    response["content"] = {"application/problem+json": {"schema": {"$ref": f"{REFERENCE}Problem"}}}
            operation["responses"] = dict(sorted(operation["responses"].items()))
    return with_short_names(document)


def path_schema(rule: Rule, name: str) -> dict[str, Any]:
    """Return the schema of a variable part of a path, as its converter takes it."""
    converter = rule._converters[name]
    if isinstance(converter, NumberConverter):
        lowest = converter.min if converter.signed else converter.min or 0
        limits = {"minimum": lowest, "maximum": converter.max}
        kind = "integer" if isinstance(converter, IntegerConverter) else "number"
        return {"type": kind} | {key: value for key, value in limits.items() if value is not None}
    if isinstance(converter, AnyConverter):
        return {"type": "string", "enum": sorted(converter.items)}
    if isinstance(converter, UUIDConverter):
        return {"type": "string", "format": "uuid"}
    return {"type": "string", "pattern": f"^{converter.regex}$"}


def with_short_names(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with models that are part of others called by their own names, where these are unique."""
    schemas = document["components"]["schemas"]
    short = {name: name.rpartition(".")[2] for name in schemas}

    def written(value: object, names: dict[str, str]) -> str:
        references = re.compile(rf'"{REFERENCE}([^"]+)"')
        return references.sub(lambda found: f'"{REFERENCE}{names.get(found[1], found[1])}"', json.dumps(value))

    meanings: dict[str, set[str]] = {}
    for name, schema in schemas.items():
        meanings.setdefault(short[name], set()).add(written(schema, short))
    names = {name: own if len(meanings[own]) == 1 else name for name, own in short.items()}
    renamed = {names[name]: schema for name, schema in schemas.items()}
    document["components"]["schemas"] = dict(sorted(renamed.items()))
    result: dict[str, Any] = json.loads(written(document, names))
    return result
