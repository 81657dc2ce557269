"""Flask's tutorial application moves into a service: few lines change, its tests pass, its pages work in a browser."""

import difflib
import json
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from tests.browser import looking_at
from tests.conftest import Bake
from tests.containers import PYTHON
from tests.support import HERE, Project, installed

pytestmark = pytest.mark.slow

# What changes, by file: lines as they are in the tutorial, and as they are in the service.
CHANGES = {
    "flaskr/resources/db.py": {
        "import sqlite3\nfrom datetime": "import sqlite3\nimport tempfile\nfrom datetime",
        "    app.teardown_appcontext(close_db)\n": '    app.config.setdefault("DATABASE", f"{tempfile.gettempdir()}/flaskr.sqlite")\n'
        "    app.teardown_appcontext(close_db)\n",
    },
    "flaskr/resources/blog.py": {
        'bp = Blueprint("blog", __name__)\n': 'bp = Blueprint("blog", __name__)\n\n\ndef init_app(app):\n'
        '    app.add_url_rule("/", endpoint="index")\n',
    },
    "tests/conftest.py": {
        "from flaskr.db": "from flaskr.resources.db",
    },
    "tests/test_auth.py": {"from flaskr.db": "from flaskr.resources.db"},
    "tests/test_blog.py": {"from flaskr.db": "from flaskr.resources.db"},
    "tests/test_db.py": {"flaskr.db": "flaskr.resources.db"},
}
POLICY = "default-src 'self' 'nonce'; base-uri 'none'; frame-ancestors 'none'; script-src-attr 'unsafe-inline'"


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tutorial in the source distribution of the Flask that services have."""
    folder = tmp_path_factory.mktemp("flask")
    lock = Path(__file__).parent.parent / "locks" / f"{HERE}.txt"
    (pin,) = [line.split()[0] for line in lock.read_text(encoding="utf-8").splitlines() if line.startswith("flask==")]
    download = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    Project(folder).run(*download, "--no-deps", "--no-binary", "flask", pin)
    (archive,) = folder.glob("flask-*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz") / "examples" / "tutorial"


def moved_in(project: Project, tutorial: Path) -> int:
    """Move the tutorial into a service; return how many lines of it changed."""
    package = project.path / "flaskr"
    shutil.rmtree(package / "templates" / "blog", ignore_errors=True)
    (package / "resources" / "landing.py").unlink()
    shutil.rmtree(project.path / "tests")
    shutil.copytree(tutorial / "tests", project.path / "tests")
    (project.path / "tests" / "test_factory.py").unlink()  # it tests the application factory, which is the service's
    for name in ("auth.py", "blog.py", "db.py"):
        shutil.copy(tutorial / "flaskr" / name, package / "resources" / name)
    shutil.copy(tutorial / "flaskr" / "schema.sql", package / "schema.sql")
    for name in ("static", "templates"):
        shutil.copytree(tutorial / "flaskr" / name, package / name, dirs_exist_ok=True)
    changed = 0
    for name, changes in CHANGES.items():
        before = text = project.read(name)
        for old, new in changes.items():
            assert old in text, f"{name}: {old!r}"
            text = text.replace(old, new)
        (project.path / name).write_text(text, encoding="utf-8")
        changed += sum(line.startswith("+ ") for line in difflib.ndiff(before.splitlines(), text.splitlines()))
    return changed


def test_its_tests_pass_in_a_service(bake: Bake, shared: Path, tutorial: Path) -> None:
    project = bake(project_slug="flaskr", package_name="flaskr")
    assert moved_in(project, tutorial) <= 15
    venv = installed(project, shared)
    result = project.run(venv / "bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", APP_ENV="development")
    assert "22 passed" in result.stdout
    described = project.run(venv / "bin/python", "-m", "flask", "--app", "flaskr", "openapi", APP_ENV="development")
    assert json.loads(described.stdout)["paths"].keys() >= {"/api/greetings"}


@pytest.mark.docker
def test_its_delete_button_still_asks(bake: Bake, tutorial: Path) -> None:
    project = bake(project_slug="flaskr", package_name="flaskr", python_version=PYTHON)
    moved_in(project, tutorial)
    options = ("--env", f"CONTENT_SECURITY_POLICY={POLICY}")
    with looking_at(project, *options, prepared=("flask", "--app", "flaskr", "init-db")) as look:
        seen = json.loads(look("flaskr.py"))
    assert seen == {"asked": ["Are you sure?", "Are you sure?"], "posts": [["A post"], []]}
