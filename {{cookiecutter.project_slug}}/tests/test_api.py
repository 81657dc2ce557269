import json
from enum import StrEnum
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel, Field

from {{ cookiecutter.package_name }}.api import Input, description, operation

OPENAPI = Path(__file__).parent.parent / "openapi.json"


class Order(Input):
    amount: int


class Receipt(BaseModel):
    paid: int


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of a service with one more operation, which takes a body."""

    @app.post("/orders")
    @operation(status=201)
    def order(body: Order) -> Receipt:
        """Order something."""
        return Receipt(paid=body.amount)

    return app.test_client()


def test_the_committed_description_is_current(app: Flask) -> None:
    assert json.loads(OPENAPI.read_text(encoding="utf-8")) == description(app), "run `make openapi`, and commit it"


def test_a_query_that_no_operation_knows_is_refused(client: FlaskClient) -> None:
    assert client.post("/orders?colour=red", json={"amount": 3}).status_code == 422


def test_a_fitting_body_is_accepted(client: FlaskClient) -> None:
    response = client.post("/orders", json={"amount": 3})
    assert (response.status_code, response.json) == (201, {"paid": 3})


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", '{"amount": 3}', 415),
        ("application/problem+json", '{"amount": 3}', 415),
        ("application/json", '{"amount": ', 400),
        ("application/json", "", 400),
        ("application/json", '{"amount": "3"}', 422),
        ("application/json", '{"amount": 3, "colour": "red"}', 422),
        ("application/json", "[]", 422),
    ],
)
def test_a_body_that_does_not_fit_is_a_problem(client: FlaskClient, content_type: str, body: str, status: int) -> None:
    response = client.post("/orders", data=body, content_type=content_type)
    assert response.status_code == status
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("limit=1&limit=2", "limit"), ("colour=red", "colour")]
)
def test_a_query_that_does_not_fit_is_refused_by_field(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/api/greetings?{query}")
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["errors"][0]["field"] == field


def test_an_operation_is_described_with_what_it_takes_and_returns(app: Flask, client: FlaskClient) -> None:
    document = description(app)
    order = document["paths"]["/orders"]["post"]
    assert order["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Order"}
    assert list(order["responses"]) == ["201", "400", "411", "413", "415", "422", "default"]
    assert document["components"]["schemas"]["Order"]["additionalProperties"] is False


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Search(Input):
    colours: list[Colour] = Field(default=[], alias="colour")
    sizes: set[int] | None = Field(default=None, alias="size")


class Found(BaseModel):
    how_many: int = Field(alias="howMany")


def test_lists_enumerations_and_aliases_are_described_as_they_are(app: Flask) -> None:
    @app.route("/search/<int(min=1, max=9):shelf>", methods=["GET", "QUERY"])
    @operation()
    def search(shelf: int, query: Search) -> Found:
        """Search a shelf."""
        return Found(howMany=len(query.colours) + len(query.sizes or ()))

    client = app.test_client()
    assert client.get("/search/1?colour=red&colour=blue").json == {"howMany": 2}
    assert client.get("/search/1?size=1&size=2").json == {"howMany": 2}
    assert client.get("/search/1?colour=green").status_code == 422
    document = description(app)
    path = document["paths"]["/search/{shelf}"]
    assert {found["operationId"] for found in path.values()} == {"search_get", "search_query"}
    shelf, colour, _size = path["get"]["parameters"]
    assert shelf["schema"] == {"type": "integer", "minimum": 1, "maximum": 9}
    assert colour["schema"]["items"] == {"$ref": "#/components/schemas/Colour"}
    assert document["components"]["schemas"]["Colour"]["enum"] == ["red", "blue"]
    assert "howMany" in document["components"]["schemas"]["Found"]["properties"]


def test_a_path_that_cannot_be_described_says_so(app: Flask) -> None:
    @app.get("/files/<path:name>")
    @operation()
    def file(name: str) -> None:
        """Read a file."""

    with pytest.raises(ValueError, match="add <path:name> to CONVERTERS"):
        description(app)
