"""`layercake update`: git's own merge of what the template has learnt into what a team has made of it."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from layercake.merging import STEPS
from layercake.options import OPTIONS
from layercake.releases import news
from tests.conftest import Bake, install_tools
from tests.support import (
    ANSWERS,
    CHOICES,
    ROOT,
    SCAFFOLD,
    Person,
    Project,
    Template,
    Terminal,
    contents,
    git,
    installed,
    tool,
)

Made = Callable[..., Project]
PACKAGE = "{{cookiecutter.package_name}}"
EDITED = ("edited", "edited the same line", "deleted", "moved", "moved and edited", "left alone")
CHANGED = ("edits", "deletes", "renames")


@pytest.fixture
def made(bake: Bake, template: Template) -> Made:
    """Make a project of the template as it is, in a repository; `within` is its folder there."""

    def make(within: str = "", **answers: str) -> Project:
        project = bake(**answers)
        template.made(project)
        if within:
            outer = project.path.parent / "outer"
            (outer / within).parent.mkdir(parents=True)
            project.path.rename(outer / within)
            project = Project(outer / within)
        save(project, "our service", outer if within else project.path)
        return project

    return make


def save(project: Project, message: str, top: Path | None = None) -> None:
    """Commit what a team did, in a new repository at `top` if one is named."""
    if top:
        git(top, "init", "-q")
    git(top or project.path, "add", "-A")
    git(top or project.path, "commit", "-qm", message)


def update(
    project: Project, *arguments: str, command: str = "update", config: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run the command, without locking and tests."""
    skip = () if "--check" in arguments or command != "update" else ("--no-lock", "--no-test")
    return project.run(
        sys.executable,
        "-m",
        "layercake",
        command,
        *skip,
        *arguments,
        check=False,
        PYTHONPATH=str(ROOT),
        COOKIECUTTER_CONFIG=config,
    )


def status(project: Project) -> str:
    return git(project.path, "status", "--porcelain")


def scaffold(template: Template, name: str, text: str, how: str = "a") -> None:
    """Write into a file of the scaffold, at its end if not told otherwise."""
    path = template.path / SCAFFOLD.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(how, encoding="utf-8") as file:
        file.write(text)


def lines(name: str, first: str = "line 0", last: str = "line 19") -> str:
    """Return a text that is like no other file's."""
    return "".join(f"{name}: {line}\n" for line in [first, *(f"line {number}" for number in range(1, 19)), last])


def test_whatever_a_team_did_to_a_file_no_edit_and_no_fix_is_lost(made: Made, template: Template) -> None:
    cases = [(team, change) for team in EDITED for change in CHANGED]
    names = {case: f"notes/{number:02}-{'x' * number}.txt" for number, case in enumerate(cases)}
    for name in names.values():
        scaffold(template, name, lines(name))
    template.commit("files")
    project = made()
    for name in names.values():  # `made` renders the clone of the tests, which does not have them
        (project.path / name).parent.mkdir(exist_ok=True)
        (project.path / name).write_text(lines(name), encoding="utf-8")
    save(project, "files")
    (project.path / "ours").mkdir()
    for (team, _), name in names.items():
        path = project.path / name
        if team == "deleted":
            path.unlink()
        if "edited" in team:
            first, last = ("TEAM", "line 19") if "same" not in team else ("line 0", "TEAM")
            path.write_text(lines(name, first, last), encoding="utf-8")
        if "moved" in team:
            path.rename(project.path / "ours" / path.name)
    save(project, "what a team does")
    for (_, change), name in names.items():
        path = template.path / SCAFFOLD.name / name
        text = lines(name, last="FIX") if change == "edits" else lines(name)
        path.unlink()
        if change != "deletes":
            scaffold(template, name if change == "edits" else name.replace("notes/", "renamed/"), text)
    template.commit("version 2")

    result = update(project)
    assert result.returncode == 1, result.stdout
    unmerged = set(git(project.path, "diff", "--name-only", "--diff-filter=U").split())
    assert unmerged == {names["edited the same line", "edits"]}
    assert not list(project.path.rglob("*.rej"))
    for (team, change), name in names.items():
        base = name.rpartition("/")[2]
        found = [path for folder in ("notes", "ours", "renamed") if (path := project.path / folder / base).exists()]
        told = base in result.stdout
        if team == "deleted" or (team == "left alone" and change == "deletes"):
            assert not found, (team, change)
        elif team == "moved" and change == "deletes":
            assert [path.parent.name for path in found] == ["ours"], (team, change)
            assert told
        else:
            (path,) = found
            text = path.read_text(encoding="utf-8")
            assert ("TEAM" in text) == ("edited" in team), (team, change)
            assert ("FIX" in text) == (change == "edits"), (team, change)
            assert path.parent.name == ("ours" if "moved" in team else "renamed" if change == "renames" else "notes")
            assert told or not (change == "deletes" or ("moved" in team and change == "renames")), (team, change)
        assert told or team != "deleted" or change == "deletes", (team, change)
    assert "<<<<<<< yours" in project.read(names["edited the same line", "edits"])
    git(project.path, "reset", "--hard", "-q")
    assert status(project) == ""


