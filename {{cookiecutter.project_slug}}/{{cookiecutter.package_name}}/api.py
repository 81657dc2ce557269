"""What goes in and out of the API: read from the types of the views, checked, and described as OpenAPI 3.1.

    @blueprint.post("")
    @operation(status=201)
    def add_thing(body: NewThing) -> Thing:

A view gets its `query` from the query string and its `body` from the JSON that was sent. What it returns goes out
as JSON. `make openapi` writes the description to openapi.json.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, wraps
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints
from urllib.parse import quote, urlencode

import click
from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from werkzeug.exceptions import BadRequest, LengthRequired, UnsupportedMediaType
from werkzeug.routing import Rule

from {{ cookiecutter.package_name }} import about
from {{ cookiecutter.package_name }}.errors import FieldError, InvalidRequest, Problem

Model = type[BaseModel]
REFERENCE = "#/components/schemas/{model}"
PATH_PARAMETER = re.compile(r"<(?:(?P<converter>\w+)(?:\((?P<arguments>.*?)\))?:)?(?P<name>\w+)>")
TEXT = {"type": "string", "pattern": "^[^/]+$"}
CONVERTERS: dict[str | None, dict[str, Any]] = {
    None: TEXT,
    "string": TEXT,
    "int": {"type": "integer", "minimum": 0},
    "uuid": {"type": "string", "format": "uuid"},
}
ARGUMENTS = {"min": "minimum", "max": "maximum", "minlength": "minLength", "maxlength": "maxLength"}
PROBLEMS = {
    400: "The body is not JSON",
    404: "There is no such thing",
    411: "The body has no length",
    413: "The body is too large",
    415: "The body is not called application/json",
    422: "A value does not fit",
}


class Input(BaseModel):
    """Base of the models for what clients send; a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Input):
    """Base of the queries for one page of a list; give it the field `after`, the key of the last item before."""

    limit: int = Field(default=20, ge=1, le=100, description="How many items a page holds at most")


class Operation(NamedTuple):
    """What a view takes and returns."""

    query: Model | None
    body: Model | None
    returns: Model | None
    status: int
    summary: str

    def problems(self, rule: Rule) -> list[int]:
        """Return the statuses of the problems that a client can cause."""
        return sorted({422, *((400, 411, 413, 415) if self.body else ()), *((404,) if rule.arguments else ())})


operations: dict[Callable[..., Response], Operation] = {}
"""The views that are described."""


def operation(status: int = 200) -> Callable[[Callable[..., BaseModel | None]], Callable[..., Response]]:
    """Return a decorator that checks what a view gets, and sends what it returns with a status."""

    def decorate(view: Callable[..., BaseModel | None]) -> Callable[..., Response]:
        hints = get_type_hints(view)
        returns = None if hints["return"] is type(None) else hints["return"]
        summary = (view.__doc__ or "").partition("\n")[0].rstrip(".")
        described = Operation(hints.get("query"), hints.get("body"), returns, status, summary)

        @wraps(view)
        def checked(**arguments: object) -> Response:
            query = read_query(described.query or Input)
            if described.query:
                arguments["query"] = query
            if described.body:
                arguments["body"] = read_body(described.body)
            answer = view(**arguments)
            if answer is None:
                return Response(status=status)
            return Response(answer.model_dump_json(by_alias=True), status, mimetype="application/json")

        operations[checked] = described
        return checked

    return decorate


def read_query(model: Model) -> BaseModel:
    """Return the query string as a model. Raises InvalidRequest: it becomes a 422 problem that names each field."""
    lists = list_fields(model)
    given = {name: values if name in lists else values[0] for name, values in request.args.lists()}
    if repeated := [name for name, values in request.args.lists() if len(values) > 1 and name not in lists]:
        raise InvalidRequest([FieldError(field=name, message="Give it once") for name in repeated])
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidRequest(field_errors(error)) from None


@cache
def list_fields(model: Model) -> frozenset[str]:
    """Return the names of the fields that a query string may repeat."""
    lists = (list, set, frozenset, tuple)
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if any(get_origin(kind) in lists for kind in (field.annotation, *get_args(field.annotation)))
    )


def read_body(model: Model) -> BaseModel:
    """Return the JSON body as a model.

    Raises:
        UnsupportedMediaType: the body is not called application/json.
        BadRequest: it is not JSON.
        InvalidRequest: a value does not fit; it becomes a 422 problem that names each field.
    """
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send JSON, and the header Content-Type: application/json.")
    try:
        return model.model_validate_json(request.get_data(), strict=True)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise BadRequest("The body is not JSON.") from None
        raise InvalidRequest(field_errors(error)) from None


