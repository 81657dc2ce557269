import io
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

import pytest
from apiflask import APIBlueprint, APIFlask
from apiflask.fields import UploadFile
from apiflask.views import MethodView
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from pydantic import BaseModel, Field, RootModel, computed_field

from {{ cookiecutter.package_name }}.core.api import Input, Location, PageQuery
from {{ cookiecutter.package_name }}.core.openapi import description

blueprint = APIBlueprint("probes", __name__, url_prefix="/probes")
View = TypeVar("View")


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class NewProbe(Input):
    amount: int
    label: str = ""
    inner: dict[str, list[str | float]] = Field(default={})


class Probe(BaseModel):
    amount: int | float
    colour: Colour = Colour.RED

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> float:
        """Another field."""
        return 2 * self.amount


class Either(RootModel[Probe | None]):
    """A probe, or nothing."""


class Search(PageQuery):
    colours: list[Colour] = Field(default=[], alias="colour")
    sizes: set[int] | None = Field(default=None, alias="size")
    text: str = ""
    weight: float = 0


class Upload(Input):
    name: str
    file: UploadFile
    age: int | None = None
    tags: Sequence[str] = Field(default=(), validation_alias="tag")


class Agent(Input):
    user_agent: str


@blueprint.post("")
@blueprint.input(NewProbe)
@blueprint.output(Probe, status_code=201, headers=Location)
def add(json_data: NewProbe) -> tuple[dict[str, object], int, dict[str, str]]:
    """Add a probe.

    It is forgotten at once.
    """
    return {"amount": json_data.amount, "secret": "hunter2"}, 201, {"Location": "/probes/1"}


@blueprint.delete("")
@blueprint.doc(responses={204: "They are gone"})
def remove() -> tuple[str, int]:
    return "", 204


@blueprint.get("/search/<int(min=1, max=9):shelf>")
@blueprint.input(Search, location="query")
@blueprint.output(list[Probe])  # type: ignore[arg-type]  # as APIFlask takes it, and does not say
@blueprint.doc(deprecated=True)
def search(shelf: int, query_data: Search) -> list[Probe]:
    return [Probe(amount=shelf, colour=colour) for colour in query_data.colours]


@blueprint.get("/either/<float:factor>")
@blueprint.output(Either)
def either(factor: float) -> Either:
    return Either(None) if factor < 2 else Either(Probe(amount=float("nan")))


@blueprint.get("/unfit")
@blueprint.output(Probe)
def unfit() -> dict[str, str]:
    return {"amount": "many"}


@blueprint.post("/upload")
@blueprint.input(Upload, location="form_and_files")
@blueprint.output(Probe)
def upload(form_and_files_data: Upload) -> Probe:
    return Probe(amount=len(form_and_files_data.file.read()))


@blueprint.get("/agent")
@blueprint.input(Agent, location="headers")
@blueprint.output(Agent)
def agent(headers_data: Agent) -> Agent:
    return headers_data


class Both(MethodView):
    @blueprint.output(Probe)
    def get(self, key: UUID) -> Probe:
        return Probe(amount=1)

    @blueprint.input(NewProbe)
    @blueprint.output(Probe)
    def put(self, key: UUID, json_data: NewProbe) -> Probe:
        return Probe(amount=json_data.amount)


blueprint.add_url_rule("/class/<uuid:key>", view_func=Both.as_view("both"))


@pytest.fixture
def app(app: APIFlask) -> Flask:
    """An application with operations of many kinds."""
    pages = Blueprint("pages", __name__)
    pages.before_request(lambda: None)
    app.register_blueprint(pages)
    app.register_blueprint(blueprint)
    app.add_url_rule("/", endpoint="nowhere")
    return app


@pytest.fixture
def document(app: APIFlask) -> dict[str, Any]:
    return description(app)


def test_a_fitting_body_is_accepted_and_the_answer_has_what_its_model_says(client: FlaskClient) -> None:
    response = client.post("/probes", json={"amount": 3})
    assert (response.status_code, response.json) == (201, {"amount": 3, "colour": "red", "twice": 6})
    assert response.headers["Location"] == "/probes/1"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", '{"amount": 3}', 415),
        ("application/problem+json", '{"amount": 3}', 415),
        ("application/json", '{"amount": ', 400),
        ("application/json", '"\\u0000', 400),
        ("application/json", "", 400),
        ("application/json", '{"amount": "3"}', 422),
        ("application/json", '{"amount": 3, "colour": "red"}', 422),
        ("application/json", '{"amount": 3, "label": "nul \\u0000"}', 422),
        ("application/json", '{"amount": 3, "inner": {"a": ["\\u0000"]}}', 422),
        ("application/json", '{"amount": 3, "inner": {"\\u0000": []}}', 422),
        ("application/json", '{"amount": 3, "inner": {"a": [NaN]}}', 422),
        ("application/json", '{"amount": 3, "inner": {"a": [-1e999]}}', 422),
        ("application/json", "[]", 422),
    ],
)
def test_a_body_that_does_not_fit_is_a_problem(client: FlaskClient, content_type: str, body: str, status: int) -> None:
    response = client.post("/probes", data=body, content_type=content_type)
    assert response.status_code == status
    assert response.content_type == "application/problem+json"


def test_a_text_may_look_like_what_is_refused(client: FlaskClient) -> None:
    for text in ("\\u0000", "NaN", "1e999"):
        assert client.post("/probes", json={"amount": 3, "label": text}).status_code == 201


