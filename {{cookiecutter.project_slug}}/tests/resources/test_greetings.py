"""Tests of the sample: make forget-sample takes them away."""

from flask.testing import FlaskClient


def test_every_listed_greeting_answers(client: FlaskClient) -> None:
    listing = client.get("/api/greetings").json
    assert listing is not None
    assert listing["items"]
    for item in listing["items"]:
        assert client.get(item["url"]).status_code == 200


def test_a_greeting_names_who_is_greeted(client: FlaskClient) -> None:
    response = client.get("/api/greetings/fr", query_string={"name": "Zoë"})
    assert response.json == {"language": "fr", "message": "Bonjour, Zoë!"}


def test_an_unknown_language_is_not_found_and_says_what_is(client: FlaskClient) -> None:
    response = client.get("/api/greetings/xx")
    assert response.status_code == 404
    assert response.json is not None
    assert "known are de, en" in response.json["detail"]


def test_a_long_list_comes_in_pages(client: FlaskClient) -> None:
    found, path = [], "/api/greetings?limit=2"
    while path:
        page = client.get(path).json
        assert page is not None
        assert 1 <= len(page["items"]) <= 2
        found += [item["language"] for item in page["items"]]
        path = page["next"]
    assert found == ["de", "en", "es", "fr", "ja"]


def test_a_name_that_does_not_fit_is_refused_by_field(client: FlaskClient) -> None:
    response = client.get("/api/greetings/en?name=")
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["errors"][0]["field"] == "name"
