import pytest
from apiflask import APIFlask, abort
from flask import Flask, Response, request
from flask import abort as flask_abort
from flask.testing import FlaskClient

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_an_unknown_path_is_a_problem_document(client: FlaskClient) -> None:
    response = client.get("/nothing-here", headers={"X-Request-ID": "abc-1"})
    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert response.json is not None
    assert response.json["status"] == 404
    assert response.json["title"] == "Not Found"
    assert response.json["instance"] == "/nothing-here"
    assert response.json["request_id"] == "abc-1"


def test_a_browser_is_shown_a_page(client: FlaskClient) -> None:
    response = client.get("/nothing-here", headers=BROWSER | {"X-Request-ID": "abc-1"})
    assert response.status_code == 404
    assert response.mimetype == "text/html"
    assert "Not Found" in response.text
    assert "abc-1" in response.text
    assert response.headers["Vary"] == "Accept"


def test_a_wrong_method_keeps_the_allow_header(client: FlaskClient) -> None:
    response = client.delete("/livez")
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


def test_an_error_of_the_library_is_a_problem_too(app: APIFlask) -> None:
    @app.get("/gone")
    def gone() -> None:
        abort(410, "It was here.", {"json": {"a": ["Why?"]}}, {"X-Own": "kept"}, {"since": "May"})

    response = app.test_client().get("/gone")
    assert (response.status_code, response.content_type) == (410, "application/problem+json")
    assert response.json is not None
    assert (response.json["detail"], response.json["since"]) == ("It was here.", "May")
    assert response.json["errors"] == [{"field": "a", "message": "Why?"}]
    assert response.headers["X-Own"] == "kept"


def test_an_error_may_say_anything_and_have_an_answer_of_its_own(app: Flask) -> None:
    app.get("/dict", endpoint="dict")(lambda: flask_abort(400, description={"x": 1}))
    app.get("/own", endpoint="own")(lambda: flask_abort(Response("mine", 401)))
    client = app.test_client()
    assert client.get("/dict").status_code == 400
    assert client.get("/own").text == "mine"


def test_a_page_that_cannot_be_shown_is_a_problem(app: Flask) -> None:
    @app.context_processor
    def break_it() -> dict[str, str]:
        raise RuntimeError

    response = app.test_client().get("/nothing-here", headers=BROWSER)
    assert (response.status_code, response.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("headers", [{}, BROWSER])
def test_a_crash_is_an_answer_that_tells_nothing_and_a_log_that_tells_all(
    app: Flask, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    @app.get("/crash")
    def crash() -> str:
        raise RuntimeError("the password is hunter2")

    response = app.test_client().get("/crash", headers=headers)
    assert response.status_code == 500
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(
    ("limit", "form"),
    [
        ("MAX_CONTENT_LENGTH", "application/x-www-form-urlencoded"),
        ("MAX_FORM_MEMORY_SIZE", "multipart/form-data"),
    ],
)
def test_a_body_over_the_limits_is_refused(app: Flask, limit: str, form: str) -> None:
    @app.post("/upload")
    def upload() -> str:
        return str(len(request.form))

    response = app.test_client().post("/upload", data={"text": "x" * (app.config[limit] + 1)}, content_type=form)
    assert response.status_code == 413
    assert response.content_type == "application/problem+json"


def test_a_body_of_unknown_length_is_refused(client: FlaskClient) -> None:
    response = client.get("/livez", headers={"Transfer-Encoding": "chunked"})
    assert response.status_code == 411
    assert response.content_type == "application/problem+json"
