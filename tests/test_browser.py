"""The pages of a generated service in a real browser: what they show, how they look, what the keyboard can do."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser import VERSION, looking_at
from tests.conftest import Bake
from tests.containers import PYTHON
from tests.support import NASTY, once

pytestmark = [pytest.mark.docker, pytest.mark.slow]

Report = dict[str, Any]

# What suits these texts suits all others. A script among them must stay a text.
NAME = f"<script>alert(1)</script> {NASTY['project_name']}"
DESCRIPTION = f"</title><script>alert(2)</script> {NASTY['description']}"[:200]

# The rules of axe-core that Swagger UI breaks where neither its settings nor a style sheet reach. A rule that it
# breaks no more fails the test as well: then its line goes.
ACCEPTED = {
    "heading-order": "below the h1 of the API, the name of a group of operations is an h3",
    "nested-interactive": "the button that opens an operation holds the link by which people share it",
}


@pytest.fixture
def report(bake: Bake, shared: Path) -> Report:
    """What the browser saw. It visits the pages once a run, because that takes longer than all that is read out of it."""

    def make(new: Path) -> None:
        project = bake(
            project_name=NAME, description=DESCRIPTION, project_slug="flask-service", package_name="flask_service",
            python_version=PYTHON,
        )  # fmt: skip
        with looking_at(project) as look:
            seen = look("visit.py")
        new.mkdir()
        (new / "report.json").write_bytes(seen)

    return dict(json.loads((once(shared / "browser", make) / "report.json").read_text(encoding="utf-8")))


def test_nothing_goes_wrong_on_a_page_and_all_of_it_comes_from_the_service(report: Report) -> None:
    for page in ("landing", "docs", "operation"):
        for look, seen in report[page].items():
            assert seen["troubles"] == [], f"{page}, {look}"


def test_the_landing_page_shows_any_text_as_it_is(report: Report) -> None:
    for seen in report["landing"].values():
        assert seen["title"] == NAME
        assert seen["text"].splitlines()[0] == NAME
        assert DESCRIPTION in seen["text"].splitlines()
        assert f"Version {VERSION}" in seen["text"].splitlines()


def test_the_docs_show_the_operations_of_the_service_by_its_name(report: Report) -> None:
    for seen in report["docs"].values():
        assert seen["title"] == f"{NAME}: API"
        assert seen["text"].startswith(NAME)
        assert "/api/greetings/{language}" in seen["text"].replace("\N{ZERO WIDTH SPACE}", "")


def test_a_page_is_dark_for_those_who_want_it_and_fits_a_phone(report: Report) -> None:
    for page in ("landing", "docs"):
        assert report[page]["light"]["background"] != report[page]["dark"]["background"]
        for look, seen in report[page].items():
            assert seen["overflow"] == 0, f"{page}, {look}"


def test_the_landing_page_keeps_nobody_out(report: Report) -> None:
    for look, seen in report["landing"].items():
        assert seen["broken"] == {}, look
        assert seen["unsure"] == {}, look


def test_a_browser_is_shown_an_error_as_a_page_that_keeps_nobody_out(report: Report) -> None:
    for look, seen in report["error"].items():
        assert seen["title"] == f"Not Found: {NAME}"
        assert (seen["broken"], seen["unsure"], seen["overflow"]) == ({}, {}, 0), look


def test_the_docs_keep_nobody_out_but_for_what_swagger_ui_draws(report: Report) -> None:
    for page in ("docs", "operation"):
        for look, seen in report[page].items():
            assert seen["broken"].keys() == ACCEPTED.keys(), f"{page}, {look}: {json.dumps(seen['broken'], indent=2)}"


def test_the_keyboard_reaches_every_link_of_the_landing_page_and_shows_where_it_is(report: Report) -> None:
    for look, links in report["links"].items():
        assert len(links["all"]) == 3
        assert links["reached"] == links["all"], look
        assert links["unmarked"] == [], look
        assert links["entered"] == links["all"][0] == "/docs"


def test_the_keyboard_alone_sends_a_request_from_the_docs(report: Report) -> None:
    for seen in report["operation"].values():
        assert json.loads(seen["text"]) == {"language": "fr", "message": "Bonjour, World!"}