def test_what_was_added_to_a_folder_that_a_team_moved_arrives_there(made: Made, template: Template) -> None:
    project = made(package_name="orders", project_slug="orders")
    git(project.path, "mv", "orders/core", "orders/kernel")
    save(project, "core is our kernel")
    scaffold(template, f"{PACKAGE}/core/news.py", '"""What is new."""\n')
    template.commit("version 2")
    assert update(project).returncode == 0
    assert (project.path / "orders/kernel/news.py").is_file()
    assert not (project.path / "orders/core").exists()


def test_what_is_named_as_deleted_is_shown_by_the_command_that_is_told(made: Made, template: Template) -> None:
    project = made()
    (project.path / "README.md").unlink()
    (project.path / "make").mkdir()
    (project.path / "Makefile").rename(project.path / "make/Makefile")
    (project.path / "Makefile").symlink_to("make/Makefile")
    save(project, "ours")
    for name in ("README.md", "Makefile"):
        scaffold(template, name, "\n# A fix.\n")
    template.commit("version 2")
    said = update(project).stdout
    commands = re.findall(r"(?m)^  (\S+) stays deleted; what the template changed: git (diff .*)$", said)
    assert {path for path, _ in commands} == {"README.md", "Makefile"}, said
    for _, command in commands:
        assert "+# A fix.\n" in git(project.path, *command.split())


@pytest.mark.parametrize("kind", ["untracked", "changed", "staged"])
def test_work_that_is_not_committed_is_refused(made: Made, template: Template, kind: str) -> None:
    project = made()
    scaffold(template, "Makefile", "\n# The last line.\n")
    template.commit("version 2")
    (project.path / ("new.txt" if kind == "untracked" else "README.md")).write_text("mine\n", encoding="utf-8")
    if kind == "staged":
        git(project.path, "add", "-A")
    before = status(project)
    result = update(project)
    assert result.returncode == 2
    assert "is not committed" in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert status(project) == before


def test_locks_and_the_steps_of_layers_are_out_of_the_merge(made: Made, template: Template) -> None:
    project = made()
    dockerfile, lock = project.path / "Dockerfile", project.path / "requirements/prod.txt"
    own = STEPS.search(project.read("Dockerfile"))
    assert own
    dockerfile.write_text(
        project.read("Dockerfile").replace(own[0], own[0].replace("pydantic-core", "numpy")), encoding="utf-8"
    )
    lock.write_text(project.read("requirements/prod.txt").replace("# via", "# by way of"), encoding="utf-8")
    save(project, "our packages")
    before = lock.read_bytes()
    text = (template.path / SCAFFOLD.name / "Dockerfile").read_text(encoding="utf-8")
    text = text.replace("FROM base AS baseline\nRUN ", "FROM base AS baseline\nRUN --network=default ").replace(
        "EXPOSE 8000 9000", "EXPOSE 8000 9001"
    )
    scaffold(template, "Dockerfile", text, "w")
    scaffold(template, "requirements/prod.txt", "# the template ships another lock\n")
    template.commit("version 2")
    result = update(project)
    assert result.returncode == 0, result.stdout
    assert lock.read_bytes() == before
    assert "package-numpy" in project.read("Dockerfile")
    assert "pydantic-core" not in project.read("Dockerfile")
    assert {"RUN --network=default", "EXPOSE 8000 9001"} <= {
        part for part in ("RUN --network=default", "EXPOSE 8000 9001") if part in project.read("Dockerfile")
    }


