"""The template's own files, before anything is rendered: syntax, questions, hooks, line ends."""

import ast
import json
import re
import struct
from pathlib import Path

import pytest
import yaml
from cookiecutter.environment import StrictEnvironment

from layercake.files import FILES
from layercake.options import OPTIONS
from tests.support import ANSWERS, CHOICES, ROOT, SCAFFOLD, Person, Template, tool

SETTINGS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
TEMPLATES = sorted(p for folder in (SCAFFOLD, ROOT / "templates") for p in folder.rglob("*") if p.is_file())
HOOKS = sorted((ROOT / "hooks").glob("*.py"))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT)).removeprefix(f"{SCAFFOLD.name}/")


@pytest.mark.parametrize("path", [path for path in TEMPLATES if "__pycache__" not in path.parts], ids=short)
def test_a_template_file_is_utf8_with_unix_lines_and_valid_jinja(path: Path) -> None:
    data = path.read_bytes()
    assert b"\r" not in data
    assert data == b"" or data.endswith(b"\n")
    environment = StrictEnvironment(context={"cookiecutter": SETTINGS})
    environment.compile(data.decode("utf-8"), name=path.name)
    environment.compile(str(path.relative_to(ROOT)), name="path")


@pytest.mark.parametrize("path", HOOKS, ids=short)
def test_a_hook_is_ascii_and_valid_python_before_it_is_rendered(path: Path) -> None:
    source = path.read_bytes()
    assert source.isascii()
    tree = ast.parse(source)
    (main,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    assert ast.unparse(main.returns or ast.Constant(None)) == "int"
    assert source.count(b"{{ ") == 1  # values come in through one constant


def test_every_question_and_every_choice_is_asked_in_plain_words() -> None:
    prompts = SETTINGS["__prompts__"]
    assert prompts.keys() == ANSWERS.keys()
    assert len(ANSWERS) <= 14
    for name, choices in CHOICES.items():
        assert list(prompts[name]) == ["__prompt__", *choices]
    for name, prompt in prompts.items():
        question = prompt["__prompt__"] if name in CHOICES else prompt
        assert " " in question, f"{name}: ask a question"
        labels = prompt.values() if name in CHOICES else [prompt]
        assert all("_" not in label and "[" not in label for label in labels), name  # rich reads [x] as a style


def test_every_picture_of_the_readme_is_there_and_small() -> None:
    pictures = re.findall(r'(?:src|srcset)="([^"]+\.png)"', (ROOT / "README.md").read_text(encoding="utf-8"))
    assert sorted(pictures) == sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/screenshots/*"))
    for picture in pictures:
        data = (ROOT / picture).read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n"), picture
        assert len(data) < 150_000, picture
        assert struct.unpack(">II", data[16:24]) == (1200, 750), picture


def test_choices_are_only_ever_appended() -> None:
    """A project keeps its answers for years; one that is gone would crash its next update."""
    assert set(CHOICES["python_version"]) >= {"3.15", "3.14", "3.13", "3.12", "3.11"}
    assert CHOICES["license"][:4] == ["Proprietary", "MIT", "Apache-2.0", "BSD-3-Clause"]
    assert CHOICES["dependency_manager"][:4] == ["pip-tools", "uv", "poetry", "pipenv"]
    assert CHOICES["ci"][:3] == ["github", "gitlab", "none"]
    assert CHOICES["database"][:3] == ["none", "sqlite", "postgresql"]
    assert CHOICES["background_jobs"][:2] == ["none", "celery"]
    assert CHOICES["error_tracking"][:2] == ["none", "sentry"]


def test_every_python_has_shipped_locks_every_license_a_text_and_every_manager_its_code() -> None:
    pythons = set(CHOICES["python_version"])
    assert {path.stem for path in (ROOT / "locks").glob("3.*.txt")} == pythons
    assert {path.stem for path in (ROOT / "locks").glob("tools-*.txt")} == {f"tools-{python}" for python in pythons}
    managers = {path.stem for path in (ROOT / "templates" / "managers").glob("*.py")}
    assert managers == set(CHOICES["dependency_manager"])
    assert {path.stem for path in (ROOT / "templates" / "licenses").iterdir()} == set(CHOICES["license"])


def test_a_choice_that_the_template_has_nothing_for_is_refused(template: Template, person: Person) -> None:
    """Conditions in the scaffold name each answer: a new one would fit none of them."""
    settings = json.loads((template.path / "cookiecutter.json").read_text(encoding="utf-8"))
    settings = {"cache": ["none", "redis"], **settings}  # a question that nobody has told the template of
    for question in CHOICES:
        settings[question].append("mysql")
        settings["__prompts__"][question]["mysql"] = "MySQL"
    (template.path / "cookiecutter.json").write_text(json.dumps(settings), encoding="utf-8")
    answers = [f"{question}=mysql" for question in CHOICES]
    result = person.run(tool("cookiecutter"), str(template.path), "--no-input", "cache=redis", *answers)
    assert result.returncode == 1
    assert "  cache: the template has nothing for 'redis'; see layercake/files.py." in result.stdout
    for question in CHOICES:
        assert f"  {question}: the template has nothing for 'mysql'; see layercake/files.py." in result.stdout
    assert not list(person.work.iterdir())


def test_no_condition_of_the_scaffold_says_else_of_a_choice() -> None:
    """What is meant for one answer would be taken for every later one."""
    tag = re.compile(r"{%-? *(if|elif|else|endif)\b(.*?)-?%}")
    for path in TEMPLATES:
        open_conditions: list[str] = []
        for kind, condition in tag.findall(path.read_text(encoding="utf-8")):
            if kind == "if":
                open_conditions.append(condition)
            elif kind == "endif":
                open_conditions.pop()
            elif kind == "else":
                assert not re.match(r" *cookiecutter\.\w+ == ", open_conditions[-1]), (
                    f"{short(path)}: {open_conditions[-1]}"
                )


def test_every_file_that_depends_on_an_answer_exists() -> None:
    assert FILES.keys() == OPTIONS.keys()
    for question, files in FILES.items():
        for path, answers in files.items():
            assert (SCAFFOLD / path).exists(), path
            assert set(answers) < set(CHOICES[question]), path


def test_the_list_of_pythons_is_the_same_everywhere() -> None:
    pythons = CHOICES["python_version"]
    listed = ", ".join(pythons[:-1]) + f" or {pythons[-1]}"
    assert f"`python_version` ({listed})" in (ROOT / "README.md").read_text(encoding="utf-8")
    pipeline = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert pipeline["jobs"]["test"]["strategy"]["matrix"]["python"] == pythons
    newest = max(pythons, key=lambda python: int(python.split(".")[1]))
    assert "newest" in SETTINGS["__prompts__"]["python_version"][newest]


def test_the_table_of_options_names_every_answer() -> None:
    table = (ROOT / "README.md").read_text("utf-8").split("<!-- options -->")[1].split("<!-- /options -->")[0]
    for question, answers in CHOICES.items():
        row = "".join(line for line in table.splitlines() if line.startswith(f"| `{question}`:"))
        assert question in ("python_version", "license") or all(name in row for name in answers if name != "none")
        assert question not in OPTIONS or f" | {OPTIONS[question].what} | " in row


def test_what_the_table_of_reliability_names_is_tested() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/reliability.md").read_text(encoding="utf-8")))
    files = [*(ROOT / "tests").rglob("*.py"), *(SCAFFOLD / "tests").rglob("*.py")]
    written = set(re.findall(r"^ *def (test_\w+)", "\n".join(path.read_text("utf-8") for path in files), re.MULTILINE))
    assert len(named) > 10
    assert named <= written
