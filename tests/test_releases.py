"""Releases of the template: every change of output is told, numbers mean something, and what is told is published."""

import datetime
import os
from pathlib import Path

import pytest
import yaml

from layercake.files import is_in
from scripts import release
from scripts.check_changelog import PROJECTS, ChangelogError, check, section
from tests.support import CHOICES, ROOT, SCAFFOLD, Project, Template, git

DAY = datetime.date(2027, 1, 2)
CHANGELOG = "# Changelog\n\n## Unreleased\n\n{}## 1.0.0 - 2026-11-28\n\n- The template.\n"


@pytest.fixture
def released(template: Template) -> Template:
    """The template at release 1.0.0."""
    tell(template, "")
    git(template.path, "config", "user.name", "team")
    git(template.path, "config", "user.email", "team@example.com")
    template.commit("ready")
    assert release.release(template.path, "1.0.0", DAY) == "Tagged v1.0.0. Next: git push --follow-tags"
    return template


def tell(template: Template, entries: str) -> None:
    """Write a changelog with these entries under Unreleased."""
    text = CHANGELOG.format(f"{entries}\n\n" if entries else "")
    (template.path / "CHANGELOG.md").write_text(text, encoding="utf-8")


def change_output(template: Template) -> None:
    """Change a file that only some projects have."""
    with (template.path / SCAFFOLD.name / ".gitlab-ci.yml").open("a", encoding="utf-8") as pipeline:
        pipeline.write("# changed\n")


def test_a_change_of_output_needs_a_new_entry_under_unreleased(released: Template) -> None:
    change_output(released)
    released.commit("silent")
    with pytest.raises(ChangelogError, match=r"^generated projects change \(\.gitlab-ci\.yml\); say so in CHANGELOG"):
        check(released.path, "v1.0.0", "HEAD")
    changelog = released.path / "CHANGELOG.md"
    changelog.write_text(changelog.read_text(encoding="utf-8") + "- In the wrong place.\n", encoding="utf-8")
    released.commit("told where nobody looks")
    with pytest.raises(ChangelogError, match="generated projects change"):
        check(released.path, "v1.0.0", "HEAD")
    tell(released, "- The pipeline has another line.")
    released.commit("told")
    check(released.path, "v1.0.0", "HEAD")


def test_every_file_of_the_scaffold_is_in_a_project_that_is_compared() -> None:
    files = {path.relative_to(SCAFFOLD).as_posix() for path in SCAFFOLD.rglob("*") if path.is_file()}
    first = {name: choices[0] for name, choices in CHOICES.items()}
    assert {file for file in files if not any(is_in({**first, **answers}, file) for answers in PROJECTS)} == set()


def test_what_renders_the_same_needs_no_entry(released: Template) -> None:
    with (released.path / "layercake" / "files.py").open("a", encoding="utf-8") as code:
        code.write("# Nobody sees this.\n")
    (released.path / "docs" / "new.md").write_text("# New\n", encoding="utf-8")
    released.commit("code and documents")
    check(released.path, "v1.0.0", "HEAD")
    check(released.path, "HEAD", "HEAD")


def test_a_release_moves_the_entries_and_the_number_and_tags_them(released: Template) -> None:
    change_output(released)
    tell(released, "- The pipeline has another line.")
    released.commit("told")
    assert release.release(released.path, "1.1.0", DAY) == "Committed and tagged v1.1.0. Next: git push --follow-tags"
    text = (released.path / "CHANGELOG.md").read_text(encoding="utf-8")
    told = "\n## Unreleased\n\n## 1.1.0 - 2027-01-02\n\n- The pipeline has another line.\n\n## 1.0.0 - 2026-11-28\n"
    assert told in text
    assert '__version__ = "1.1.0"' in (released.path / "layercake" / "__init__.py").read_text(encoding="utf-8")
    assert git(released.path, "describe", "--exact-match").strip() == "v1.1.0"
    assert git(released.path, "status", "--porcelain") == ""
    assert release.notes(released.path, "v1.1.0") == "- The pipeline has another line."
    assert release.newest(released.path) == "1.1.0"


@pytest.mark.parametrize(
    ("entries", "version", "why"),
    [
        ("", "1.1.0", "nothing under Unreleased"),
        ("- New.", "1.1", "is no version"),
        ("- New.", "1.3.0", r"after 1\.0\.0 comes 2\.0\.0, 1\.1\.0, 1\.0\.1;"),
        ("- New.", "1.0.0", "has a section 1.0.0 already"),
        ("- **Breaking**: `PORT` is gone.", "1.1.0", r"after 1\.0\.0 comes 2\.0\.0 with what breaks;"),
    ],
)
def test_a_release_that_is_not_right_is_refused_and_changes_nothing(
    released: Template, entries: str, version: str, why: str
) -> None:
    tell(released, entries)
    git(released.path, "commit", "--quiet", "--all", "--allow-empty", "--message", "told")
    before = git(released.path, "rev-parse", "HEAD")
    with pytest.raises(ChangelogError, match=why):
        release.release(released.path, version, DAY)
    assert (git(released.path, "rev-parse", "HEAD"), git(released.path, "status", "--porcelain")) == (before, "")
    assert git(released.path, "tag").split() == ["v1.0.0"]


def test_a_release_is_made_of_what_is_committed(released: Template) -> None:
    (released.path / "notes.txt").touch()
    with pytest.raises(ChangelogError, match="not committed"):
        release.release(released.path, "1.1.0", DAY)


def test_the_workflow_publishes_what_the_changelog_says(released: Template, tmp_path: Path) -> None:
    """git and the script are real, `gh` is not: what it is told is looked at."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/told\n', encoding="utf-8")
    (tmp_path / "bin" / "gh").chmod(0o755)
    steps = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))["jobs"]["release"][
        "steps"
    ]
    env = {
        "PATH": f"{tmp_path}/bin{os.pathsep}{ROOT}/.venv/bin{os.pathsep}{os.environ['PATH']}",
        "GITHUB_REF_NAME": "v1.0.0",
        "RUNNER_TEMP": str(tmp_path),
    }
    given = [f"{name}={value}" for name, value in env.items()]
    Project(released.path).run("env", *given, "bash", "-eo", "pipefail", "-c", steps[-1]["run"])
    told = (tmp_path / "told").read_text(encoding="utf-8").strip()
    assert told == f"release create v1.0.0 --verify-tag --title v1.0.0 --notes-file {tmp_path}/notes.md"
    assert (tmp_path / "notes.md").read_text(encoding="utf-8") == "- The template.\n"


def test_the_template_has_a_release_and_its_number() -> None:
    from layercake import __version__

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert section(changelog, __version__)
    assert changelog.index("## Unreleased\n") < changelog.index(f"## {__version__} - ")