def test_an_answer_that_is_no_json_is_a_failure(client: FlaskClient) -> None:
    assert client.get("/probes/either/1.5").status_code == 200
    assert client.get("/probes/either/2.5").status_code == 500


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=1&limit=2", "limit"), ("shape=round", "shape"), ("colour=red&colour=green", "colour.1"), ("text=%00", "text"), ("weight=nan", "weight")],
)  # fmt: skip
def test_a_query_that_does_not_fit_is_refused_by_field(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/probes/search/1?{query}")
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["errors"][0]["field"] == field


def test_a_page_names_the_field_too(client: FlaskClient) -> None:
    assert "shape" in client.get("/probes/search/1?shape=round", headers={"Accept": "text/html"}).text


def test_a_query_that_no_operation_knows_is_refused(client: FlaskClient) -> None:
    assert client.delete("/probes?colour=red").status_code == 422
    assert client.post("/probes?colour=red", json={"amount": 3}).status_code == 422
    assert client.put(f"/probes/class/{UUID(int=1)}?colour=red", json={"amount": 3}).status_code == 422


def test_what_browsers_ask_before_a_request_is_answered(client: FlaskClient) -> None:
    assert client.options("/probes?colour=red").status_code == 200


def test_what_is_no_model_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="RootModel"):
        blueprint.output(Probe | None)  # type: ignore[arg-type]


def test_a_description_changes_no_answer(app: APIFlask, client: FlaskClient) -> None:
    before = client.get("/").status_code, client.options(f"/probes/class/{UUID(int=1)}?x=1").status_code
    assert description(app) is description(app)
    assert (client.get("/").status_code, client.options(f"/probes/class/{UUID(int=1)}?x=1").status_code) == before


def test_a_path_with_a_nul_leads_nowhere(client: FlaskClient) -> None:
    assert client.get("/probe/a%00b").status_code == 404


def test_what_is_not_json_is_read_by_the_model_too(client: FlaskClient) -> None:
    found = client.get("/probes/search/2?colour=red&colour=blue").json
    assert found == [{"amount": 2, "colour": colour, "twice": 4} for colour in ("red", "blue")]
    file = (io.BytesIO(b"12345"), "five.txt")
    form = {"name": "five", "file": file, "age": "", "tag": ["a", "b"], "csrf_token": "of the form"}
    assert client.post("/probes/upload", data=form).json == Probe(amount=5).model_dump()
    assert client.post("/probes/upload", data={"name": "five"}).status_code == 422
    assert client.get("/probes/agent", headers={"User-Agent": "curl"}).json == {"user_agent": "curl"}


def test_every_kind_of_answer_is_sent(client: FlaskClient) -> None:
    assert client.get("/probes/either/1.5").json is None
    assert client.get(f"/probes/class/{UUID(int=1)}").status_code == 200
    assert client.get("/probes/unfit").status_code == 500


def test_the_description_has_every_operation_with_what_it_takes_and_returns(document: dict[str, Any]) -> None:
    assert {path: [*operations] for path, operations in document["paths"].items()} == {
        "/probes": ["post", "delete"],
        "/probes/agent": ["get"],
        "/probes/class/{key}": ["get", "put"],
        "/probes/either/{factor}": ["get"],
        "/probes/search/{shelf}": ["get"],
        "/probes/unfit": ["get"],
        "/probes/upload": ["post"],
    }
    add = document["paths"]["/probes"]["post"]
    assert (add["summary"], add["description"]) == ("Add a probe.", "It is forgotten at once.")
    schema = {"schema": {"$ref": "#/components/schemas/NewProbe"}}
    assert add["requestBody"] == {"required": True, "content": {"application/json": schema}}
    assert list(add["responses"]) == ["201", "400", "411", "413", "415", "422", "default"]
    assert list(add["responses"]["201"]["headers"]) == ["Location"]
    assert list(add["responses"]["422"]["content"]) == ["application/problem+json"]
    file = document["components"]["schemas"]["Upload"]["properties"]["file"]
    assert file == {"type": "string", "format": "binary", "title": "File"}
    found = document["paths"]["/probes/search/{shelf}"]["get"]
    assert found["deprecated"]
    assert found["parameters"][0]["schema"] == {"type": "integer", "minimum": 1, "maximum": 9}
    assert document["components"]["schemas"]["NewProbe"]["additionalProperties"] is False
    assert document["components"]["schemas"]["NewProbe"]["properties"]["label"]["pattern"] == r"^[^\u0000]*$"
    assert document["components"]["schemas"]["Probe"]["required"] == ["amount", "twice"]


def test_two_models_of_one_name_stay_two(app: APIFlask) -> None:
    def one(colours: type[StrEnum]) -> type[BaseModel]:
        class Twin(BaseModel):
            colour: colours  # type: ignore[valid-type]

        Twin.__module__ = f"module_{colours.__module__}"
        return Twin

    for name in ("first", "second"):
        colours: type[StrEnum] = StrEnum("Colour", [name])  # type: ignore[misc]
        colours.__module__ = name
        app.get(f"/{name}", endpoint=name)(app.output(one(colours))(lambda: {}))
    document = description(app)
    for name in ("first", "second"):
        schema = document["paths"][f"/{name}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        twin = follow(document, schema)
        colour = twin["properties"]["colour"]
        assert name in str(follow(document, colour) if "$ref" in colour else colour)


def follow(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference leads to."""
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found