def test_a_new_question_takes_what_leaves_the_project_as_it_is(made: Made, template: Template, tmp_path: Path) -> None:
    project = made(ci="none")
    record = json.loads(project.read(".cruft.json"))
    for name in OPTIONS:
        del record["context"]["cookiecutter"][name]
    (project.path / ".cruft.json").write_text(json.dumps(record), encoding="utf-8")
    save(project, "made before there were options")
    questions = json.loads((template.path / "cookiecutter.json").read_text(encoding="utf-8"))
    old = {name: default for name, default in questions.items() if name not in OPTIONS}
    git(template.path, "tag", "v1.0.0")
    settings = {
        "default_context": {"database": "postgresql", "ci": "gitlab", "dependency_manager": "uv", "license": "MIT"}
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert old.keys() | OPTIONS.keys() >= ANSWERS.keys()
    result = update(project, config=str(tmp_path / "config.yaml"))
    assert result.returncode == 0, result.stdout
    answers = json.loads(project.read(".cruft.json"))["context"]["cookiecutter"]
    first = {name: CHOICES[name][0] for name in OPTIONS}
    assert {name: answers[name] for name in OPTIONS} == first  # the old release asked them: its defaults were taken


def test_every_choice_says_what_leaves_a_project_as_it_is() -> None:
    assert CHOICES.keys() - OPTIONS.keys() == {"python_version", "license"}  # asked from the first release on
    assert all(option.plain in CHOICES[name] for name, option in OPTIONS.items())


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("database=oracle", "'oracle' is no choice of database; use none, sqlite, postgresql."),
        ("flavour=sweet", "asks for no flavour; it asks for project_name"),
        ("package_name=class", "package_name: 'class' is a word of the Python language; choose another."),
    ],
)
def test_an_answer_that_is_wrong_is_told_in_one_line(made: Made, given: str, why: str) -> None:
    result = update(made(), "--set", given)
    assert (result.returncode, len(result.stdout.splitlines())) == (2, 1), result.stdout
    assert why in result.stdout
    assert not re.search(r"Traceback|\.\.$", result.stdout)


def test_an_option_comes_and_goes(made: Made) -> None:
    project = made(database="none")
    before = git(project.path, "rev-parse", "HEAD^{tree}")
    for answer in ("postgresql", "none"):
        result = update(project, "--set", f"database={answer}")
        assert result.returncode == 0, result.stdout
        git(project.path, "commit", "-qm", answer)
        assert (project.path / "flask_service/core/postgresql.py").exists() == (answer == "postgresql")
    record = git(project.path, "diff", "--name-only", before.strip(), "HEAD").split()
    assert record == [".cruft.json"]
    assert json.loads(project.read(".cruft.json"))["context"]["cookiecutter"]["database"] == "none"


def test_a_service_in_a_folder_of_a_repository_is_updated_alone(made: Made, template: Template) -> None:
    project = made(within="services/orders")
    shutil.copytree(project.path, project.path.parent / "billing")
    (project.path / "flask_service/resources/greetings.py").unlink()
    save(project, "two services", project.path.parents[1])
    sample = f"{PACKAGE}/resources/greetings.py"
    scaffold(template, sample, "# fixed\n")
    scaffold(template, "Makefile", "\n# The last line.\n")
    template.commit("version 2")
    result = update(project)
    assert result.returncode == 0, result.stdout
    assert status(project).split() == ["M", "services/orders/.cruft.json", "M", "services/orders/Makefile"]
    assert "greetings.py stays deleted" in result.stdout


def test_check_speaks_of_this_project_alone(made: Made, template: Template) -> None:
    project = made(ci="none")
    scaffold(template, ".gitlab-ci.yml", "# The last line.\n")
    template.commit("of no account for this one")
    before = sorted(project.path.rglob("*"))
    nothing = update(project, "--check")
    assert nothing.returncode == 0, nothing.stdout
    assert "nothing for this service" in nothing.stdout
    scaffold(template, "Makefile", "\n# The last line.\n")
    changelog = template.path / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text(encoding="utf-8").replace("- ", "- Breaking: it ends.\n- ", 1), encoding="utf-8"
    )
    template.commit("version 2")
    found = update(project, "--check", "--json")
    assert found.returncode == 1
    said = json.loads(found.stdout)
    assert said["to"] == {"name": said["to"]["commit"][:10], "commit": git(template.path, "rev-parse", "HEAD").strip()}
    assert said["changes"] == ["Makefile"]
    assert [(entry["text"], entry["break"]) for entry in said["news"]] == [("Breaking: it ends.", True)]
    assert sorted(project.path.rglob("*")) == before


def test_a_migration_renames_rewrites_and_tells(made: Made, template: Template) -> None:
    project = made(within="service", background_jobs="celery")
    own = project.path / "flask_service/resources/own.py"
    own.write_text("from flask_service.core.jobs import store\n\nstore()\n", encoding="utf-8")
    save(project, "own code", project.path.parent)
    (template.path / "layercake/migrations").mkdir()
    (template.path / "layercake/migrations/v2_0_0.toml").write_text(
        'tell = ["Jobs are tasks now."]\n[[rename]]\nfrom = "{package}/resources/own.py"\nto = "{package}/resources/other.py"\n'
        '[[rewrite]]\nfiles = "*.py"\nline = "from {package}\\\\.core\\\\.jobs import (.*)"\nto = \'from {package}.core.tasks import \\1\'\n',
        encoding="utf-8",
    )
    template.commit("version 2")
    result = update(project)
    assert result.returncode == 0, result.stdout
    assert "Jobs are tasks now." in result.stdout
    assert not own.exists()
    assert "from flask_service.core.tasks import store\n" in own.with_name("other.py").read_text(encoding="utf-8")
    git(project.path, "commit", "-qm", "updated")
    scaffold(template, "Makefile", "\n# The last line.\n")
    template.commit("version 3")
    assert "Jobs are tasks now." not in update(project).stdout  # it ran with its release