def field_errors(error: ValidationError) -> list[FieldError]:
    """Return what is wrong with each field, without the values."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldError(field=".".join(map(str, item["loc"])), message=item["msg"]) for item in found]


def next_page(after: object) -> str:
    """Return the path of the page after the item with this key, with the rest of the query as it is."""
    query = urlencode(request.args.to_dict(flat=False) | {"after": after}, doseq=True)
    return f"{quote(request.script_root + request.path)}?{query}"


def init_app(app: Flask) -> None:
    """Refuse bodies of unknown length, and add `flask openapi`, which prints the description."""

    @app.before_request
    def require_content_length() -> None:
        if "Transfer-Encoding" in request.headers:  # the limit on bodies would cut it off instead of refusing it
            raise LengthRequired("Send the body with a Content-Length.")

    @app.cli.command("openapi")
    def openapi() -> None:
        """Print the description of the API."""
        click.echo(json.dumps(description(app), ensure_ascii=False, indent=2))


def description(app: Flask) -> dict[str, Any]:
    """Return the OpenAPI document of all views that are operations."""
    rules = [
        (rule, operations[view])
        for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
        if (view := app.view_functions[rule.endpoint]) in operations
    ]
    used: list[tuple[Model, JsonSchemaMode]] = [(Problem, "serialization")]
    for _, described in rules:
        used += [(described.body, "validation")] if described.body else []
        used += [(described.returns, "serialization")] if described.returns else []
    references, schemas = models_json_schema(list(dict.fromkeys(used)), ref_template=REFERENCE)
    components: dict[str, Any] = schemas["$defs"]
    for _, described in rules:
        components |= query_schema(described.query).get("$defs", {})
    paths: dict[str, dict[str, Any]] = {}
    for rule, described in rules:
        path = PATH_PARAMETER.sub(r"{\g<name>}", rule.rule)
        for method in methods_of(rule):
            paths.setdefault(path, {})[method.lower()] = describe(rule, method, described, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": about.NAME, "description": about.DESCRIPTION, "version": about.API_VERSION},
        "paths": paths,
        "components": {"schemas": dict(sorted(components.items()))},
    }


def describe(rule: Rule, method: str, described: Operation, references: dict[Any, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of one operation."""
    name = rule.endpoint.replace(".", "_") + (f"_{method.lower()}" if len(methods_of(rule)) > 1 else "")
    answer: dict[str, Any] = {"description": described.summary}
    if described.returns:
        answer["content"] = content("application/json", references[described.returns, "serialization"])
    problem = content("application/problem+json", references[Problem, "serialization"])
    responses = {str(described.status): answer}
    responses |= {
        str(status): {"description": PROBLEMS[status], "content": problem} for status in described.problems(rule)
    }
    responses["default"] = {"description": "Another problem", "content": problem}
    found: dict[str, Any] = {
        "operationId": name,
        "summary": described.summary,
        "tags": [rule.endpoint.partition(".")[0]],
    }
    if parameters := [*path_parameters(rule), *query_parameters(described.query)]:
        found["parameters"] = parameters
    if described.body:
        schema = references[described.body, "validation"]
        found["requestBody"] = {"required": True, "content": content("application/json", schema)}
    return found | {"responses": responses}


def methods_of(rule: Rule) -> list[str]:
    """Return the methods of a rule, but those that Flask adds."""
    return sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})


def content(media_type: str, schema: object) -> dict[str, Any]:
    """Return the OpenAPI description of a body of one type."""
    return {media_type: {"schema": schema}}


def path_parameters(rule: Rule) -> Iterator[dict[str, Any]]:
    """Yield the descriptions of the variable parts of a path. Raises ValueError for what cannot be described."""
    for match in PATH_PARAMETER.finditer(rule.rule):
        limits = re.findall(r"(\w+)=(\w+)", match["arguments"] or "")
        if match["converter"] not in CONVERTERS or any(name not in ARGUMENTS for name, _ in limits):
            raise ValueError(f"{rule.rule}: add {match[0]} to CONVERTERS or ARGUMENTS in api.py")
        schema = CONVERTERS[match["converter"]] | {ARGUMENTS[name]: int(value) for name, value in limits}
        yield {"name": match["name"], "in": "path", "required": True, "schema": schema}


def query_parameters(model: Model | None) -> Iterator[dict[str, Any]]:
    """Yield the descriptions of the fields of a query."""
    schema = query_schema(model)
    for name, field in schema.get("properties", {}).items():
        yield {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}


def query_schema(model: Model | None) -> dict[str, Any]:
    """Return the JSON Schema of a query."""
    return model.model_json_schema(ref_template=REFERENCE) if model else {}
