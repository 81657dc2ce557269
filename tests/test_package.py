"""The template's package: what renders is the template's own, whatever is installed, and wherever people stand."""

import shutil
from pathlib import Path

import pytest

from tests.support import HERE, ROOT, Person, Template, contents, tool


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with a package of another release, which cannot render anything."""
    package = tmp_path / "installed" / "layercake"
    shutil.copytree(ROOT / "layercake", package)
    for path in package.glob("*.py"):
        if path.stem not in ("__init__", "extension", "loading"):
            path.write_text("1 / 0\n", encoding="utf-8")
    return package.parent


@pytest.mark.parametrize("hooks", ["yes", "no"])
def test_a_template_renders_with_its_own_modules_whatever_is_installed(
    person: Person, template: Template, installed: Path, hooks: str
) -> None:
    command = (tool("cookiecutter"), template.path, "--no-input", "--accept-hooks", hooks, f"python_version={HERE}")
    alone = person.run(*command, "-o", "alone")
    beside = person.run(*command, "-o", "beside", PYTHONPATH=str(installed))
    assert (alone.returncode, beside.returncode) == (0, 0), beside.stdout
    made = contents(person.work / "alone")
    assert len(made) > 50
    assert contents(person.work / "beside") == made


@pytest.mark.parametrize(("here", "name"), [(".", "."), ("..", "layercake"), ("deep/er", "../..")])
def test_a_template_may_be_named_by_a_relative_path(
    person: Person, template: Template, installed: Path, here: str, name: str
) -> None:
    (template.path / here).mkdir(parents=True, exist_ok=True)
    command = (tool("cookiecutter"), name, "--no-input", "-o", person.work)
    result = person.run("sh", "-c", 'cd "$0" && exec "$@"', template.path / here, *command, PYTHONPATH=str(installed))
    assert result.returncode == 0, result.stdout
    assert (person.work / "flask-service" / "Dockerfile").is_file()