def test_a_migration_renames_nothing_onto_a_file_of_the_team(made: Made, template: Template) -> None:
    project = made()
    resources = project.path / "flask_service/resources"
    for name in ("own", "other"):
        (resources / f"{name}.py").write_text(f"# TEAM {name}\n", encoding="utf-8")
    save(project, "own code")
    (template.path / "layercake/migrations").mkdir()
    (template.path / "layercake/migrations/v2_0_0.toml").write_text(
        '[[rename]]\nfrom = "{package}/resources/own.py"\nto = "{package}/resources/other.py"\n', encoding="utf-8"
    )
    template.commit("version 2")
    result = update(project)
    assert result.returncode == 0, result.stdout
    assert "own.py stays where it is, because there is a file flask_service/resources/other.py" in result.stdout
    for name in ("own", "other"):
        assert (resources / f"{name}.py").read_text(encoding="utf-8") == f"# TEAM {name}\n"


def test_a_rule_for_new_names_does_not_refuse_an_old_project(made: Made, template: Template) -> None:
    project = made(package_name="orders", project_slug="orders")
    with (template.path / "locks/import-names.txt").open("a", encoding="utf-8") as names:
        names.write("orders\nshop\n")
    scaffold(template, "Makefile", "\n# The last line.\n")
    template.commit("version 2")
    refused = update(project, "--set", "package_name=shop")
    assert refused.returncode == 2
    assert "is a module that the service depends on" in refused.stdout
    result = update(project)
    assert result.returncode == 0, result.stdout


def test_the_newest_release_is_taken_else_the_default_branch(made: Made, template: Template) -> None:
    project = made()
    git(template.path, "branch", "-m", "trunk")
    scaffold(template, "Makefile", "\n# Ten.\n")
    template.commit("version 1.10")
    git(template.path, "tag", "v1.10.0")
    git(template.path, "tag", "v1.9.0", "HEAD~1")
    git(template.path, "tag", "v2.0.0-rc1")
    scaffold(template, "Makefile", "# Trunk.\n")
    template.commit("not released")
    assert "from" in update(project).stdout.lower()
    assert project.read("Makefile").endswith("# Ten.\n")
    git(project.path, "commit", "-qm", "updated")
    assert update(project, "--to", "trunk").returncode == 0
    assert project.read("Makefile").endswith("# Trunk.\n")


def test_a_history_that_was_written_anew_is_said(made: Made, template: Template) -> None:
    project = made()
    scaffold(template, "Makefile", "\n# Anew.\n")
    git(template.path, "add", "-A")
    git(template.path, "commit", "-q", "--amend", "-m", "version 1, anew")
    result = update(project)
    assert result.returncode == 0, result.stdout
    assert "was written anew" in result.stdout
    git(project.path, "reset", "--hard", "-q")
    git(template.path, "reflog", "expire", "--expire=now", "--all")
    git(template.path, "gc", "--quiet", "--prune=now")
    lost = update(project)
    assert (lost.returncode, len(lost.stdout.splitlines())) == (2, 1), lost.stdout
    assert "layercake link" in lost.stdout


@pytest.mark.parametrize(
    "record", [None, "{", "[]", "{}", '{"template": "x", "commit": null, "context": {"cookiecutter": {}}}']
)
def test_a_record_that_says_nothing_is_told_in_one_line(made: Made, record: str | None) -> None:
    project = made()
    (project.path / ".cruft.json").unlink()
    if record:
        (project.path / ".cruft.json").write_text(record, encoding="utf-8")
    save(project, "no record")
    result = update(project)
    assert (result.returncode, len(result.stdout.splitlines())) == (2, 1), result.stdout
    assert "layercake link" in result.stdout


def test_what_cannot_be_written_changes_nothing(made: Made, template: Template) -> None:
    project = made()
    (project.path / ".git/info/exclude").write_text("/NEWS.md\n", encoding="utf-8")
    (project.path / "NEWS.md").write_text("mine, and ignored\n", encoding="utf-8")
    scaffold(template, "Makefile", "\n# The last line.\n")
    scaffold(template, "NEWS.md", "theirs\n")
    template.commit("version 2")
    result = update(project)
    assert result.returncode == 2, result.stdout
    assert project.read("NEWS.md") == "mine, and ignored\n"
    assert status(project) == ""


