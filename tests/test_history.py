"""Services that teams have edited live through the template's history: nothing of theirs is lost, and every fix arrives."""

from pathlib import Path

import pytest

from layercake.record import git as run_git
from layercake.releases import git
from scripts.measure_updates import (
    POINTS,
    SERVICES,
    fixed,
    fixes,
    make,
    marks,
    ours,
    resolve,
    work_on,
    write_releases,
)
from tests.support import once, one_of

ROOT = Path(__file__).resolve().parent.parent


MARKS = ("FIX 8", "FIX 9", "FIX 10", "FIX 11", "TEAM later in docs", "TEAM later in openapi", "TEAM later in tracing")


@pytest.fixture
def history(shared: Path) -> tuple[Path, list[str]]:
    """The template with made-up releases on top of its history; each of them, the oldest first."""

    if any(run_git(ROOT, "cat-file", "-e", point) is None for point in POINTS):
        pytest.skip("this is no clone with its whole history")

    def build(place: Path) -> None:
        place.mkdir()
        (place / "releases").write_text("\n".join(write_releases(place / "template")), encoding="utf-8")

    place = once(shared / "history", build)
    return place / "template", (place / "releases").read_text(encoding="utf-8").split()


def changed(project: Path, *options: str) -> set[str]:
    """Return the paths of a difference, of which those of a moved file are two."""
    return set(git(project, "diff", "--name-only", "--no-renames", *options).decode().split())


@pytest.mark.slow
@pytest.mark.parametrize("name", one_of(SERVICES, "plain", "jobs", "renamed"))
def test_no_edit_and_no_fix_is_lost_in_any_step(history: tuple[Path, list[str]], name: str, tmp_path: Path) -> None:
    template, releases = history
    project = tmp_path / "service"
    make(template, releases[0], SERVICES[name], project, tmp_path / "made")
    edits = marks(project, "TEAM")
    assert len(edits) >= 8
    edited = changed(project, "HEAD~1", "HEAD")
    for number, release in enumerate(releases[1:], 1):
        outcome = ours(project, release, tmp_path / f"step-{number}")
        assert outcome.rejects == 0
        assert changed(project, "--diff-filter=U") <= edited, outcome.said
        resolve(project)
        assert marks(project, "TEAM") >= edits, outcome.said
        missing = {*fixes(number)} - fixed(project)
        assert not missing or (missing == {2} and "greetings.py stays deleted" in outcome.said), outcome.said
        if number == len(POINTS):
            work_on(project)
            edits = marks(project, "TEAM")
            edited |= changed(project, "HEAD~1", "HEAD")
    # A fix is of use in the file that the team has, beside its edit, and not in another with the old name.
    package = project / "shop"
    found = {
        str(path.relative_to(package)): [mark for mark in MARKS if f"# {mark}\n" in path.read_text(encoding="utf-8")]
        for path in package.rglob("*.py")
    }
    assert {name: there for name, there in found.items() if there} == {
        "inner/health.py": ["FIX 8"],
        "inner/docs.py": ["FIX 9", "TEAM later in docs"],
        "core/description.py": ["FIX 10", "TEAM later in openapi"],
        "core/spans.py": ["FIX 11"],
        "core/tracing.py": ["TEAM later in tracing"],
    }
    assert not {"core/health.py", "core/docs.py", "core/openapi.py"} & found.keys()
    assert "core/tracing.py stays, with what you changed" in outcome.said
