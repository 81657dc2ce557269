"""The rules for the answers."""

import json
import keyword
import os
import re
import sys
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cookiecutter.exceptions import FailedHookException

from layercake.files import known

ROOT = Path(__file__).resolve().parent.parent
SCAFFOLD = ROOT / "{{cookiecutter.project_slug}}"
QUESTIONS: dict[str, object] = {
    name: default
    for name, default in json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8")).items()
    if not name.startswith("_")
}
WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
LEFT_OUT = {"build", "dist", "node_modules", "venv"}
FREE_TEXT = ("project_name", "description", "author_name")
MAX_TEXT = 200  # characters
MAX_NAME = 40  # characters

# Modules of Pythons newer than the one that runs this, and one that Python itself leaves out of its list.
MORE_STDLIB = {"annotationlib", "compression", "test"}


def checked(answers: Mapping[str, object]) -> str:
    """Return "yes" when every answer is valid.

    Raises:
        FailedHookException: with one line per problem; nothing has been created yet.
    """
    kept = os.environ.get(
        "LAYERCAKE_KEPT", ""
    ).split()  # an update's: a rule for new names never refuses an old project
    if problems := find_problems(answers, kept):
        raise FailedHookException("\n".join(["Nothing was generated. Please change:", *problems]))
    return "yes"


def find_problems(answers: Mapping[str, object], kept: Collection[str] = ()) -> list[str]:
    """Return every problem of the answers, each in one line that names the answer and what to do.

    Args:
        kept: the questions that an older release took the answers to; of these only choices are looked at.
    """
    found: dict[str, list[str]] = {}
    for name, default in QUESTIONS.items():
        answer = answers.get(name)
        if not isinstance(answer, str):
            found[name] = [f"{_shown(answer)} is not text; write it in quotes."]
        elif isinstance(default, list):
            found[name] = []
            if answer not in default:
                found[name] = [f"{_shown(answer)} is not a choice; use {', '.join(default)}."]
            elif answer not in known(name):
                found[name] = [f"the template has nothing for {_shown(answer)}; see layercake/files.py."]
        else:
            rule = {
                "author_email": _email_problems,
                "project_slug": _slug_problems,
                "package_name": _package_problems,
            }.get(name, _text_problems)
            found[name] = [] if name in kept else list(rule(answer))

    # A default made from a wrong answer is wrong as well; naming it would only hide the cause.
    name, slug = (str(answers.get(question)) for question in ("project_name", "project_slug"))
    if found["project_name"] and answers.get("author_name") == f"{name[:195]} team":
        found["author_name"] = []
    if found["project_slug"] and answers.get("package_name") == slug.replace("-", "_"):
        found["package_name"] = []
    return [f"  {question}: {problem}" for question, problems in found.items() for problem in problems]


def _text_problems(text: str) -> Iterator[str]:
    if not text.strip():
        yield "is empty; write a few words."
    elif text != text.strip():
        yield "begins or ends with white space; write it without."
    if len(text) > MAX_TEXT:
        yield f"has {len(text)} characters; use at most {MAX_TEXT}."
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text):
        yield "contains a line break or another control character; write it in one line."
    if any(opening in text for opening in ("{{", "{%", "{#")):
        yield "contains {{, {% or {#, which a later update would take for template code; write it without."


def _email_problems(email: str) -> Iterator[str]:
    if len(email) > MAX_TEXT:
        yield f"has {len(email)} characters; use at most {MAX_TEXT}."
    elif not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", email):
        yield f"{_shown(email)} is not an address; write it like team@example.com."
    elif "{%" in email or "{{" in email or "{#" in email:
        yield "contains {{, {% or {#; write it without."


def _slug_problems(slug: str) -> Iterator[str]:
    if not slug:
        yield "is empty: the name has no letter to make it from; write one, like my-service."
        return
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        yield f"{_shown(slug)} must be words of lower-case letters and digits, joined by single hyphens, like my-service2."
    if not 2 <= len(slug) <= MAX_NAME:
        yield f"has {len(slug)} characters; use 2 to {MAX_NAME}."
    if slug in _locked_names():
        yield f"{_shown(slug)} is a package that the service depends on; choose another."
    if slug in WINDOWS_DEVICES:
        yield f"{_shown(slug)} is a device name on Windows; choose another."


def _package_problems(package: str) -> Iterator[str]:
    if len(package) > MAX_NAME:
        yield f"has {len(package)} characters; use at most {MAX_NAME}."
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package):
        yield f"{_shown(package)} must be a letter, then letters, digits and underscores, all lower case, like my_service2."
    elif keyword.iskeyword(package) or keyword.issoftkeyword(package):
        yield f"{_shown(package)} is a word of the Python language; choose another."
    elif package in sys.stdlib_module_names | MORE_STDLIB:
        yield f"{_shown(package)} is a module of the standard library, which it would hide; choose another."
    elif package in (ROOT / "locks" / "import-names.txt").read_text(encoding="utf-8").split():
        yield f"{_shown(package)} is a module that the service depends on; choose another."
    elif package in _scaffold_names():
        yield f"{_shown(package)} is a file or folder of every generated project; choose another."
    elif package in LEFT_OUT:
        yield f"{_shown(package)} is a folder that linters leave out; choose another."
    elif package in WINDOWS_DEVICES:
        yield f"{_shown(package)} is a device name on Windows; choose another."


def _locked_names() -> set[str]:
    """Return the packages of all shipped locks. What uv or Poetry take for the project itself, they do not lock."""
    locks = (path.read_text(encoding="utf-8") for path in (ROOT / "locks").glob("*.txt"))
    return {name for lock in locks for name in re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE)}


def _scaffold_names() -> set[str]:
    """Return what a package must not be called: paths, on any file system, and modules that tools find by name."""
    folders = (SCAFFOLD, SCAFFOLD / "tests", SCAFFOLD / "tools")
    return {entry.name.split(".")[0].lower() for folder in folders for entry in folder.iterdir()}


def _shown(answer: object) -> str:
    text = ascii(answer)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_NAME]}... ({len(str(answer))} characters)"


FILTERS = {"checked": checked}
