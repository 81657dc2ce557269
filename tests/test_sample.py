"""The sample goes away without a trace, and what a team writes in its place is found: with every set of options."""

import re
from pathlib import Path

import pytest

from tests.conftest import Bake
from tests.support import CHOICES, Project, interpreter
from tests.test_service import CHECKS, installed

PYTHON = max(
    (version for version in CHOICES["python_version"] if interpreter(version)), key=lambda version: int(version[2:])
)
WITHOUT_SETUP = ("make", "--old-file", ".venv/installed")
THING = '''"""Things."""

from apiflask import APIBlueprint
from flask import url_for
from pydantic import BaseModel
from sqlalchemy.orm import Mapped, mapped_column

from orders.core.api import Input, Location
from orders.core.database import Model, session

things = APIBlueprint("things", __name__, url_prefix="/api/things")


class ThingRow(Model):
    """A thing, as the database keeps it."""

    __tablename__ = "things"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class NewThing(Input):
    """A thing that is to be kept."""

    name: str


class Thing(BaseModel):
    """A thing that is kept."""

    id: int
    name: str


@things.post("")
@things.input(NewThing)
@things.output(Thing, status_code=201, headers=Location)
def add_thing(json_data: NewThing) -> tuple[ThingRow, int, dict[str, str]]:
    """Keep a thing."""
    thing = ThingRow(name=json_data.name)
    session().add(thing)
    session().commit()
    return thing, 201, {"Location": url_for("things.add_thing")}
'''
THING_TEST = """import pytest
from flask.testing import FlaskClient


@pytest.mark.usefixtures("database")
def test_a_thing_is_kept(client: FlaskClient) -> None:
    assert client.post("/api/things", json={"name": "one"}).json == {"id": 1, "name": "one"}
"""


def passes_its_checks(project: Project, shared: Path) -> None:
    cache = str(shared / f"mypy-{PYTHON}")
    for tool, *arguments in CHECKS:
        project.run(".venv/bin/python", "-m", tool, *arguments, RUFF_NO_CACHE="true", MYPY_CACHE_DIR=cache)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "background_jobs"), [("none", "none"), ("postgresql", "celery"), ("sqlite", "none")]
)
def test_a_service_without_its_sample_is_whole(bake: Bake, shared: Path, database: str, background_jobs: str) -> None:
    case = {
        "python_version": PYTHON,
        "database": database,
        "background_jobs": background_jobs,
        "error_tracking": "none",
    }
    project = bake(**case, project_slug="orders", package_name="orders")
    (project.path / ".venv").symlink_to(installed(project, shared, case))
    sample = re.findall(r"`(\w+\.py)`", project.read("README.md").partition("takes them away")[2].partition("\n")[0])
    project.run(*WITHOUT_SETUP, "forget-sample")
    names = {path.name for path in project.files() if ".venv" not in path.parts}
    assert sample
    assert not names & {*sample, *(f"test_{name}" for name in sample)}
    code = [path for path in (project.path / "orders").rglob("*") if path.suffix in (".py", ".html")]
    assert not [
        path for path in code if re.search(r"(?i)greeting|postcard|\bnotes?\b", path.read_text(encoding="utf-8"))
    ]
    passes_its_checks(project, shared)

    if database == "sqlite":  # a table needs no server here
        (project.path / "orders" / "resources" / "things.py").write_text(THING, encoding="utf-8")
        (project.path / "tests" / "resources" / "test_things.py").write_text(THING_TEST, encoding="utf-8")
        project.run(*WITHOUT_SETUP, "migration", "NAME=things", "openapi")
        passes_its_checks(project, shared)
        assert "/api/things" in project.read("openapi.json")
