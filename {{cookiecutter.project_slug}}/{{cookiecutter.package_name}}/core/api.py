"""The API: APIFlask checks and describes what goes in and out by models of pydantic; this makes it strict.

    blueprint = APIBlueprint("things", __name__, url_prefix="/api/things")

    @blueprint.post("")
    @blueprint.input(NewThing)
    @blueprint.output(Thing, status_code=201, headers=Location)
    def add_thing(json_data: NewThing) -> tuple[Thing, int, dict[str, str]]:

`make openapi` writes the description to openapi.json. APIFlask's documentation has the rest: https://apiflask.com
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import quote, urlencode

from apiflask import APIFlask
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.marshmallow import MarshmallowAdapter
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request, current_app, request
from flask.json.provider import DefaultJSONProvider
from marshmallow import Schema
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import from_json
from werkzeug.exceptions import BadRequest, LengthRequired, NotFound, UnsupportedMediaType

from {{ cookiecutter.package_name }}.core.errors import FieldError, InvalidRequest

Model = type[BaseModel]
NO_NUL = r"^[^\u0000]*$"
SUSPECT = re.compile(rb"\\u0000|NaN|Infinity|[eE]\+?\d{3}")
"""What may be a text with a NUL, or a number that is none."""


class Input(BaseModel):
    """Base of the models for what clients send; a field that is not known is an error.

    Answers have models that are no `Input`: the description says of them which fields are always there.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


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
        if self.many:
            raise TypeError(f"take a list as a model of its own: RootModel[list[{self.model_class.__name__}]]")
        is_json = location == "json" or (location == "json_or_form" and request.is_json)
        try:
            if is_json:
                return self.model_class.model_validate_json(json_body(), strict=True)
            return self.model_class.model_validate(texts(self.model_class, location))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            if is_json and found[0]["type"] == "json_invalid":
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


class OtherAdapter(MarshmallowAdapter):
    """How APIFlask uses what is no model: it takes anything, also what nobody could read."""

    def __init__(self, schema: Any, *arguments: Any, **options: Any) -> None:
        """Raise TypeError for what is neither a schema nor a dict of fields, such as a union."""
        kind = schema if isinstance(schema, type) else type(schema)
        if not issubclass(kind, Schema | dict):
            raise TypeError(f"{schema} is no model; make it one: class Answer(RootModel[...]): ...")
        super().__init__(schema, *arguments, **options)


registry.register("pydantic", StrictAdapter)
registry.register("marshmallow", OtherAdapter)

models: dict[str, Model] = {}
"""The models that are described by their name alone."""


@cache
def answers(model: Model, many: bool) -> TypeAdapter[Any]:
    """Return what checks and writes answers of a model, or lists of them."""
    return TypeAdapter(list[model] if many else model)  # type: ignore[valid-type]


