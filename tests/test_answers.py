"""The rules for the answers, through the real command, and the filters that carry free text into files."""

import ast
import html
import json
import random
import re
import subprocess
import sys
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from layercake.answers import QUESTIONS, find_problems
from layercake.quoting import assign_python, quote, quote_markdown, quote_python
from tests.support import CHOICES, NASTY, ROOT, SCAFFOLD, Person, tool

# What is wrong with an answer: the answer, and what the line about it says.
WRONG = {
    "project_name": {
        "": "empty",
        "  ": "empty",
        "a\nb": "line break",
        "a\x01b": "control character",
        "a\x7fb": "control character",
        "a\u2028b": "line break",
        "a\udcffb": "control character",  # how a byte that is not UTF-8 arrives
        " a": "white space",
        "a\u3000": "white space",
        "x" * 201: "201 characters",
        "{{ x }}": "{{",
        "{{cookiecutter.project_slug}}": "{{",  # what stands in the template is code there, not in an answer
        "{{cookiecutter.package_name}}/about.py": "{{",
        "{% x": "{{",
        "{{ 1 / 0 }}": "{{",
        "{#": "{{",
        "a }} {{ b": "{{",
        "{{ cookiecutter.project_slug | nonsense }}": "{{",
        "cookiecutter {% raw %}": "{{",
        "{% include 'cookiecutter.json' %}": "{{",
        "cookiecutter {{ 1 / 0 }}": "{{",
        "{{ cookiecutter }}": "{{",
        "{{ cookiecutter.author_email }}": "{{",
        "{{ cookiecutter.__class__.__mro__ }}": "{{",
        "cookiecutter\n{{ ''.__class__ }}": "line break",
        "/./tests/{{ cookiecutter }}": "{{",
    },
    "project_slug": {
        "../x": "words of lower-case letters",
        "/abs": "words of lower-case letters",
        "a/b": "words of lower-case letters",
        "a--b": "words of lower-case letters",
        "a-": "words of lower-case letters",
        "2fast": "words of lower-case letters",
        "A": "words of lower-case letters",
        "caf\xe9": r"'caf\xe9'",
        "a": "has 1 characters",
        "a" * 41: "41 characters",
        "con": "device name",
        "lpt1": "device name",
    },
    "package_name": {
        "": "lower case",
        "Orders": "lower case",
        "a-b": "lower case",
        "1a": "lower case",
        "class": "word of the Python language",
        "match": "word of the Python language",
        "json": "standard library",
        "compression": "standard library",
        "flask": "depends on",
        "dotenv": "depends on",
        "tests": "every generated project",
        "tools": "every generated project",
        "license": "every generated project",
        "conftest": "every generated project",
        "build": "linters leave out",
        "con": "device name",
        "a" * 41: "41 characters",
    },
    "author_email": {
        "": "not an address",
        "team": "not an address",
        "a b@example.com": "not an address",
        "a@b\n": "not an address",
        "{{a}}@example.com": "{{",
        "a" * 200 + "@example.com": "212 characters",
    },
}


@pytest.mark.parametrize(("question", "answer"), [(q, a) for q, wrong in WRONG.items() for a in wrong], ids=ascii)
def test_a_wrong_answer_is_told_in_plain_words_and_leaves_nothing(person: Person, question: str, answer: str) -> None:
    before = person.everything()
    result = person.cookiecutter("--no-input", f"{question}={answer}")
    assert result.returncode == 1
    first, problem, *more = result.stdout.splitlines()
    assert first == "Nothing was generated. Please change:"
    assert problem.startswith(f"  {question}: ")
    assert WRONG[question][answer] in result.stdout
    made_from_it = {"project_name": "project_slug"}.get(question, question)
    assert all(line.startswith((f"  {question}: ", f"  {made_from_it}: ")) for line in more)
    assert person.everything() == before


def test_all_problems_come_at_once_and_in_ascii(person: Person) -> None:
    before = person.everything()
    answers = {"project_name": "🚀\x01", "description": "", "author_name": "{#", "author_email": "é"}
    result = person.cookiecutter("--no-input", *(f"{name}={answer}" for name, answer in answers.items()))
    assert result.returncode == 1
    assert result.stdout.isascii()
    named = [line.split(":")[0].strip() for line in result.stdout.splitlines()[1:]]
    assert named == ["project_name", "project_slug", "description", "author_name", "author_email"]
    assert "no letter to make it from" in result.stdout
    assert person.everything() == before


@pytest.mark.parametrize("answer", [42, None, True, ["a"], {"a": "b"}])
def test_an_answer_that_is_not_text_is_refused(answer: object) -> None:
    good = {name: default[0] if isinstance(default, list) else "orders" for name, default in QUESTIONS.items()}
    good["author_email"] = "team@example.com"
    assert find_problems(good) == []
    for name in QUESTIONS:
        (problem,) = find_problems({**good, name: answer})
        assert problem == f"  {name}: {answer!r} is not text; write it in quotes."
    (problem,) = find_problems({**good, "python_version": "2.7"})
    assert problem == f"  python_version: '2.7' is not a choice; use {', '.join(CHOICES['python_version'])}."


def test_a_long_wrong_answer_is_not_repeated_whole() -> None:
    for name in QUESTIONS:
        problems = find_problems({**dict.fromkeys(QUESTIONS, "abc"), name: "(" * 40_000})
        assert all(len(line) < 300 for line in problems), name
        assert any(line.startswith(f"  {name}: ") and "40000 characters" in line for line in problems), name


