"""An option is in a project or it is not: what differs between two answers is just that option."""

import difflib
import re
from pathlib import Path

import pytest

from layercake.files import FILES, PACKAGE
from layercake.options import OPTIONS
from tests.conftest import Bake
from tests.support import CHOICES, Project

# With an answer that leaves an option out, nothing speaks of it.
WORDS = {(question, option.plain): option.words for question, option in OPTIONS.items()}
# These know of every dependency manager: the image does not depend on it, and a project may switch.
KNOW_ALL = {"Dockerfile", "tools/audit.py", "tools/indexes.py", "tools/lock.py"}

# The lines that make way for another one when an option is added. All else stays as it is.
MAKES_WAY = re.compile(
    r"run: setup ## .*|docker run --rm .*|"
    r'    find /usr /app /opt -cnewer .*|def (settings|servers)\(.*|    """Production settings: .*|'
    r'    assert client.get\("/readyz"\).json == .*'
)


def lines(project: Project) -> dict[str, list[str]]:
    """Return the lines of every file but the locks, and but the record of all answers."""
    return {
        str(path): project.read(str(path)).splitlines()
        for path in project.files()
        if path.name != ".cruft.json"
        and not path.match("requirements/*.txt")
        and not path.match("requirements/layers/*")
    }


@pytest.mark.parametrize(("question", "answer"), WORDS)
def test_without_an_option_there_is_not_a_word_of_it(bake: Bake, question: str, answer: str) -> None:
    others = {name: answers[-1] for name, answers in CHOICES.items() if name not in (question, "python_version")}
    for project in (bake(**{question: answer}), bake(**others, **{question: answer})):
        for path, text in lines(project).items():
            if path not in KNOW_ALL:
                found = re.findall(WORDS[question, answer], "\n".join(text), re.IGNORECASE)
                assert not found, f"{path}: {found}"


@pytest.mark.parametrize(
    ("question", "answer"),
    [(question, answer) for question, none in WORDS for answer in CHOICES[question] if none == "none" != answer],
)
def test_an_option_only_adds(bake: Bake, question: str, answer: str) -> None:
    without, with_it = lines(bake(**{question: "none"})), lines(bake(**{question: answer}))
    assert without.keys() <= with_it.keys()
    own = [
        Path(path.replace(PACKAGE, "flask_service")) for path, answers in FILES[question].items() if answer in answers
    ]
    for path in with_it.keys() - without.keys():
        assert any(Path(path).is_relative_to(folder) for folder in own), path
    for path, text in without.items():
        gone = [line[2:] for line in difflib.ndiff(text, with_it[path]) if line.startswith("- ")]
        assert not [line for line in gone if not MAKES_WAY.fullmatch(line)], path


def test_the_readme_says_where_the_code_of_an_option_goes(bake: Bake) -> None:
    asked = {"A table": ("database", "sqlite"), "A job": ("background_jobs", "celery")}
    for thing, (question, answer) in asked.items():
        for chosen in ("none", answer):
            places = (
                bake(**{question: chosen}).read("README.md").partition("## Where things go")[2].partition("\n## ")[0]
            )
            assert (f"- **{thing}**: " in places) == (chosen == answer), chosen


def test_dependency_managers_differ_in_their_own_files(bake: Bake) -> None:
    first, *others = (lines(bake(dependency_manager=name)) for name in CHOICES["dependency_manager"])
    for other in others:
        different = {path for path in first.keys() | other.keys() if first.get(path) != other.get(path)}
        assert different <= {
            ".dockerignore",
            "Pipfile",
            "README.md",
            "docs/github.md",
            "docs/packages.md",
            "pyproject.toml",
            "requirements/dev.in",
            "requirements/prod.in",
            "requirements/tools.in",
            "tools/manager.py",
        }
