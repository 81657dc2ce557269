"""Where a project came from: recorded however it was made, in a form that cruft reads, without a secret."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from layercake.record import without_secrets
from tests.support import ANSWERS, NASTY, SCAFFOLD, Person, Template, git, go_on, tool


def generate(person: Person, template: str | Path, *arguments: str, **env: str) -> dict[str, Any]:
    """Make a project by the real command; return its record."""
    result = person.run(tool("cookiecutter"), template, "--no-input", *arguments, **env)
    assert result.returncode == 0, result.stdout
    text = (person.work / "flask-service" / ".cruft.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert str(person.root / "tmp") not in text
    record: dict[str, Any] = json.loads(text)
    assert list(record) == ["template", "commit", "checkout", "context", "directory"]
    assert list(record["context"]) == ["cookiecutter"]
    assert record["context"]["cookiecutter"].keys() == ANSWERS.keys()
    return record


def head(template: Template) -> str:
    return git(template.path, "rev-parse", "HEAD").strip()


def update(person: Person, template: Template) -> None:
    """Let the template and then the project, which was made from it, go on by one version."""
    project = person.work / "flask-service"
    check = (tool("cruft"), "check", "--project-dir", project)
    assert person.run(*check).returncode == 0
    go_on(project, template)
    outdated = person.run(*check)
    assert (outdated.returncode, "out of date" in outdated.stdout) == (1, True), outdated.stdout
    updated = person.run(tool("cruft"), "update", "--skip-apply-ask", "--project-dir", project)
    assert updated.returncode == 0, updated.stdout
    assert [line[3:] for line in git(project, "status", "--porcelain").splitlines()] == [".cruft.json", "Makefile"]
    assert (project / "Makefile").read_text(encoding="utf-8").endswith("\n# The last line.\n")
    assert person.run(*check).returncode == 0
    difference = person.run(tool("cruft"), "diff", "--exit-code", "--project-dir", project)
    assert difference.returncode == 0, difference.stdout


def test_a_project_from_a_url_is_updated_by_cruft(person: Person, template: Template) -> None:
    record = generate(person, template.url)
    assert record["template"] == f"file://{template.path}"
    assert (record["commit"], record["checkout"], record["directory"]) == (head(template), None, None)
    update(person, template)


def test_a_project_from_a_folder_is_updated_by_cruft(person: Person, template: Template) -> None:
    (person.work / "notes.txt").touch()
    record = generate(person, template.path)
    assert record["template"] == str(template.path)
    assert (record["commit"], record["checkout"], record["directory"]) == (head(template), None, None)
    update(person, template)


def test_the_commit_is_that_of_the_release_that_was_asked_for(person: Person, template: Template) -> None:
    git(template.path, "tag", "v1")
    first = head(template)
    (template.path / "README.md").write_text("# Newer\n", encoding="utf-8")
    template.commit("version 2")
    record = generate(person, template.url, "--checkout", "v1")
    assert (record["commit"], record["checkout"]) == (first, "v1")


@pytest.mark.parametrize(
    ("origin", "pushed", "named"),
    [
        ("https://user:word@example.com/layercake.git", True, "https://example.com/layercake.git"),
        ("git@example.com:org/layercake.git", True, "git@example.com:org/layercake.git"),
        ("https://example.com/layercake.git", False, None),
        ("/srv/layercake", True, None),
    ],
)
def test_of_a_clone_that_address_is_recorded_where_others_find_its_commit(
    person: Person, template: Template, origin: str, pushed: bool, named: str | None
) -> None:
    git(template.path, "remote", "add", "origin", origin)
    git(template.path, "update-ref", "refs/remotes/origin/main", "HEAD")
    if not pushed:
        (template.path / "README.md").write_text("# Newer\n", encoding="utf-8")
        template.commit("not pushed")
    record = generate(person, template.path)
    assert (record["template"], record["commit"]) == (named or str(template.path), head(template))


@pytest.mark.parametrize("by_url", [True, False])
def test_a_template_may_be_in_a_folder_of_its_repository(person: Person, template: Template, by_url: bool) -> None:
    names = [path.name for path in template.path.iterdir() if path.name != ".git"]
    (template.path / "templates of ours").mkdir()
    for name in names:
        (template.path / name).rename(template.path / "templates of ours" / name)
    template.commit("moved")
    record = generate(person, template.url if by_url else template.path, "--directory", "templates of ours")
    assert record["template"] == f"{'file://' if by_url else ''}{template.path}"
    assert (record["commit"], record["directory"]) == (head(template), "templates of ours")


def test_an_abbreviation_becomes_the_url(person: Person, template: Template) -> None:
    settings = {"abbreviations": {"ours": f"git+file://{template.path.parent}/{{0}}"}}
    (person.root / "home" / ".cookiecutterrc").write_text(yaml.safe_dump(settings), encoding="utf-8")
    record = generate(person, "ours:layercake")
    assert (record["template"], record["commit"]) == (f"file://{template.path}", head(template))


def test_a_secret_gets_into_no_record(person: Person, template: Template) -> None:
    git_settings = f'[url "file://{template.path}"]\n\tinsteadOf = https://user:word@example.com/layercake.git\n'
    (person.root / "home" / ".gitconfig").write_text(git_settings, encoding="utf-8")
    record = generate(person, "https://user:word@example.com/layercake.git")
    assert (record["template"], record["commit"]) == ("https://example.com/layercake.git", head(template))
    # What people set in git so that it logs in is no part of the address either.
    git_settings = f'[url "file://{template.path}"]\n\tinsteadOf = https://example.com/other/layercake.git\n'
    (person.root / "home" / ".gitconfig").write_text(git_settings, encoding="utf-8")
    record = generate(person, "https://example.com/other/layercake.git", "--overwrite-if-exists")
    assert record["template"] == "https://example.com/other/layercake.git"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://token@example.com/t.git", "https://example.com/t.git"),
        ("https://user:w@rd@example.com:8443/t", "https://example.com:8443/t"),
        ("git+https://user:word@example.com/t", "git+https://example.com/t"),
        ("https://example.com/t.zip?token=word#x", "https://example.com/t.zip"),
        ("ssh://git:word@example.com:22/t", "ssh://git@example.com:22/t"),
        ("git@example.com:org/t.git", "git@example.com:org/t.git"),
        ("file:///home/ana@work/t", "file:///home/ana@work/t"),
    ],
)
def test_an_address_is_kept_without_what_logs_in(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize("kind", ["changed", "no repository", "ignored by an outer repository", "zip", "no git"])
def test_where_no_commit_is_what_was_rendered_none_is_named(person: Person, template: Template, kind: str) -> None:
    place, env = template.path, {}
    if kind == "changed":
        (template.path / "hooks" / "post_gen_project.py").open("a", encoding="utf-8").close()
        (template.path / SCAFFOLD.name / "new.txt").write_text("new\n", encoding="utf-8")
    elif kind != "no git":
        shutil.rmtree(template.path / ".git")
    if kind == "ignored by an outer repository":
        (template.path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        git(template.path.parent, "init", "-q")
        git(template.path.parent, "add", "-f", ".gitignore")
        git(template.path.parent, "commit", "-qm", "outer")
    if kind == "zip":
        shutil.make_archive(str(template.path), "zip", template.path.parent, template.path.name)
        place = template.path.with_suffix(".zip")
    if kind == "no git":
        env["PATH"] = str(Path(sys.executable).parent)
    record = generate(person, os.path.relpath(place, person.work), **env)
    assert (record["template"], record["commit"], record["directory"]) == (str(place), None, None)


def test_what_is_generated_into_a_clone_does_not_change_the_template(person: Person, template: Template) -> None:
    project = person.run("sh", "-c", 'cd "$0" && exec "$@"', template.path, tool("cookiecutter"), ".", "--no-input")
    assert project.returncode == 0, project.stdout
    assert generate(person, template.path)["commit"] == head(template)


def test_what_git_sets_for_its_hooks_is_not_the_templates_repository(person: Person, template: Template) -> None:
    git(person.work, "init", "-q")
    record = generate(person, template.path, GIT_DIR=str(person.work / ".git"), GIT_WORK_TREE=str(person.work))
    assert (record["template"], record["commit"]) == (str(template.path), head(template))


def test_hostile_answers_are_recorded_as_they_are(person: Person, template: Template) -> None:
    answers = {**NASTY, "author_email": "o'brien+{x}`$@example.com"}
    record = generate(
        person, template.path, *(f"{name}={text}" for name, text in answers.items()), "project_slug=flask-service"
    )
    assert {name: record["context"]["cookiecutter"][name] for name in answers} == answers


def test_generating_over_renews_the_record_and_adding_keeps_it(person: Person, template: Template) -> None:
    first = generate(person, template.path)
    (template.path / "README.md").write_text("# Newer\n", encoding="utf-8")
    template.commit("version 2")
    assert generate(person, template.path, "--overwrite-if-exists", "--skip-if-file-exists", "ci=none") == first
    renewed = generate(person, template.path, "--overwrite-if-exists", "ci=none")
    assert renewed["commit"] == head(template) != first["commit"]
    assert renewed["context"]["cookiecutter"]["ci"] == "none"


def test_without_hooks_and_in_a_replay_the_record_is_the_same(person: Person, template: Template) -> None:
    first = generate(person, template.path, "--accept-hooks", "no")
    shutil.rmtree(person.work / "flask-service")
    result = person.run(tool("cookiecutter"), template.path, "--replay")
    assert result.returncode == 0, result.stdout
    assert json.loads((person.work / "flask-service" / ".cruft.json").read_text(encoding="utf-8")) == first
