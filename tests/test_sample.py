"""The sample goes away without a trace, and what a team writes in its place is found."""

import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Bake
from tests.support import CHOICES, ROOT, WITHOUT_SETUP, Project, contents, installed, interpreter
from tests.test_recipes import blocks
from tests.test_service import CHECKS

PYTHON = max(
    (version for version in CHOICES["python_version"] if interpreter(version)), key=lambda version: int(version[2:])
)
WALK = ROOT / "docs" / "first-resource.md"


def passes_its_checks(project: Project, shared: Path) -> None:
    cache = str(shared / f"mypy-{PYTHON}")
    for tool, *arguments in CHECKS:
        project.run(".venv/bin/python", "-m", tool, *arguments, RUFF_NO_CACHE="true", MYPY_CACHE_DIR=cache)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "background_jobs"),
    [pytest.param("none", "none", marks=pytest.mark.thorough), ("postgresql", "celery")],
)
def test_a_service_without_its_sample_is_whole(bake: Bake, shared: Path, database: str, background_jobs: str) -> None:
    case = {
        "python_version": PYTHON,
        "database": database,
        "background_jobs": background_jobs,
        "error_tracking": "none",
    }
    project = bake(**case, project_slug="orders", package_name="orders")
    installed(project, shared, interpreter(PYTHON) or sys.executable)
    sample = re.findall(r"`(\w+\.py)`", project.read("README.md").partition("takes them away")[2].partition("\n#")[0])
    project.run(*WITHOUT_SETUP, "forget-sample")
    names = {path.name for path in project.files() if ".venv" not in path.parts}
    assert sample
    assert not names & {*sample, *(f"test_{name}" for name in sample)}
    code = [path for path in (project.path / "orders").rglob("*") if path.suffix in (".py", ".html")]
    assert not [
        path for path in code if re.search(r"(?i)greeting|postcard|\bnotes?\b", path.read_text(encoding="utf-8"))
    ]
    passes_its_checks(project, shared)


@pytest.mark.docker
@pytest.mark.slow
def test_the_walk_to_the_first_resource(bake: Bake, shared: Path) -> None:
    case = {"python_version": PYTHON, "database": "sqlite", "background_jobs": "celery", "error_tracking": "none"}
    project = bake(**case, project_slug="orders", package_name="orders")
    installed(project, shared, interpreter(PYTHON) or sys.executable)
    project.run(*WITHOUT_SETUP, "migrate", "forget-sample")  # of its table nothing is left, or the next migration fails
    before = contents(project.path / "orders") | contents(project.path / "tests")
    resource, tests = blocks(WALK.read_text(encoding="utf-8"), "python")
    for name, text in {
        "orders/auth.py": blocks(project.read("docs/api.md"), "python")[0],
        "orders/resources/things.py": resource,
        "tests/resources/test_things.py": tests,
    }.items():
        (project.path / name).write_text(text, encoding="utf-8")
    project.run(*WITHOUT_SETUP, "migration", "NAME=things", "openapi")
    passes_its_checks(project, shared)
    after = contents(project.path / "orders") | contents(project.path / "tests")
    assert {name: text for name, text in after.items() if name in before and name.endswith(".py")} == {
        name: text for name, text in before.items() if name.endswith(".py")
    }
    assert "/api/things/{thing_id}" in project.read("openapi.json")


def test_the_walk_says_how_much_is_read_and_written(bake: Bake) -> None:
    project = bake(database="sqlite", background_jobs="celery", project_slug="orders", package_name="orders")
    places = project.read("README.md").partition("## Where things go\n")[2].partition("\n## ")[0]
    callers = project.read("docs/api.md").partition("## Who may call\n")[2].partition("\n## ")[0]
    walk = WALK.read_text(encoding="utf-8")
    read = [places, callers, project.read("orders/resources/notes.py")]
    written = [blocks(project.read("docs/api.md"), "python")[0], *blocks(walk, "python")]
    counts = [*(len(text.splitlines()) for text in read), sum(len(text.splitlines()) for text in written)]
    assert [int(number) for number in re.findall(r"(\d+) lines", walk)] == counts
    assert f"{len(written)} files" in walk


