"""Tests of the sample: make forget-sample takes them away."""

import pytest
from flask.testing import FlaskClient

pytestmark = pytest.mark.usefixtures("database")


def test_a_note_is_kept_read_and_removed(client: FlaskClient) -> None:
    added = client.post("/api/notes", json={"text": "Zoë's"})
    assert added.status_code == 201
    assert added.json is not None
    path = added.headers["Location"]
    assert client.get(path).json == {"id": added.json["id"], "text": "Zoë's"}
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404


def test_a_long_list_comes_in_pages_oldest_first(client: FlaskClient) -> None:
    for number in range(5):
        client.post("/api/notes", json={"text": f"note {number}"})
    found, path = [], "/api/notes?limit=2"
    while path:
        page = client.get(path).json
        assert page is not None
        found += [item["text"] for item in page["items"]]
        path = page["next"]
    assert found == [f"note {number}" for number in range(5)]


@pytest.mark.parametrize("text", ["", "x" * 501, "nul \0", 3, None])
def test_a_text_that_does_not_fit_is_refused(client: FlaskClient, text: object) -> None:
    response = client.post("/api/notes", json={"text": text})
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["errors"][0]["field"] == "text"


def test_an_id_beyond_the_column_is_not_found(client: FlaskClient) -> None:
    assert client.get(f"/api/notes/{2**31}").status_code == 404
