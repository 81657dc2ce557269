"""Combinations of answers, every two of them together, rendered and parsed: nothing is installed, no image built."""

import itertools
import json
import math
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cookiecutter.main import cookiecutter

from layercake.answers import MAX_NAME, find_problems
from layercake.options import OPTIONS
from tests.conftest import Bake
from tests.locking import module
from tests.support import (
    ANSWERS,
    CHOICES,
    NASTY,
    ROOT,
    SCAFFOLD,
    Project,
    contents,
    once,
    pairs,
    pairwise,
    read_back,
    tool,
)

# The longest and the shortest names: a formatter must be content with both.
TEXTS: dict[str, dict[str, str]] = {
    "plain": {"package_name": "o"},
    "nasty": {**NASTY, "project_slug": "a" * 40, "package_name": "a" * 40},
}
# Options share files; a deployment meets each answer of the others, not each combination: that would be three times as many.
COMBINED = [name for name in OPTIONS if name != "deployment"]
CASES = pairwise({**CHOICES, "text": TEXTS}, whole=COMBINED)
MATRIX = {"-".join(case.values()): {name: case[name] for name in CHOICES} | TEXTS[case["text"]] for case in CASES}
SHOWN_TO_PEOPLE = re.compile(r"\{\{ cs(p_nonce|rf_token)\(\) \}\}")
EXPRESSION_OF_GITHUB = re.compile(r"\$\{\{ ([^{}]|\{\d\})+ \}\}")
TEMPLATES_OF_THE_SERVICE = re.compile(r"/templates/.*\.html$")  # Flask's own Jinja
LAYERS = module(SCAFFOLD / "tools" / "layers.py")
PLACES_FOR_FREE_TEXT = {"LICENSE", "README.md", "pyproject.toml", "about.py", "openapi.json", ".cruft.json"}


@pytest.fixture(scope="session")
def matrix(shared: Path) -> dict[str, Project]:
    """Each combination, rendered once; the name says what was chosen."""

    def make(folder: Path) -> None:
        (folder / "user").mkdir(parents=True)
        user = {"cookiecutters_dir": str(folder / "user"), "replay_dir": str(folder / "user")}
        (folder / "user" / "config").write_text(json.dumps(user), encoding="utf-8")
        for name, answers in MATRIX.items():
            cookiecutter(
                str(ROOT), no_input=True, extra_context=answers, output_dir=str(folder / name),
                config_file=str(folder / "user" / "config"), accept_hooks=False,
            )  # fmt: skip

    folder = once(shared / "matrix", make)
    return {name: Project(next((folder / name).iterdir())) for name in MATRIX}


def files(matrix: dict[str, Project], pattern: str = "*") -> Iterator[tuple[str, Path]]:
    """Yield what to call a file in a message, and its path, for every file that the pattern fits."""
    found = False
    for name, project in matrix.items():
        for path in project.files():
            if path.match(pattern):
                found = True
                yield f"{name}: {path}", project.path / path
    assert found, f"there is no {pattern}"


def test_rendering_twice_gives_the_same_bytes(bake: Bake) -> None:
    first, second = bake(), bake()
    assert first.path != second.path
    assert contents(first.path) == contents(second.path)


def test_the_matrix_is_complete_and_valid(matrix: dict[str, Project]) -> None:
    met = set().union(*map(pairs, CASES))
    factors = {**CHOICES, "text": list(TEXTS)}
    for (a, of_a), (b, of_b) in itertools.combinations(sorted(factors.items()), 2):
        for pair in itertools.product(of_a, of_b):
            assert ((a, pair[0]), (b, pair[1])) in met
    whole = {tuple(case[name] for name in COMBINED) for case in CASES}
    assert len(whole) == math.prod(len(CHOICES[name]) for name in COMBINED)
    defaults = dict.fromkeys(ANSWERS, "orders") | {"author_email": "team@example.com"}
    for name, answers in MATRIX.items():
        assert find_problems(defaults | answers) == [], name
        assert (matrix[name].path / answers["package_name"] / "__init__.py").is_file()


def test_every_file_of_data_can_be_read(matrix: dict[str, Project]) -> None:
    for name, path in files(matrix, "*.toml"):
        assert tomllib.loads(path.read_text(encoding="utf-8")), name
    for _, path in files(matrix, "*.y*ml"):
        list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for project in matrix.values():
        for found in project.path.rglob("*.json"):
            json.loads(found.read_text(encoding="utf-8"))


def test_every_python_file_compiles(matrix: dict[str, Project]) -> None:
    for name, path in files(matrix, "*.py"):
        compile(path.read_bytes(), name, "exec")