def test_cruft_goes_on_where_ours_ended(made: Made, template: Template) -> None:
    project = made()
    scaffold(template, "Makefile", "\n# Two.\n")
    template.commit("version 2")
    assert update(project).returncode == 0
    git(project.path, "commit", "-qm", "updated")
    check = (tool("cruft"), "check", "--project-dir", project.path)
    assert project.run(*check).returncode == 0
    scaffold(template, "Makefile", "# Three.\n")
    template.commit("version 3")
    project.run(tool("cruft"), "update", "--skip-apply-ask", "--project-dir", project.path)
    assert project.read("Makefile").endswith("# Two.\n# Three.\n")


def test_news_are_the_entries_that_are_new_breaks_first() -> None:
    old = "# Changelog\n\n## Unreleased\n\n- One,\n  in two lines.\n"
    new = "## 1.1.0\n\n- Two.\n- **Breaking**: three.\n\n## 1.0.0\n\n- One, in\n  two lines.\n"
    assert [(entry.heading, entry.text) for entry in news(old, new)] == [
        ("1.1.0", "**Breaking**: three."),
        ("1.1.0", "Two."),
    ]


def make_it_theirs(project: Project) -> None:
    """Do what a team does: delete a sample, move a file, add a resource and a setting, and edit what builds and runs."""
    package, settings = project.path / "flask_service", "flask_service/core/settings.py"
    (package / "resources" / "greetings.py").unlink()
    (project.path / "tests" / "resources" / "test_greetings.py").unlink()
    (package / "inner").mkdir()
    (package / "inner" / "__init__.py").write_text('"""Ours."""\n', encoding="utf-8")
    (package / "core" / "assets.py").rename(package / "inner" / "assets.py")
    (package / "resources" / "own.py").write_text(OWN, encoding="utf-8")
    (project.path / "tests" / "resources" / "test_own.py").write_text(TESTED, encoding="utf-8")
    setting = "    session_cookie_secure"
    for name, before, after in (
        ("flask_service/core/__init__.py", "    assets,\n", ""),
        (
            "flask_service/core/__init__.py",
            "import Settings\n",
            "import Settings\nfrom flask_service.inner import assets\n",
        ),
        (settings, setting, f'    own_word: str = "ours"\n    """What our resource says."""\n\n{setting}'),
        (".env.example", "\n# Whether browsers", "\n# What our resource says.\n# OWN_WORD=ours\n\n# Whether browsers"),
        ("Makefile", ".DEFAULT_GOAL", "# Ours.\n.DEFAULT_GOAL"),
        ("Dockerfile", "FROM base AS system\n", "FROM base AS system\n# Ours.\n"),
    ):
        text = project.read(name)
        assert before in text, name
        (project.path / name).write_text(text.replace(before, after, 1), encoding="utf-8")


OWN = '''"""What our service is for."""

from apiflask import APIBlueprint
from flask import current_app
from pydantic import BaseModel

blueprint = APIBlueprint("own", __name__, url_prefix="/api/own")


class Word(BaseModel):
    """What we say."""

    word: str


@blueprint.get("")
@blueprint.output(Word)
def say() -> dict[str, str]:
    """Say our word."""
    return {"word": current_app.config["SETTINGS"].own_word}
'''
TESTED = """from flask.testing import FlaskClient


def test_own(client: FlaskClient) -> None:
    assert client.get("/api/own").json == {"word": "ours"}
"""


@pytest.mark.slow
def test_make_update_takes_the_tool_of_the_release_and_says_what_passed(
    made: Made, template: Template, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = made(ci="none")
    install_tools(project, shared, "pip-tools")
    installed(project, shared)
    make_it_theirs(project)
    save(project, "what a team does")
    (project.path / ".git/info/exclude").write_text("/.venv\n", encoding="utf-8")  # a link, not a folder
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uvx").symlink_to(tool("uvx"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin")
    scaffold(template, "Makefile", "\n# The last line.\n")
    with (template.path / "layercake/update.py").open("a", encoding="utf-8") as module:
        module.write('\nprint("the newest says so")\n')
    about = template.path / SCAFFOLD.name / PACKAGE / "about.py"
    text = about.read_text(encoding="utf-8")
    about.write_text(text.replace('API_VERSION = "1"', 'API_VERSION = "27"'), encoding="utf-8")
    assets = template.path / SCAFFOLD.name / PACKAGE / "core" / "assets.py"
    fixed = assets.read_text(encoding="utf-8").replace('"""Seconds."""', '"""Seconds, as HTTP counts."""')
    assets.write_text(fixed, encoding="utf-8")
    template.commit("version 2")
    git(template.path, "tag", "-m", "v1.1.0", "v1.1.0")
    result = project.run("make", "update", PYTHON=sys.executable)
    assert "the newest says so" in result.stdout
    assert "to v1.1.0" in result.stdout
    assert "\nUpdated, passed: lock, openapi, lint, test.\n" in result.stdout
    assert '"version": "27"' in project.read("openapi.json")  # it was made, and did not come
    changed = [".cruft.json", "Makefile", "flask_service/about.py", "flask_service/inner/assets.py", "openapi.json"]
    assert status(project).split() == [word for name in changed for word in ("M", name)]
    assert '"""Seconds, as HTTP counts."""' in project.read("flask_service/inner/assets.py")
    assert project.read("Makefile").endswith("# The last line.\n")


