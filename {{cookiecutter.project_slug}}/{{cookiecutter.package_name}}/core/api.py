"""The API: APIFlask checks and describes what goes in and out by models of pydantic; this makes it strict.

    blueprint = APIBlueprint("things", __name__, url_prefix="/api/things")

    @blueprint.post("")
    @blueprint.input(NewThing)
    @blueprint.output(Thing, status_code=201, headers=Location)
    def add_thing(json_data: NewThing) -> tuple[Thing, int, dict[str, str]]:

`make openapi` writes the description to openapi.json. APIFlask's documentation has the rest: https://apiflask.com
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args, get_origin
from urllib.parse import quote, urlencode

from apiflask import APIFlask
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request, current_app, request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from werkzeug.exceptions import BadRequest, LengthRequired, NotFound, UnsupportedMediaType

from {{ cookiecutter.package_name }}.core.errors import FieldError, InvalidRequest

Model = type[BaseModel]


class Input(BaseModel):
    """Base of the models for what clients send; a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Input):
    """Base of the queries for one page of a list; give it the field `after`, the key of the last item before."""

    limit: int = Field(default=20, ge=1, le=100, description="How many items a page holds at most")


class Location(BaseModel):
    """The headers of an answer that says where what it speaks of is."""

    location: str = Field(alias="Location", description="Where it is")


def next_page(after: object) -> str:
    """Return the path of the page after the item with this key, with the rest of the query as it is."""
    query = urlencode(request.args.to_dict(flat=False) | {"after": after}, doseq=True)
    return f"{quote(request.script_root + request.path)}?{query}"


class StrictAdapter(PydanticAdapter):
    """How APIFlask uses a model: clients are taken at their word, and answers hold what the model says and no more."""

    def validate_input(self, request: Request, location: str, **_: Any) -> BaseModel:
        """Return what a client has sent as a model.

        Raises:
            UnsupportedMediaType: a body is not called application/json.
            BadRequest: it is not JSON.
            InvalidRequest: a value does not fit; it becomes a 422 problem that names each field.
        """
        try:
            if location == "json" or (location == "json_or_form" and request.is_json):
                return self.model_class.model_validate_json(json_body(), strict=True)
            return self.model_class.model_validate(texts(self.model_class, request, location))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            if found[0]["type"] == "json_invalid":
                raise BadRequest("The body is not JSON.") from None
            raise invalid((".".join(map(str, item["loc"])), item["msg"]) for item in found) from None

    def serialize_output(self, data: Any, many: bool = False) -> Any:
        """Return an answer as JSON has it, made from a model, a dict, or an object with such attributes."""
        kind = answers(self.model_class, many)
        return kind.dump_python(kind.validate_python(data, from_attributes=True), mode="json", by_alias=True)

    def get_openapi_schema(self, **_: Any) -> dict[str, Any]:
        """Return the schema of what clients send, or of what they get, which has the defaults too."""
        if issubclass(self.model_class, Input):
            schema: dict[str, Any] = say_no_nul(super().get_openapi_schema(mode="validation"))
            return schema
        return super().get_openapi_schema(mode="serialization")

    def get_schema_name(self) -> str:
        """Return the name of the model, with that of its module where another model has it already."""
        name, module = self.model_class.__name__, self.model_class.__module__.rpartition(".")[2]
        return name if models.setdefault(name, self.model_class) is self.model_class else f"{module}_{name}"


registry.register("pydantic", StrictAdapter)

models: dict[str, Model] = {}
"""The models that are described by their name alone."""


@cache
def answers(model: Model, many: bool) -> TypeAdapter[Any]:
    """Return what checks and writes answers of a model, or lists of them."""
    return TypeAdapter(list[model] if many else model)  # type: ignore[valid-type]


def json_body() -> bytes:
    """Return the body, which is called JSON, and has no text with a NUL in it: few stores take that."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send JSON, and the header Content-Type: application/json.")
    body = request.get_data()
    if rb"\u0000" in body:
        try:
            refuse_nul(from_json(body))
        except ValueError:
            raise BadRequest("The body is not JSON.") from None
    return body


def texts(model: Model, request: Request, location: str) -> dict[str, Any]:
    """Return what is not JSON by name: a text or a file, or several where the model has a list."""
    fields = [field.alias or name for name, field in model.model_fields.items()]
    given: dict[str, list[Any]]
    if location == "headers":
        given = {name: request.headers.getlist(name.replace("_", "-")) for name in fields}
    elif location == "cookies":
        given = {name: request.cookies.getlist(name) for name in fields}
    elif location in ("query", "querystring"):
        given = request.args.to_dict(flat=False)
    elif location in ("path", "view_args"):
        given = {name: [value] for name, value in (request.view_args or {}).items()}
    else:  # the kinds of forms
        given = {**request.form.to_dict(flat=False), **request.files.to_dict(flat=False)}
    refuse_nul(given)
    several = lists(model)
    if repeated := [name for name, values in given.items() if len(values) > 1 and name not in several]:
        raise invalid((name, "Give it once") for name in repeated)
    return {name: values if name in several else values[0] for name, values in given.items() if values}


@cache
def lists(model: Model) -> frozenset[str]:
    """Return the names of the fields that may be given several times."""
    kinds = (list, set, frozenset, tuple)
    return frozenset(
        field.alias or name
        for name, field in model.model_fields.items()
        if any(get_origin(kind) in kinds for kind in (field.annotation, *get_args(field.annotation)))
    )


def refuse_nul(given: object) -> None:
    """Raise InvalidRequest where a text has a NUL in it."""

    def places(value: object, place: tuple[object, ...]) -> Iterator[str]:
        if isinstance(value, str) and "\0" in value:
            yield ".".join(map(str, place))
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in inner:
            yield from places(item, (*place, key))

    if found := [*places(given, ())]:
        raise invalid((place.removesuffix(".0"), "A text may not contain a NUL") for place in found)


def say_no_nul(schema: Any) -> Any:
    """Return a schema whose texts have no NUL in them."""
    if isinstance(schema, list):
        return [say_no_nul(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    said = {name: say_no_nul(part) for name, part in schema.items()}
    if schema.get("type") == "string" and not schema.keys() & {"const", "enum", "format", "pattern"}:
        said["pattern"] = r"^[^\u0000]*$"
    return said


def invalid(found: Any) -> InvalidRequest:
    """Return the error for fields that do not fit, given with what is wrong with each."""
    return InvalidRequest([FieldError(field=field, message=message) for field, message in found])


def init_app(app: APIFlask) -> None:
    """Be strict with what no model sees, too."""
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.before_request(refuse_what_no_model_sees)


def refuse_what_no_model_sees() -> None:
    """Refuse a body of unknown length, a path with a NUL, and a query for an operation that takes none."""
    if "Transfer-Encoding" in request.headers:  # the limit on bodies would cut it off instead of refusing it
        raise LengthRequired("Send the body with a Content-Length.")
    if "\0" in request.path:
        raise NotFound
    view = current_app.view_functions.get(request.endpoint or "")
    operation = getattr(view, "_method_spec", {}).get(request.method) or getattr(view, "_spec", {})
    described = operation.keys() & {"response", "responses"}
    if described and not any(place.startswith("query") for _, place in operation.get("args") or ()):
        allowed = getattr(operation.get("auth"), "param_name", None)  # a key of the API may be there
        if unknown := [name for name in request.args if name != allowed]:
            raise invalid((name, "Extra inputs are not permitted") for name in unknown)
