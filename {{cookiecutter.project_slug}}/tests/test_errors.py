import pytest
from flask import Flask, request
from flask.testing import FlaskClient


def test_an_unknown_path_is_a_problem_document(client: FlaskClient) -> None:
    response = client.get("/nothing-here", headers={"X-Request-ID": "abc-1"})
    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert response.json is not None
    assert response.json["status"] == 404
    assert response.json["title"] == "Not Found"
    assert response.json["instance"] == "/nothing-here"
    assert response.json["request_id"] == "abc-1"


def test_a_wrong_method_keeps_the_allow_header(client: FlaskClient) -> None:
    response = client.delete("/livez")
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


def test_a_crash_is_a_problem_that_tells_nothing_and_a_log_that_tells_all(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/crash")
    def crash() -> str:
        raise RuntimeError("the password is hunter2")

    response = app.test_client().get("/crash")
    assert response.status_code == 500
    assert response.content_type == "application/problem+json"
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text


def test_a_body_over_the_limit_is_refused(app: Flask) -> None:
    @app.post("/upload")
    def upload() -> str:
        return str(len(request.data))

    response = app.test_client().post("/upload", data=b"x" * 2_000_000)
    assert response.status_code == 413
    assert response.content_type == "application/problem+json"


def test_a_body_of_unknown_length_is_refused(client: FlaskClient) -> None:
    response = client.get("/livez", headers={"Transfer-Encoding": "chunked"})
    assert response.status_code == 411
    assert response.content_type == "application/problem+json"
