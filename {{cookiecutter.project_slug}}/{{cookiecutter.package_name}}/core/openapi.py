"""The description of the API: APIFlask's, and what it leaves out."""

import json
import re
from functools import partial
from typing import Any

import click
from apiflask import APIFlask
from flask import Flask
from pydantic.json_schema import models_json_schema
from werkzeug.exceptions import NotFound
from werkzeug.routing import AnyConverter, FloatConverter, IntegerConverter, Rule, UUIDConverter

from {{ cookiecutter.package_name }} import about
from {{ cookiecutter.package_name }}.core.errors import Problem

REFERENCE = "#/components/schemas/"
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
    """Describe problems as they are, and add `flask openapi`, which prints the description."""
    app.spec_processor(partial(complete, app))

    @app.cli.command("openapi")
    def openapi() -> None:
        """Print the description of the API."""
        click.echo(json.dumps(description(app), ensure_ascii=False, indent=2))


def description(app: APIFlask) -> dict[str, Any]:
    """Return the OpenAPI document of all operations."""
    for rule in app.url_map.iter_rules():  # APIFlask wants a view for each, Flask does not
        app.view_functions.setdefault(rule.endpoint, nowhere)
    document: dict[str, Any] = app.spec  # type: ignore[assignment]
    return document


def nowhere(**_: object) -> str:
    """Stand for the view of a rule that has none."""
    raise NotFound


def complete(app: Flask, document: Any) -> Any:
    """Add to APIFlask's description what it leaves out: problems, what a path may hold, that bodies are needed."""
    rules = {re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", rule.rule): rule for rule in app.url_map.iter_rules()}
    _, schemas = models_json_schema([(Problem, "serialization")], ref_template=REFERENCE + "{model}")
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components |= schemas["$defs"]
    content = {"application/problem+json": {"schema": {"$ref": f"{REFERENCE}Problem"}}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    parameter["schema"] = path_schema(rules[path], parameter["name"])
            body = operation.get("requestBody")
            problems = {"422", "default"} | ({"404"} if "{" in path else set())
            if operation.get("security"):
                problems |= {"401", "403"}
            if body:
                body["required"] = True
                problems |= {"411", "413", *(("400", "415") if "application/json" in body["content"] else ())}
            responses = operation["responses"]
            for status in problems | {status for status in responses if status >= "400"}:
                text = responses.get(status, {}).get("description") or PROBLEMS.get(status)
                responses[status] = {"description": text, "content": content}
            operation["responses"] = dict(sorted(responses.items()))
    return with_short_names(document)


def path_schema(rule: Rule, name: str) -> dict[str, Any]:
    """Return the schema of a variable part of a path, as its converter takes it."""
    converter = rule._converters[name]
    if isinstance(converter, IntegerConverter | FloatConverter):
        limits = {"minimum": converter.min, "maximum": converter.max}
        kind = "integer" if isinstance(converter, IntegerConverter) else "number"
        return {"type": kind, "minimum": 0} | {key: value for key, value in limits.items() if value is not None}
    if isinstance(converter, AnyConverter):
        return {"type": "string", "enum": list(converter.items)}
    if isinstance(converter, UUIDConverter):
        return {"type": "string", "format": "uuid"}
    return {"type": "string", "minLength": 1}


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
