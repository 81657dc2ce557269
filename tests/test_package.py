"""The template's package: what renders is the template's own, whatever is installed, and wherever people stand."""

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import HERE, ROOT, Person, Project, Template, contents, git, tool


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


@pytest.mark.slow
def test_the_wheel_holds_the_package_alone_and_building_it_leaves_nothing(template: Template, tmp_path: Path) -> None:
    build = (tool("uv"), "build", "--wheel", "--python", sys.executable, "--out-dir", tmp_path / "out")
    Project(template.path).run(*build)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {f"layercake/{path.name}" for path in (ROOT / "layercake").glob("*.py")}
    assert git(template.path, "status", "--porcelain") == ""


def test_a_command_that_there_is_not_is_refused(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "layercake")
    refused = Project(tmp_path).run(*command, "cook", check=False, PYTHONPATH=str(ROOT))
    helped = Project(tmp_path).run(*command, "--help", PYTHONPATH=str(ROOT))
    assert (refused.returncode, refused.stdout) == (2, helped.stdout)
    assert helped.stdout == "layercake adopt|cache-check|fleet|link|update [--help]\n"