def test_linter_and_formatter_find_nothing_to_do(matrix: dict[str, Project]) -> None:
    paths = [project.path for project in matrix.values()]
    for command in (["check"], ["format", "--diff"]):
        result = subprocess.run(
            [tool("ruff"), *command, "--no-cache", *paths], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout[:3000] + result.stderr[:3000]


def test_files_read_as_if_a_person_had_written_them(matrix: dict[str, Project]) -> None:
    for name, path in files(matrix):
        data = path.read_bytes()
        if not data:
            assert path.name in ("py.typed", "__init__.py"), name
            continue
        text = data.decode("utf-8")
        assert "\r" not in text, name
        assert text.endswith("\n"), name
        assert not text.endswith("\n\n"), name
        assert not text.startswith("\n") or path.name == "LICENSE", name  # Apache's own text begins so
        assert not re.search(r"[ \t]+\n", text), name
        assert not re.search(r"\bTODO\b|\bFIXME\b|\bXXX\b", text), name
        text = re.sub(r"(?s)```python\n.*?```", "code", text)
        assert not re.search(
            r"\n\n\n\n" if path.suffix in (".py", ".mako") or path.name == "LICENSE" else r"\n\n\n", text
        ), name


def test_comments_of_the_dockerfile_fit_on_a_line(matrix: dict[str, Project]) -> None:
    for name, path in files(matrix, "Dockerfile"):
        comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        assert max(map(len, [*comments, LAYERS.BEGIN])) <= 120, name


def test_the_readme_leads_to_each_document_and_no_link_leads_nowhere(matrix: dict[str, Project]) -> None:
    for name, project in matrix.items():
        documents = {path.relative_to(project.path).as_posix() for path in (project.path / "docs").glob("*.md")}
        linked = {*re.findall(r"\]\((docs/[^)]+)\)", project.read("README.md"))}
        assert linked == documents, name
        for document in documents:
            beside = re.findall(r"\]\((?!https:)([^)]+)\)", project.read(document))
            assert {f"docs/{place}" for place in beside} <= documents, document


def test_no_template_code_is_left(matrix: dict[str, Project]) -> None:
    for name, path in files(matrix):
        if path.name == ".cruft.json":  # in cruft's words: tests/test_record.py
            continue
        text = path.read_text(encoding="utf-8")
        assert "cookiecutter" not in text, name
        assert "layercake" not in text.lower() or path.name in ("lock.py", "origin.py", "README.md"), name
        if not TEMPLATES_OF_THE_SERVICE.search(path.as_posix()):
            text = SHOWN_TO_PEOPLE.sub("", EXPRESSION_OF_GITHUB.sub("", text))
            assert not re.search(r"\{\{|\{%|\{#|[ -]%\}", text), name


def test_free_text_is_intact_and_only_where_it_is_meant_to_be(matrix: dict[str, Project]) -> None:
    for name, project in matrix.items():
        if not name.endswith("nasty"):
            continue
        assert read_back(project).items() >= NASTY.items(), name
        places = {
            path.name
            for path in project.files()
            if any(mark in project.read(str(path)) for mark in ("שלום", "日本語", "Brien", "x" * 20))
        }
        assert places <= PLACES_FOR_FREE_TEXT, name


def test_the_license_is_the_chosen_one(matrix: dict[str, Project]) -> None:
    first_words = {
        "Proprietary": "Copyright ",
        "MIT": "MIT License\n\nCopyright (c) ",
        "Apache-2.0": "Apache License\n",
        "BSD-3-Clause": "BSD 3-Clause License\n\nCopyright (c) ",
    }
    for name, project in matrix.items():
        chosen = MATRIX[name]["license"]
        text = project.read("LICENSE").lstrip()
        assert text.startswith(first_words[chosen]), name
        owner = NASTY["author_name"] if name.endswith("nasty") else "Flask Service team"
        assert owner in text or chosen == "Apache-2.0", name
        facts = tomllib.loads(project.read("pyproject.toml"))["project"]
        assert facts.get("license") == (None if chosen == "Proprietary" else chosen), name


def test_shipped_locks_are_complete_and_name_no_place(matrix: dict[str, Project]) -> None:
    baselines: dict[str, set[str]] = {}
    for name, project in matrix.items():
        locks = {
            path.name: project.read(f"requirements/{path.name}") for path in project.path.glob("requirements/*.txt")
        }
        assert locks.keys() == {"dev.txt", "prod.txt", "tools.txt"}, name
        for lock, text in locks.items():
            assert not re.search(r"://|^-|file:/|\.local", text, re.MULTILINE), f"{name}: {lock}"
            blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]
            assert blocks, f"{name}: {lock}"
            assert all("--hash=sha256:" in block for block in blocks), f"{name}: {lock}"
            python = MATRIX[name]["python_version"]
            assert re.search(rf"Python {python}\b", text) or lock == "tools.txt", f"{name}: {lock}"
        for asked, listed in asked_for(project, MATRIX[name]["dependency_manager"]).items():
            roots = [re.split(r"[^a-z0-9-]", line)[0] for line in listed]
            assert roots, name
            for root in roots:
                assert re.search(rf"^{root}==", locks[f"{asked}.txt"], re.MULTILINE), f"{name}: {root}"
        text = project.read("requirements/layers/baseline.lock")
        baselines.setdefault(python, set()).add(text)
        assert LAYERS.read_shared(text, "").items() <= LAYERS.parse(locks["prod.txt"], "").items(), name
    assert all(len(texts) == 1 for texts in baselines.values()), "services differ in what all of them have"