def test_a_project_cannot_have_the_name_of_a_package_that_it_locks() -> None:
    locks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "locks").glob("*.txt"))
    names = {*re.findall(r"^([a-z][a-z0-9-]*)==", locks, re.MULTILINE)}
    assert {"flask", "gunicorn", "mypy", "pip-tools", "opentelemetry-sdk", "poetry"} <= names
    for name in names:
        problems = find_problems({**dict.fromkeys(QUESTIONS, "abc"), "project_slug": name})
        assert f"  project_slug: {name!r} is a package that the service depends on; choose another." in problems


def test_no_package_can_take_a_name_of_the_scaffold(person: Person) -> None:
    for path in (*SCAFFOLD.glob("*"), *SCAFFOLD.glob("tests/*"), *SCAFFOLD.glob("tools/*")):
        name = path.name.split(".")[0].lower()
        if re.fullmatch("[a-z_]+", name):
            answers = {**dict.fromkeys(QUESTIONS, "abc"), "package_name": name}
            assert any(line.startswith("  package_name: ") for line in find_problems(answers)), name


@pytest.mark.parametrize("name", ["2 Fast 4 You", "Café", "x" * 200, "Ünïcödé " * 20 + "x", "C++ & C#"])
def test_the_slug_and_package_made_from_a_name_are_valid_or_the_name_is_told(person: Person, name: str) -> None:
    result = person.cookiecutter("--no-input", "--accept-hooks", "no", f"project_name={name}")
    if name[0].isdigit():
        assert result.returncode == 1
        assert "project_slug: '2-fast-4-you' must be words" in result.stdout
    else:
        assert result.returncode == 0, result.stdout
        (project,) = person.work.iterdir()
        assert 1 <= len(project.name) <= 40


# The filters. Every string that the rules allow must come back as it was.


def allowed(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")


def all_of_unicode() -> list[str]:
    """Every allowed character, 150 to a string, between letters so that no string begins with white space."""
    characters = [chr(point) for point in range(sys.maxunicode + 1) if allowed(chr(point))]
    return [f"a{''.join(characters[i : i + 150])}b" for i in range(0, len(characters), 150)]


def awkward() -> list[str]:
    """Combinations of what means something somewhere, at the start, in the middle and at the end."""
    source = random.Random(1)
    marks = [
        *"\"'\\`*_[](){}<>&|~$#:;%!?@^+-=.,/ ",
        "1.",
        "23)",
        "é",
        "🎂",
        "ש",
        "\u200f",
        "\ufeff",
        "\\u",
        "<!--",
        "--",
    ]
    alone = [*marks, *(f"{mark} a" for mark in marks), *(f"a {mark}" for mark in marks)]
    mixed = ["".join(source.choices([*marks, "a", "b c"], k=source.randint(2, 30))) for _ in range(3000)]
    everything = [*NASTY.values(), *alone, *mixed]
    return [text for text in everything if text.strip() == text != "" and not re.search(r"\{[{%#]", text)]


TEXTS = {"all of Unicode": all_of_unicode, "awkward": awkward}
texts = pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS)


@texts
def test_a_quoted_text_is_itself_in_toml_json_and_yaml(make: Callable[[], list[str]]) -> None:
    expected = make()
    assert len(expected) > 1000
    lines = [f"- {quote(text)}\n" for text in expected]
    assert [json.loads(line[2:]) for line in lines] == expected
    assert tomllib.loads("x = [\n" + "".join(f"{line[2:-1]},\n" for line in lines) + "]")["x"] == expected
    assert yaml.safe_load("".join(lines)) == expected


@texts
def test_a_quoted_text_is_itself_in_python_and_already_formatted(make: Callable[[], list[str]], tmp_path: Path) -> None:
    expected = make()
    module = tmp_path / "texts.py"
    module.write_text("".join(f"{assign_python(text, f'X{i}')}\n" for i, text in enumerate(expected)), encoding="utf-8")
    tree = ast.parse(module.read_bytes())
    assert [
        ast.literal_eval(statement.value) for statement in tree.body if isinstance(statement, ast.Assign)
    ] == expected
    assert_formatted(module)


@pytest.mark.parametrize("character", ["a", "ö", "漢", "🚀", "e\u0301", "👩\u200d🚀", '"', "\u202e"])
def test_a_text_of_any_length_is_already_formatted(character: str, tmp_path: Path) -> None:
    module = tmp_path / "texts.py"
    lines = [assign_python((character * length)[:length], "NAME") for length in range(40, 201)]
    module.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert_formatted(module)


def assert_formatted(module: Path) -> None:
    """Assert that the formatter of a project changes nothing in a module."""
    command = [tool("ruff"), "format", "--isolated", "--line-length", "120", "--diff", str(module)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[:2000]


@texts
def test_a_quoted_text_is_itself_in_markdown(make: Callable[[], list[str]]) -> None:
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for text in make():
        quoted, shown = quote_markdown(text), html.escape(text).replace("&#x27;", "'")
        assert markdown.render(f"# {quoted}") == f"<h1>{shown}</h1>\n"
        assert markdown.render(quoted) == f"<p>{shown}</p>\n"
        assert f"<td>{shown}</td>" in markdown.render(f"| a |\n| - |\n| {quoted} |")


def test_what_reorders_or_hides_text_is_visible_in_the_files() -> None:
    for character in "\u202e\u2066\u200f\ufeff\ufffe":
        assert quote(character) == quote_python(character) == f'"\\u{ord(character):04x}"'