def json_body() -> bytes:
    """Return the body, which is called JSON, and has nothing in it that few stores take."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("Send JSON, and the header Content-Type: application/json.")
    body = request.get_data()
    if SUSPECT.search(body):
        try:
            refuse_odd(from_json(body))
        except ValueError:
            raise BadRequest("The body is not JSON.") from None
    return body


def texts(model: Model, location: str) -> dict[str, Any]:
    """Return what is not JSON by name: a text or a file, or several where the model has a list."""
    fields, several = fields_of(model)
    given: dict[str, list[Any]]
    if location == "headers":
        given = {name: request.headers.getlist(name.replace("_", "-")) for name in fields}
    elif location == "cookies":
        given = {name: request.cookies.getlist(name) for name in fields}
    elif location in ("query", "querystring"):
        given = request.args.to_dict(flat=False)
    elif location in ("path", "view_args"):
        given = {name: [value] for name, value in (request.view_args or {}).items()}
    elif location in ("form", "files", "form_and_files", "json_or_form"):
        given = form(fields)
    else:
        raise ValueError(f"there is no place {location!r} in a request")
    refuse_odd(given)
    if repeated := [name for name, values in given.items() if len(values) > 1 and name not in several]:
        raise invalid((name, "Give it once") for name in repeated)
    return {name: values if name in several else values[0] for name, values in given.items() if values}


def form(fields: dict[str, FieldInfo]) -> dict[str, list[Any]]:
    """Return what a form holds, without what browsers send for a field that nobody has filled in, if it may be empty."""
    given: dict[str, list[Any]] = {**request.form.to_dict(flat=False), **request.files.to_dict(flat=False)}
    if "csrf_token" not in fields:
        given.pop("csrf_token", None)  # it is Flask-WTF's
    optional = {name for name, field in fields.items() if not field.is_required()}
    filled = {name: [value for value in values if name not in optional or value] for name, values in given.items()}
    return {name: values for name, values in filled.items() if values}


@cache
def fields_of(model: Model) -> tuple[dict[str, FieldInfo], frozenset[str]]:
    """Return the fields of a model by the names they are sent by, and the names that may be given several times."""
    fields = {alias: field for name, field in model.model_fields.items() for alias in aliases(name, field)}
    return fields, frozenset(name for name, field in fields.items() if is_several(field.annotation))


def aliases(name: str, field: FieldInfo) -> list[str]:
    """Return the names by which a field is sent."""
    if isinstance(field.validation_alias, AliasChoices):
        return [choice for choice in field.validation_alias.choices if isinstance(choice, str)]
    return [field.validation_alias if isinstance(field.validation_alias, str) else name]


def is_several(annotation: Any) -> bool:
    """Return whether a field may be given several times."""
    origin = get_origin(annotation) or annotation
    if origin in (Annotated, Union, UnionType):
        return any(map(is_several, get_args(annotation)))
    return isinstance(origin, type) and issubclass(origin, Collection) and not issubclass(origin, str | bytes | Mapping)


def refuse_odd(given: object) -> None:
    """Raise InvalidRequest where a text has a NUL in it, or a number is infinite or none."""

    def places(value: object, place: tuple[object, ...]) -> Iterator[tuple[str, str]]:
        if isinstance(value, str) and "\0" in value:
            yield ".".join(map(str, place)), "A text may not contain a NUL"
        if isinstance(value, float) and not math.isfinite(value):
            yield ".".join(map(str, place)), "A number has to be finite"
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in inner:
            yield from places(key, place)
            yield from places(item, (*place, key))

    if found := [*places(given, ())]:
        raise invalid((place.removesuffix(".0"), message) for place, message in found)


def say_no_nul(schema: Any) -> Any:
    """Return a schema whose texts have no NUL in them."""
    if isinstance(schema, list):
        return [say_no_nul(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    said = {name: say_no_nul(part) for name, part in schema.items()}
    if schema.get("type") == "string" and not schema.keys() & {"const", "enum", "format", "pattern"}:
        said["pattern"] = NO_NUL
    if "additionalProperties" in schema and schema["additionalProperties"] is not False:
        said.setdefault("propertyNames", {"pattern": NO_NUL})
    return said


def invalid(found: Any) -> InvalidRequest:
    """Return the error for fields that do not fit, given with what is wrong with each."""
    return InvalidRequest([FieldError(field=field, message=message) for field, message in found])


class Json(DefaultJSONProvider):
    """What writes answers. NaN is no JSON: who answers with it has a fault to mend."""

    sort_keys = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Return a value as JSON. Raises ValueError."""
        return super().dumps(obj, **{"allow_nan": False, **kwargs})


def init_app(app: APIFlask) -> None:
    """Be strict with what no model sees, too."""
    app.json = Json(app)
    app.before_request(refuse_what_no_model_sees)


def refuse_what_no_model_sees() -> None:
    """Refuse a body of unknown length, a path with a NUL, and a query for an operation that takes none."""
    if "HTTP_TRANSFER_ENCODING" in request.environ:  # the limit on bodies would cut it off instead of refusing it
        raise LengthRequired("Send the body with a Content-Length.")
    if "\0" in request.path:
        raise NotFound
    if request.args and request.method != "OPTIONS":
        operation = spec_of(current_app.view_functions.get(request.endpoint or ""), request.method)
        described = operation.keys() & {"response", "responses"}
        if described and not any(place.startswith("query") for _, place in operation.get("args") or ()):
            auth = operation.get("auth")  # a key may be in the query
            allowed = {getattr(one, "param_name", None) for one in getattr(auth, "_auths", [auth])}
            if unknown := [name for name in request.args if name not in allowed]:
                raise invalid((name, "Extra inputs are not permitted") for name in unknown)


def spec_of(view: object, method: str) -> dict[str, Any]:
    """Return what APIFlask's decorators have noted of a view, or of one method of a class-based one."""
    methods: dict[str, dict[str, Any]] | None = getattr(view, "_method_spec", None)
    if methods is not None:
        return methods.get(method, {})
    spec: dict[str, Any] = getattr(view, "_spec", {})
    return spec