def test_a_module_that_goes_is_named_with_what_imports_it(made: Made, template: Template) -> None:
    names = ("also", "used", "unused")
    for name in names:
        scaffold(template, f"{PACKAGE}/core/{name}.py", f'"""What {name} is for."""\n')
    template.commit("modules")
    project = made()
    for name in names:  # `made` renders the clone of the tests, which does not have them
        (project.path / "flask_service" / "core" / f"{name}.py").write_text(f'"""What {name} is for."""\n')
    own = project.path / "flask_service" / "resources" / "own.py"
    own.write_text("from flask_service.core import (\n    logs,\n    used,\n)\n", encoding="utf-8")
    (project.path / "tests" / "test_own.py").write_text("import flask_service.core.also\n", encoding="utf-8")
    save(project, "ours")
    for name in names:
        (template.path / SCAFFOLD.name / PACKAGE / "core" / f"{name}.py").unlink()
    template.commit("fewer modules")
    said = update(project).stdout
    assert "flask_service/core/also.py is gone from the template, and is imported by tests/test_own.py\n" in said
    assert "core/used.py is gone from the template, and is imported by flask_service/resources/own.py\n" in said
    assert "unused" not in said


def test_a_service_without_a_record_is_linked_by_comparing(made: Made, template: Template) -> None:
    project = made(project_name="Orders", description="It takes orders.", database="sqlite", ci="none", license="MIT")
    known = json.loads(project.read(".cruft.json"))
    scaffold(template, "Makefile", "\n# Another release.\n")
    template.commit("version 2")
    (project.path / ".cruft.json").unlink()
    (project.path / "flask_service_own.py").write_text("", encoding="utf-8")
    save(project, "no record")
    result = update(project, os.path.relpath(template.path, project.path), command="link")
    assert result.returncode == 0, result.stdout
    found = json.loads(project.read(".cruft.json"))
    assert (found["template"], found["commit"]) == (known["template"], known["commit"])
    assert found["context"] == known["context"]
    assert "of its" in result.stdout


def test_what_a_team_has_taken_out_of_a_service_does_not_hinder_linking_it(made: Made, template: Template) -> None:
    project = made(project_name="Orders", database="sqlite", ci="none")
    known = json.loads(project.read(".cruft.json"))
    about = project.read("pyproject.toml")
    (project.path / "pyproject.toml").write_text(re.sub(r"(?m)^authors.*\n", "", about), encoding="utf-8")
    for name in (".cruft.json", "Dockerfile"):
        (project.path / name).unlink()
    save(project, "no record")
    result = update(project, str(template.path), command="link")
    assert result.returncode == 0, result.stdout
    found = json.loads(project.read(".cruft.json"))
    assert found["context"] == known["context"]  # also that of the owner, whose default is made from another answer
    (project.path / "README.md").unlink()
    save(project, "no name either")
    assert update(project, str(template.path), command="link").returncode == 0


def test_what_was_not_made_from_the_template_is_not_linked(tmp_path: Path, template: Template) -> None:
    project = Project(tmp_path / "other")
    project.path.mkdir()
    (project.path / "notes.txt").write_text("mine\n", encoding="utf-8")
    save(project, "ours", project.path)
    result = update(project, str(template.path), command="link")
    assert (result.returncode, len(result.stdout.splitlines())) == (2, 1), result.stdout
    assert "no file in" in result.stdout
    assert status(project) == ""


# What comes in between


def command(*arguments: str) -> list[str]:
    """Return the command without locking and tests."""
    return [sys.executable, "-m", "layercake", "update", "--no-lock", "--no-test", *arguments]


def start(project: Project, *arguments: str, path: Path | None = None, **env: str) -> "subprocess.Popen[str]":
    """Start a command as a terminal does, in a process group of its own; `path` is searched first."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{path}:{os.environ['PATH']}", **env}
    return subprocess.Popen(
        arguments, cwd=project.path, env=env, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def stand_in(folder: Path, name: str, text: str) -> Path:
    """Write a script that is found before the command of that name, and goes on to it; return its folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f'#!/bin/sh\n{text}\nexec {shutil.which(name)} "$@"\n', encoding="utf-8")
    (folder / name).chmod(0o755)
    return folder


