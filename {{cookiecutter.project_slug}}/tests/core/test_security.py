import re

from flask import Flask, session
from flask.testing import FlaskClient

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core.security import csp_nonce
from {{ cookiecutter.package_name }}.core.settings import Settings


def test_browsers_are_told_to_load_nothing_from_elsewhere(client: FlaskClient) -> None:
    headers = client.get("/probe/a").headers
    assert headers["Content-Security-Policy"] == "default-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_every_answer_has_an_id_and_the_headers_that_it_does_not_have_itself(app: Flask) -> None:
    @app.get("/fails")
    def fails() -> str:
        raise RuntimeError

    @app.get("/own")
    def own() -> tuple[str, dict[str, str]]:
        return "", {"referrer-policy": "no-referrer", "x-request-id": "of-another"}

    for path in ("/own", "/fails", "/no/such/page", "/static/no.css"):
        headers = app.test_client().get(path, headers={"X-Request-ID": "abc-1"}).headers
        policy = "no-referrer" if path == "/own" else "strict-origin-when-cross-origin"
        assert headers.getlist("Referrer-Policy") == [policy]
        assert headers.getlist("X-Request-ID") == ["abc-1"]


def test_a_page_may_have_scripts_of_its_own_with_the_nonce_of_its_answer(app: Flask) -> None:
    @app.get("/page")
    def page() -> str:
        return f"<script nonce='{csp_nonce()}'></script>{csp_nonce()}"

    answers = [app.test_client().get("/page") for _ in range(2)]
    nonces = [re.findall(r"nonce='(.+)'.*>\1", answer.text) for answer in answers]
    assert nonces[0] != nonces[1]
    for answer, (nonce,) in zip(answers, nonces, strict=True):
        assert f"default-src 'self' 'nonce-{nonce}';" in answer.headers["Content-Security-Policy"]
    assert app.jinja_env.globals["csp_nonce"] is csp_nonce


def test_the_policy_is_a_setting(settings: Settings) -> None:
    policy = "default-src 'self'; script-src-attr 'unsafe-inline'"
    app = core.make_app(settings.model_copy(update={"content_security_policy": policy}))
    assert app.test_client().get("/livez").headers["Content-Security-Policy"] == policy


def test_a_session_is_for_https_unless_a_setting_says_otherwise(settings: Settings) -> None:
    for secure in (None, True, False):
        app = core.make_app(settings.model_copy(update={"session_cookie_secure": secure}))

        @app.get("/login")
        def login() -> str:
            session["user"] = "Ana"
            return "welcome"

        assert ("Secure" in app.test_client().get("/login").headers["Set-Cookie"]) is (secure is not False)


def test_extensions_find_what_they_are_told(settings: Settings) -> None:
    app = core.make_app(settings, {"TESTING": True, "MAX_CONTENT_LENGTH": 7, "AUTO_SERVERS": True})
    assert app.testing
    assert (app.config["MAX_CONTENT_LENGTH"], app.config["AUTO_SERVERS"]) == (7, True)
