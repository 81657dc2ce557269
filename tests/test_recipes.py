"""What the documents of a service show how to do: exactly its lines, put into a service, which then does it."""

import re
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.conftest import Bake
from tests.support import HERE, Project, once

pytestmark = pytest.mark.slow

CALLS = """
import pytest
from flask import Flask
from flask.testing import FlaskClient
from freezegun import freeze_time

from orders.auth import tokens
from orders.core.openapi import description

PATH = "/api/greetings/en"


def token(app: Flask, *scopes: str) -> dict[str, str]:
    with app.app_context():
        return {"Authorization": "Bearer " + str(tokens().dumps({"name": "Ana", "scopes": scopes}))}


def test_a_token_with_the_scope_may(app: Flask, client: FlaskClient) -> None:
    assert client.get(PATH, headers=token(app, "greetings:read")).status_code == 200


def test_others_may_not(app: Flask, client: FlaskClient) -> None:
    good = token(app, "greetings:read")
    with freeze_time("2000-01-01"):
        old = token(app, "greetings:read")
    with app.app_context():
        other = tokens().dumps(["of another kind"])
    cases = [
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": good["Authorization"][:-1]}, 401),
        ({"Authorization": good["Authorization"].replace("Bearer", "Basic")}, 401),
        (old, 401),
        ({"Authorization": f"Bearer {other}"}, 401),
        (token(app, "greetings:write"), 403),
        ({"X-API-Key": "a key for billing"}, 401),
    ]
    for headers, status in cases:
        response = client.get(PATH, headers=headers)
        assert (response.status_code, response.content_type) == (status, "application/problem+json"), headers
        if status == 401:
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_keys(client: FlaskClient) -> None:
    for headers, status in (({"X-API-Key": "a key for billing"}, 200), ({"X-API-Key": "another"}, 401), ({}, 401)):
        assert client.get("/api/greetings", headers=headers).status_code == status


def test_the_description_says_so(app: Flask) -> None:
    document = description(app)  # type: ignore[arg-type]
    schemes = document["components"]["securitySchemes"]
    assert schemes["BearerAuth"] == {"type": "http", "scheme": "bearer"}
    assert schemes["ApiKeyAuth"] == {"type": "apiKey", "name": "X-API-Key", "in": "header"}
    operation = document["paths"]["/api/greetings/{language}"]["get"]
    assert operation["security"] == [{"BearerAuth": ["greetings:read"]}]
    assert {"401", "403"} <= operation["responses"].keys()
"""
FORM = '''"""A form."""

import flask
IMPORT
blueprint = flask.Blueprint("forms", __name__)
LINES

@blueprint.route("/form", methods=["GET", "POST"])
def form() -> str:
    """Show it, and take it."""
    return flask.render_template_string("""<form method="post">FIELD</form>""")
'''
SENT = """
import re

from flask import Flask
from flask.testing import FlaskClient


def test_a_form_is_taken_from_its_own_page_alone(client: FlaskClient) -> None:
    page = client.get("/form", base_url="https://localhost")
    found = re.search(r'name="csrf_token" value="(.+?)"', page.text)
    assert found
    headers = {"Referer": "https://localhost/form"}
    for data, status in (({"csrf_token": found[1]}, 200), ({"csrf_token": "x"}, 400), ({}, 400)):
        answer = client.post("/form", data=data, base_url="https://localhost", headers=headers)
        assert answer.status_code == status


def test_tests_can_do_without(app: Flask) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    assert app.test_client().post("/form").status_code == 200


def test_the_api_goes_on_without(app: Flask) -> None:
    app.post("/json", endpoint="json")(lambda: "taken")
    assert app.test_client().post("/json", json={}).text == "taken"
"""


def blocks(readme: str, language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def service(bake: Bake) -> Project:
    return bake(project_slug="orders", package_name="orders")


@pytest.fixture
def python(service: Project, shared: Path) -> Path:
    """The Python of a venv for the service, with what the recipes need besides."""

    def install(venv: Path) -> None:
        uv = [sys.executable, "-m", "uv"]
        service.run(*uv, "venv", "--quiet", "--python", sys.executable, venv)
        install = [*uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python")]
        service.run(*install, "-r", "requirements/prod.txt", "-r", "requirements/dev.txt", "--require-hashes")
        service.run(*install, "flask-wtf", "freezegun")

    return once(shared / f"recipes-{HERE}", install) / "bin" / "python"


def check(service: Project, python: Path, *tests: str) -> None:
    """Run the linters, the types and some tests of the service."""
    for tool in (("ruff", "check", "orders"), ("mypy", "orders"), ("pytest", "-q", "-p", "no:cacheprovider", *tests)):
        service.run(python, "-m", *tool, RUFF_NO_CACHE="true")


def test_endpoints_are_protected_by_tokens_and_keys(service: Project, python: Path) -> None:
    recipes = service.read("docs/api.md")
    auth, use = blocks(recipes, "python")[:2]
    key = re.search(r"`(@blueprint.auth_required\(api_key\))`", recipes)
    assert key
    auth = auth.replace("what sha256sum says of the key", sha256(b"a key for billing").hexdigest())
    (service.path / "orders" / "auth.py").write_text(auth, encoding="utf-8")
    resource = service.path / "orders" / "resources" / "greetings.py"
    text = resource.read_text(encoding="utf-8")
    text = text.replace("from orders.core.api", "from orders.auth import api_key, bearer\nfrom orders.core.api")
    text = text.replace('@blueprint.get("")\n', f'@blueprint.get("")\n{key[1]}\n')
    text = text.replace('@blueprint.get("/<language>")\n', f'@blueprint.get("/<language>")\n{use}')
    resource.write_text(text, encoding="utf-8")
    (service.path / "tests" / "test_auth.py").write_text(CALLS, encoding="utf-8")
    check(service, python, "tests/test_auth.py")


def test_forms_are_protected_from_other_sites(service: Project, python: Path) -> None:
    recipes = service.read("docs/api.md")
    (lines,) = (block for block in blocks(recipes, "python") if "CSRFProtect" in block)
    field = re.search(r"`(<input type=\"hidden\".*?>)`", recipes)
    assert field
    imported, _, code = lines.partition("\n\n")
    form = FORM.replace("IMPORT", f"{imported}\n").replace("LINES", code).replace("FIELD", field[1])
    (service.path / "orders" / "resources" / "forms.py").write_text(form, encoding="utf-8")
    (service.path / "tests" / "test_forms.py").write_text(SENT, encoding="utf-8")
    check(service, python, "tests/test_forms.py", "tests/test_openapi.py")