def asked_for(project: Project, manager: str) -> dict[str, list[str]]:
    """Return what a project asks for in the files of its dependency manager; those of the others are not there."""
    files = [name for name in MANIFESTS if (project.path / name).exists()]
    assert files == [name for name, managers in MANIFESTS.items() if manager in managers]
    text = {
        name: re.findall(r"^[a-z0-9].*", project.read(f"requirements/{name}.in"), re.MULTILINE)
        for name in ("prod", "dev", "tools")
        if f"requirements/{name}.in" in files
    }
    facts = tomllib.loads(project.read("pyproject.toml"))
    if manager in ("uv", "poetry"):
        return text | {"prod": facts["project"]["dependencies"], "dev": facts["dependency-groups"]["dev"]}
    assert "dependencies" not in facts["project"]
    assert "dependency-groups" not in facts
    if manager == "pipenv":
        pipfile = tomllib.loads(project.read("Pipfile"))
        return text | {"prod": list(pipfile["packages"]), "dev": list(pipfile["dev-packages"])}
    return text


MANIFESTS = {
    "Pipfile": ["pipenv"],
    "requirements/prod.in": ["pip-tools"],
    "requirements/dev.in": ["pip-tools"],
    "requirements/tools.in": CHOICES["dependency_manager"],
}


@pytest.mark.parametrize("database", ["none", "sqlite", "postgresql"])
@pytest.mark.parametrize("others", ["none", "all"])
def test_a_package_of_any_length_is_already_formatted(bake: Bake, tmp_path: Path, database: str, others: str) -> None:
    more = {"background_jobs": "celery", "error_tracking": "sentry"} if others == "all" else {}
    project = bake(package_name="qqqq", database=database, **more)
    for length in range(2, MAX_NAME + 1):
        for path in [*project.path.rglob("*.py"), project.path / "pyproject.toml"]:
            target = tmp_path / str(length) / str(path.relative_to(project.path)).replace("qqqq", "q" * length)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text(encoding="utf-8").replace("qqqq", "q" * length), encoding="utf-8")
    for command in ("check", "format --diff"):
        result = subprocess.run([tool("ruff"), *command.split(), tmp_path], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout[:4000]


def test_only_what_a_dependency_manager_reads_depends_on_it(bake: Bake) -> None:
    first, *others = (contents(bake(dependency_manager=manager).path) for manager in CHOICES["dependency_manager"])
    own = {
        ".cruft.json",
        "pyproject.toml",
        "Pipfile",
        "README.md",
        "docs/github.md",
        "docs/packages.md",
        ".dockerignore",
        "tools/manager.py",
    }
    for other in others:
        differs = {name for name in first.keys() | other.keys() if first.get(name) != other.get(name)}
        assert {name for name in differs if not name.startswith("requirements/")} <= own


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        ("hadolint", "Dockerfile"),
        ("check-jsonschema --builtin-schema vendor.github-workflows", ".github/workflows/*.yml"),
        ("zizmor --offline --quiet", ".github/workflows/*.yml"),
        ("check-jsonschema --builtin-schema vendor.gitlab-ci", ".gitlab-ci.yml"),
        ("check-jsonschema --builtin-schema vendor.dependabot", ".github/dependabot.yml"),
        ("check-jsonschema --builtin-schema vendor.renovate", "renovate.json"),
    ],
)
def test_a_linter_of_its_own_finds_nothing(matrix: dict[str, Project], command: str, pattern: str) -> None:
    different = {path.read_bytes(): path for _, path in files(matrix, pattern)}
    name, *options = command.split()
    result = subprocess.run([tool(name), *options, *different.values()], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.skipif(not shutil.which("docker"), reason="no docker command to read compose.yaml with")
def test_compose_accepts_its_file(matrix: dict[str, Project]) -> None:
    different = {
        project.read("compose.yaml"): (case, project) for case, project in zip(CASES, matrix.values(), strict=True)
    }
    for case, project in different.values():
        result = project.run("docker", "compose", "--profile", "*", "config", "--format", "json")
        brought = [
            service
            for question, option in OPTIONS.items()
            for kind in (option.servers, option.processes)
            for service in kind.get(case[question], ())
        ]
        wanted = {"web", "commands", *brought}
        assert json.loads(result.stdout)["services"].keys() == wanted