def state(project: Project) -> tuple[dict[str, bytes], str, list[str]]:
    """Return what a team has: its files, what git says of them, and what is in git's folder but objects and the index."""
    there = sorted(str(path) for path in project.path.glob(".git/**/*") if "objects" not in path.parts)
    files = {name: content for name, content in contents(project.path).items() if not name.startswith(".git/")}
    quietly = "--no-optional-locks"  # it writes nothing: there may be no room
    said = git(project.path, quietly, "status", "--porcelain", "--ignored", "--branch")
    said += git(project.path, "for-each-ref")
    return files, said, there


def test_ctrl_c_before_the_result_is_ready_changes_nothing(made: Made, template: Template, tmp_path: Path) -> None:
    project = made()
    scaffold(template, "Makefile", "\n# The last line.\n")
    template.commit("version 2")
    rendering = template.path / "layercake" / "rendering.py"
    rendering.write_text(
        f"import os, signal\n\nos.killpg(0, signal.SIGINT)\n{rendering.read_text(encoding='utf-8')}", encoding="utf-8"
    )
    template.commit("one that presses Ctrl-C while it is rendered")
    (tmp_path / "tmp").mkdir()
    before = state(project)
    for moment in ("clone", "worktree", "rendering", "hash-object", "merge-tree", "write-tree", "status"):
        path = stand_in(tmp_path / "bin", "git", f'case " $* " in *" {moment} "*) kill -INT 0;; esac')
        release = "HEAD" if moment == "rendering" else "HEAD~1"
        update = start(project, *command("--to", release), path=path, TMPDIR=str(tmp_path / "tmp"))
        said = update.communicate(timeout=120)[0]
        assert (update.returncode, said.splitlines()[-1:]) == (2, ["update: interrupted; nothing was changed."]), moment
        assert "Traceback" not in said
        assert state(project) == before, moment
        assert not list((tmp_path / "tmp").iterdir()), moment


def test_ctrl_c_while_files_are_written_waits_until_all_are(made: Made, template: Template) -> None:
    project = made()
    scaffold(template, "Makefile", "\n# The last line.\n")
    scaffold(template, "NEWS.md", "# News\n")
    template.commit("version 2")
    (project.path / ".git/info/attributes").write_text("Makefile filter=slow\n", encoding="utf-8")
    git(project.path, "config", "filter.slow.smudge", "kill -INT 0; cat")  # in the middle of what git writes
    update = start(project, *command())
    said = update.communicate(timeout=120)[0]
    assert update.returncode == 0, said
    assert status(project).split() == ["M", ".cruft.json", "M", "Makefile", "A", "NEWS.md"]


def test_ctrl_c_while_it_locks_or_tests_says_that_the_update_is_there(
    made: Made, template: Template, tmp_path: Path
) -> None:
    project = made()
    scaffold(template, "NEWS.md", "# News\n")
    template.commit("version 2")
    path = stand_in(tmp_path / "bin", "make", "kill -INT 0; sleep 60")
    update = start(project, sys.executable, "-m", "layercake", "update", path=path)
    said = update.communicate(timeout=120)[0]
    assert update.returncode == 1, said
    assert "Updated, FAILED: lock.\n" in said
    assert "nothing was changed" not in said
    assert status(project).split() == ["M", ".cruft.json", "A", "NEWS.md"]


def test_of_two_updates_at_once_the_second_is_refused(made: Made, template: Template, tmp_path: Path) -> None:
    project = made()
    scaffold(template, "NEWS.md", "# News\n")
    template.commit("version 2")
    wait = f": >{tmp_path}/there; while ! [ -e {tmp_path}/go ]; do sleep 0.1; done"
    path = stand_in(tmp_path / "bin", "git", f'case " $* " in *" merge-tree "*) {wait};; esac')
    first = start(project, *command(), path=path)
    try:
        while first.poll() is None and not (tmp_path / "there").exists():
            time.sleep(0.1)
        second = update(project)
    finally:
        (tmp_path / "go").touch()
        said = first.communicate(timeout=120)[0]
    assert (second.returncode, second.stdout) == (2, "update: another update runs in this repository; wait for it.\n")
    assert first.returncode == 0, said
    assert status(project).split() == ["M", ".cruft.json", "A", "NEWS.md"]