def ask(project: Project, statement: str) -> list[tuple[str, ...]]:
    """Return what the database of development answers."""
    with closing(sqlite3.connect(project.path / "development.db")) as database, database:
        return database.execute(statement).fetchall()


@pytest.mark.slow
def test_what_is_not_the_samples_any_more_is_left_alone(bake: Bake, shared: Path) -> None:
    project = bake(python_version=PYTHON, database="sqlite")
    installed(project, shared, interpreter(PYTHON) or sys.executable)
    ours = project.path / "flask_service" / "resources" / "notes.py"
    tests = project.path / "tests" / "resources" / "test_notes.py"
    for file in (ours, tests):
        file.write_text(re.sub('"""(?s:.+?)"""', '"""Ours."""', file.read_text(encoding="utf-8"), count=1))
    project.run(*WITHOUT_SETUP, "migrate")
    ask(project, "INSERT INTO notes (text) VALUES ('ours')")
    project.run(*WITHOUT_SETUP, "forget-sample")
    assert not ours.with_name("greetings.py").exists()
    assert ours.exists()
    assert tests.exists()
    assert ask(project, "SELECT text FROM notes") == [("ours",)]
    said = project.run(*WITHOUT_SETUP, "migration", "NAME=none", check=False).stdout
    assert "no table has changed" in said  # the migration is there, too
    ours.with_name("greetings.py").write_text('"""Ours."""\n', encoding="utf-8")
    assert "there is no sample here" in project.run(*WITHOUT_SETUP, "forget-sample", check=False).stdout
    assert ours.with_name("greetings.py").exists()


BOOKS = '''"""Books."""

from sqlalchemy.orm import Mapped, mapped_column

from flask_service.core.database import Model


class BookRow(Model):
    """A book, as the database keeps it."""

    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
'''


@pytest.mark.slow
def test_a_sample_that_migrations_of_the_team_come_after_goes_by_another_one(bake: Bake, shared: Path) -> None:
    project = bake(python_version=PYTHON, database="sqlite")
    installed(project, shared, interpreter(PYTHON) or sys.executable)
    books = project.path / "flask_service" / "resources" / "books.py"
    books.write_text(BOOKS, encoding="utf-8")
    project.run(*WITHOUT_SETUP, "migration", "NAME=books")
    *_, said = project.run(*WITHOUT_SETUP, "forget-sample").stdout.splitlines()
    assert re.search(r"0001_notes.py stays, because \w+_books.py comes after it; make migration .* drops", said)
    assert "there is no sample here" in project.run(*WITHOUT_SETUP, "forget-sample", check=False).stdout
    project.run(*WITHOUT_SETUP, "migration", "NAME=forget notes")
    project.run(*WITHOUT_SETUP, "migrate")
    tables = {name for (name,) in ask(project, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"alembic_version", "books"}
    project.run(".venv/bin/python", "-m", "pytest", "tests/test_migrations.py")  # on fresh databases


NESTED = '''"""Blueprints in others, under names of their own, and a module that has none."""

from flask import Blueprint, abort

inner = Blueprint("inner", __name__, url_prefix="/inner")
outer = Blueprint("outer", __name__, url_prefix="/outer")
outer.register_blueprint(inner)
outer.before_request(lambda: abort(403))
inner.get("/")(lambda: "inside")


def init_app(app: object) -> None:
    """Be called."""
    print("called")
'''
ASK_NESTED = """
from orders import create_app
client = create_app().test_client()
print([client.get(path).status_code for path in ("/outer/inner/", "/inner/")])
"""


@pytest.mark.slow
def test_a_blueprint_in_another_is_not_there_beside_it(bake: Bake, shared: Path) -> None:
    case = {"python_version": PYTHON, "database": "none", "background_jobs": "none", "error_tracking": "none"}
    project = bake(**case, project_slug="orders", package_name="orders")
    python = installed(project, shared, interpreter(PYTHON) or sys.executable) / "bin" / "python"
    resources = project.path / "orders" / "resources"
    (resources / "nested.py").write_text(NESTED, encoding="utf-8")
    (resources / "also.py").write_text(
        '"""Helpers."""\n\nfrom orders.resources.nested import inner as again\n', encoding="utf-8"
    )
    assert project.run(python, "-c", ASK_NESTED, APP_ENV="development").stdout == "called\n[403, 404]\n"