@pytest.mark.parametrize("full", ["the repository", "what is written", "the folder for what does not stay"])
def test_a_full_disk_changes_nothing(made: Made, template: Template, small_disk: Path, full: str) -> None:
    project = Project(made().path.rename(small_disk.parent / "service"))
    scaffold(template, "Makefile", "\n# The last line.\n")
    scaffold(template, "about/news.md", "# News\n")
    scaffold(template, "zeros", "0" * 10**7)  # git keeps them in some kilobytes
    (template.path / SCAFFOLD.name / "tests/core/test_errors.py").unlink()
    template.commit("version 2")
    scratch = small_disk if full.startswith("the folder") else small_disk.parent
    if scratch != small_disk:
        project = Project(Path(shutil.copytree(project.path, small_disk / "service", symlinks=True)))
    before = state(project)
    if full == "the repository":
        with (small_disk / "fills").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1000))
    result = project.run(*command(), check=False, PYTHONPATH=str(ROOT), TMPDIR=str(scratch))
    assert result.returncode == 2, result.stdout
    failures = [line for line in result.stdout.splitlines() if line.startswith("update: ")]
    assert result.stdout.splitlines()[-1:] == failures
    assert "Traceback" not in result.stdout
    assert state(project) == before


def test_a_template_in_a_folder_of_its_repository(made: Made, template: Template, tmp_path: Path) -> None:
    project = made()
    (tmp_path / "templates").mkdir()
    shutil.rmtree(template.path / ".git")
    inner = Template(template.path.rename(tmp_path / "templates" / "flask"))
    git(tmp_path / "templates", "init", "--quiet")
    inner.commit("version 1")
    inner.made(project)
    record = json.loads(project.read(".cruft.json")) | {"template": f"{tmp_path}/templates", "directory": "flask"}
    (project.path / ".cruft.json").write_text(json.dumps(record), encoding="utf-8")
    save(project, "made from a template in a folder")
    for number in (2, 3):
        scaffold(inner, "Makefile", f"\n# Version {number}.\n")
        inner.commit(f"version {number}")
        result = update(project)
        assert result.returncode == 0, result.stdout
        assert status(project).split() == ["M", ".cruft.json", "M", "Makefile"]
        save(project, "updated")
    assert json.loads(project.read(".cruft.json"))["directory"] == "flask"
    assert project.read("Makefile").endswith("\n# Version 2.\n\n# Version 3.\n")


def test_new_questions_are_asked_in_a_terminal(made: Made, template: Template, person: Person) -> None:
    project = made()
    questions = json.loads((template.path / "cookiecutter.json").read_text(encoding="utf-8"))
    questions = {"flavour": ["sweet", "plain"], "motto": "Eat cake.", **questions}
    questions["__prompts__"] |= {
        "flavour": {"__prompt__": "How it tastes", "sweet": "as cake"},
        "motto": "What it says",
    }
    (template.path / "cookiecutter.json").write_text(json.dumps(questions), encoding="utf-8")
    with (template.path / "layercake/options.py").open("a", encoding="utf-8") as options:
        options.write('OPTIONS["flavour"] = Option(what="", plain="plain", words="")\n')
    with (template.path / "layercake/files.py").open("a", encoding="utf-8") as files:
        files.write('FILES["flavour"] = {"SWEET.md": ["sweet"]}\n')
    scaffold(template, "SWEET.md", "{{ cookiecutter.motto }}\n")
    template.commit("version 2")
    terminal = Terminal(person, "env", "-C", project.path, f"PYTHONPATH={ROOT}", *command())
    terminal.wait_for("How it tastes")
    terminal.wait_for("1 - plain")  # Enter leaves the service as it is
    terminal.wait_for("2 - as cake")
    terminal.wait_for("): ")
    terminal.type("2\n")
    terminal.wait_for("What it says (Eat cake.): ")
    terminal.type("Never too sweet.\n")
    assert terminal.end() == 0, terminal.seen
    assert project.read("SWEET.md") == "Never too sweet.\n"
    answers = json.loads(project.read(".cruft.json"))["context"]["cookiecutter"]
    assert (answers["flavour"], answers["motto"]) == ("sweet", "Never too sweet.")


def test_a_git_that_cannot_merge_this_way_is_named(made: Made, template: Template, tmp_path: Path) -> None:
    project = made()
    scaffold(template, "NEWS.md", "# News\n")
    template.commit("version 2")
    old = """case " $* " in
*" --version "*) echo git version 2.34.1; exit 0;;
*" merge-tree "*) echo 'usage: git merge-tree <base-tree> <branch1> <branch2>' >&2; exit 129;;
esac"""
    path = stand_in(tmp_path / "bin", "git", old)
    before = state(project)
    result = project.run(*command(), check=False, PYTHONPATH=str(ROOT), PATH=f"{path}:{os.environ['PATH']}")
    assert (result.returncode, result.stdout) == (
        2, "update: git 2.34.1 is too old to merge this way; install git 2.38 or newer.\n",
    )  # fmt: skip
    assert state(project) == before
