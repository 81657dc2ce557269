"""The ways people generate: from a URL, in a terminal, through uvx and pipx, again, over, without a network."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from layercake.files import FILES, PACKAGE
from tests.support import (
    ANSWERS,
    CHOICES,
    HERE,
    LARGE,
    NASTY,
    ROOT,
    SCAFFOLD,
    Person,
    Template,
    Terminal,
    contents,
    git,
    has_image,
    tool,
)

NO_INDEX = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
TYPED = {
    "project_name": "Order Desk",
    "project_slug": "orders",
    "package_name": "order_desk",
    "description": 'Takes "orders" & more 🚀',
    "author_name": "Ana Ö",
    "author_email": "ana@example.com",
    "python_version": "3.12",
    "license": "BSD-3-Clause",
    "dependency_manager": "uv",
    "ci": "gitlab",
    "database": "sqlite",
    "background_jobs": "celery",
    "error_tracking": "sentry",
    "deployment": "compose",
}


@pytest.fixture
def expected(person: Person) -> dict[str, bytes]:
    """What a bare `--no-input` gives, for the Python at hand, with the locks that the template ships."""
    result = person.cookiecutter("--no-input", "-o", "../expected", f"python_version={HERE}")
    assert result.returncode == 0, result.stdout
    return contents(person.root / "expected" / "flask-service")


def rendered(project: Path) -> dict[str, bytes]:
    """Return the files of a project without what locking keeps in .cache."""
    return {name: data for name, data in contents(project).items() if not name.startswith(".cache/")}


def test_from_a_git_url(person: Person, template: Template, expected: dict[str, bytes]) -> None:
    result = person.run(tool("cookiecutter"), template.url, "--no-input", f"python_version={HERE}")
    assert result.returncode == 0, result.stdout
    assert "cd flask-service" in result.stdout
    made = contents(person.work / "flask-service")
    assert {name for name in made.keys() | expected.keys() if made.get(name) != expected.get(name)} == {".cruft.json"}


def test_the_prompts_are_for_people_and_the_answers_arrive(person: Person) -> None:
    prompts = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["__prompts__"]
    terminal = Terminal(person, tool("cookiecutter"), ROOT)
    for name, answer in TYPED.items():
        if name in CHOICES:
            for label in prompts[name].values():
                terminal.wait_for(label)
        terminal.wait_for("Choose from" if name in CHOICES else prompts[name])
        terminal.wait_for("): ")
        terminal.type(f"{CHOICES[name].index(answer) + 1 if name in CHOICES else answer}\n")
    assert terminal.end() == 0, terminal.seen
    assert not re.search(r"project_slug|__|Select ", terminal.seen)
    result = person.cookiecutter("--no-input", "-o", "../named", *(f"{name}={text}" for name, text in TYPED.items()))
    assert result.returncode == 0, result.stdout
    assert contents(person.work) == contents(person.root / "named")


def test_pressing_enter_throughout_gives_the_defaults(person: Person) -> None:
    terminal = Terminal(person, tool("cookiecutter"), ROOT)
    for _ in ANSWERS:
        terminal.wait_for("): ")
        terminal.type("\n")
    assert terminal.end() == 0, terminal.seen
    assert person.cookiecutter("--no-input", "-o", "../bare").returncode == 0
    assert contents(person.work) == contents(person.root / "bare")


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["uvx", "pipx"])
def test_where_cookiecutter_has_no_pip_the_locks_are_still_compiled(person: Person, runner: str) -> None:
    exact = f"cookiecutter=={version('cookiecutter')}"
    command = {
        "uvx": [tool("uv"), "tool", "run", "--from", exact, "cookiecutter"],
        "pipx": [tool("pipx"), "run", "--spec", exact, "cookiecutter"],
    }[runner]
    python = sys.executable
    own = {"UV_PYTHON": python, "PIPX_DEFAULT_PYTHON": python, "LAYERCAKE_LOCK": "require"}
    result = person.run(*command, ROOT, "--no-input", f"python_version={HERE}", **own)
    assert result.returncode == 0, result.stdout
    for name in ("prod", "dev"):
        assert f"resolving {name}.in" in result.stdout
        assert "--hash=sha256:" in (person.work / "flask-service/requirements" / f"{name}.txt").read_text("utf-8")


def test_a_replay_gives_the_same_bytes(person: Person) -> None:
    answers = (f"{name}={text}" for name, text in (NASTY | {"license": "MIT", "python_version": "3.11"}).items())
    assert person.cookiecutter("--no-input", "-o", "first", *answers).returncode == 0
    result = person.cookiecutter("--replay", "-o", "second")
    assert result.returncode == 0, result.stdout
    assert contents(person.work / "first") == contents(person.work / "second")


@pytest.mark.parametrize("hooks", ["yes", "no"])
@pytest.mark.parametrize(
    ("question", "answer"), [("project_slug", "../x"), ("project_slug", "../a/b/c"), ("python_version", "2.7")]
)
def test_a_replay_of_bad_answers_is_refused_before_anything_exists(
    person: Person, question: str, answer: str, hooks: str
) -> None:
    assert person.cookiecutter("--no-input", "-o", "../first").returncode == 0
    (replay,) = (person.root / "home" / ".cookiecutter_replay").iterdir()
    stored = json.loads(replay.read_text(encoding="utf-8"))
    stored["cookiecutter"][question] = answer
    replay.write_text(json.dumps(stored), encoding="utf-8")
    before = person.everything()
    result = person.cookiecutter("--replay", "--accept-hooks", hooks)
    assert result.returncode == 1
    assert result.stdout.startswith(f"Nothing was generated. Please change:\n  {question}: {answer!r} ")
    assert len(result.stdout.splitlines()) == 2
    assert person.everything() == before


def test_without_hooks_the_project_is_whole_but_for_the_layers_of_large_packages(
    person: Person, expected: dict[str, bytes]
) -> None:
    result = person.cookiecutter("--no-input", "--accept-hooks", "no", f"python_version={HERE}")
    assert result.returncode == 0, result.stdout
    without = contents(person.work / "flask-service")
    layered = {name for name in expected if name.startswith("requirements/layers/")} | {"Dockerfile"}
    same = expected.keys() - layered
    assert {name: without[name] for name in same} == {name: expected[name] for name in same}
    assert expected.keys() >= without.keys()
    assert layered - without.keys() == {f"requirements/layers/{name}.lock" for name in LARGE}
    dockerfile = without["Dockerfile"].decode()
    assert "package-" not in dockerfile
    bound = re.findall(r"type=bind,source=([\w./]+)", dockerfile)
    copied = re.findall(r"^COPY (?!.*--from)(?:--\S+ )*(.+) \S+$", dockerfile, re.MULTILINE)
    needed = [*bound, *" ".join(copied).split()]
    assert len(needed) > 10
    for path in (path for path in needed if "*" not in path):
        assert (person.work / "flask-service" / path).exists(), path


@pytest.mark.docker
def test_without_hooks_the_image_still_builds(person: Person) -> None:
    python = next(python for python in CHOICES["python_version"] if has_image(python))
    result = person.cookiecutter("--no-input", "--accept-hooks", "no", f"python_version={python}")
    assert result.returncode == 0, result.stdout
    tag = "generate-without-hooks"
    # The engine's own settings are the user's, so HOME stays.
    built = subprocess.run(
        ["docker", "build", "--quiet", "--tag", tag, person.work / "flask-service"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout
    subprocess.run(["docker", "image", "rm", tag], capture_output=True, check=True)


def test_a_second_run_over_an_existing_folder_is_refused(person: Person) -> None:
    assert person.cookiecutter("--no-input").returncode == 0
    (person.work / "flask-service" / "README.md").write_text("mine", encoding="utf-8")
    before = contents(person.work)
    result = person.cookiecutter("--no-input")
    assert result.returncode == 1
    (line,) = result.stdout.splitlines()
    assert "already exists" in line
    assert contents(person.work) == before


def test_force_writes_over_and_skip_only_adds(person: Person, expected: dict[str, bytes]) -> None:
    project = person.work / "flask-service"
    assert person.cookiecutter("--no-input", f"python_version={HERE}").returncode == 0
    (project / "Makefile").unlink()
    own = contents(project)
    for name in own:
        own[name] += b"# mine\n"
        (project / name).write_bytes(own[name])
    with (project / "requirements" / "prod.txt").open("a", encoding="utf-8") as lock:
        lock.write("zope-interface==7.2\n")
    own["requirements/prod.txt"] += b"zope-interface==7.2\n"

    added = person.cookiecutter(
        "--no-input", "--overwrite-if-exists", "--skip-if-file-exists", f"python_version={HERE}"
    )
    assert added.returncode == 0, added.stdout
    assert contents(project) == {**own, "Makefile": expected["Makefile"]}

    forced = person.cookiecutter("--no-input", "--overwrite-if-exists", f"python_version={HERE}")
    assert forced.returncode == 0, forced.stdout
    assert contents(project) == expected


@pytest.mark.parametrize("options", [["--skip-if-file-exists"], []], ids=["keep", "write over"])
def test_what_people_have_where_other_answers_bring_a_file_stays(person: Person, options: list[str]) -> None:
    project = person.work / "flask-service"
    own = {}
    for path in SCAFFOLD.rglob("*"):
        name = path.relative_to(SCAFFOLD).as_posix()
        if path.is_file() and any(Path(name).is_relative_to(place) for places in FILES.values() for place in places):
            own[name.replace(PACKAGE, "flask_service")] = f"of the team: {name}\n".encode()
    mine = project / "flask_service/migrations/mine"  # an empty folder
    mine.mkdir(parents=True)
    for name, data in own.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(data)
    answers = ("ci=none", "dependency_manager=uv", f"python_version={HERE}")
    result = person.cookiecutter("--no-input", "--overwrite-if-exists", *options, *answers)
    assert result.returncode == 0, result.stdout
    assert {name: data for name, data in contents(project).items() if name in own} == own
    assert mine.is_dir()


@pytest.mark.parametrize(
    "name", ["README.md", ".cruft.json", "requirements", "flask_service/static/style.css", ".github"]
)
def test_nothing_is_written_through_a_link(person: Person, name: str) -> None:
    project, elsewhere = person.work / "flask-service", person.root / "elsewhere"
    (project / name).parent.mkdir(parents=True)
    elsewhere.mkdir()
    (project / name).symlink_to(elsewhere)
    before = sorted(project.rglob("*"))
    result = person.cookiecutter("--no-input", "--overwrite-if-exists", "ci=none")
    assert result.returncode == 1
    assert f"Nothing was generated: {name} would be written through a link; remove it." in result.stdout
    assert sorted(project.rglob("*")) == before
    assert list(elsewhere.iterdir()) == []


def configure(person: Person, **default_context: object) -> None:
    rc = person.root / "home" / ".cookiecutterrc"
    rc.write_text(yaml.safe_dump({"default_context": default_context}, allow_unicode=True), encoding="utf-8")


def test_answers_from_the_users_configuration_are_defaults(person: Person) -> None:
    configure(person, author_name="Ana Ö", project_slug="order-desk-api", nickname="unknown to us", license="MIT",
              python_version="3.12")  # fmt: skip
    result = person.cookiecutter("--no-input", "project_name=Order Desk")
    assert result.returncode == 0, result.stdout
    project = person.work / "order-desk-api"
    assert 'name = "Ana Ö"' in (project / "pyproject.toml").read_text("utf-8")
    assert "MIT License" in (project / "LICENSE").read_text("utf-8")
    assert "FROM python:3.12-slim" in (project / "Dockerfile").read_text("utf-8")
    assert "nickname" not in (person.root / "home" / ".cookiecutter_replay" / f"{ROOT.name}.json").read_text("utf-8")


def test_an_expression_in_the_users_configuration_is_text_like_any_answer(person: Person) -> None:
    configure(person, project_slug="{{ cookiecutter.project_name | lower }}-api")
    result = person.cookiecutter("--no-input")
    assert result.returncode == 1
    assert "  project_slug: '{{ cookiecutter.project_name | lower }}-api' must be words " in result.stdout


def test_a_choice_in_the_configuration_that_is_none_is_only_a_warning(person: Person) -> None:
    configure(person, license="WTFPL")
    result = person.cookiecutter("--no-input")
    assert result.returncode == 0, result.stdout
    assert "WTFPL provided for choice variable license" in result.stdout
    assert (person.work / "flask-service" / "LICENSE").read_text("utf-8").startswith("Copyright Flask Service team")


@pytest.mark.parametrize(
    ("answers", "problems"),
    [
        ({"author_name": "a {{ b"}, ["author_name: contains {{"]),
        ({"author_email": 42, "description": None}, ["description: None is not text", "author_email: '42' is not"]),
        ({"project_name": True}, ["project_name: True is not text"]),
    ],
)
def test_a_bad_value_in_the_configuration_is_refused(
    person: Person, answers: dict[str, object], problems: list[str]
) -> None:
    configure(person, **answers)
    before = person.everything()
    result = person.cookiecutter("--no-input")
    assert result.returncode == 1
    lines = result.stdout.splitlines()[1:]
    assert len(lines) == len(problems), result.stdout
    assert all(line.strip().startswith(problem) for line, problem in zip(lines, problems, strict=True)), lines
    assert person.everything() == before


@pytest.mark.parametrize("folders", [("one", "one"), ("one", "two")], ids=["same folder", "two folders"])
def test_two_at_once(person: Person, expected: dict[str, bytes], folders: tuple[str, str]) -> None:
    command = [tool("cookiecutter"), str(ROOT), "--no-input", f"python_version={HERE}", "-o"]
    runs = [
        subprocess.Popen([*command, folder], cwd=person.work, env=person.environment(), stdout=subprocess.DEVNULL)
        for folder in folders
    ]
    codes = [run.wait(timeout=120) for run in runs]
    assert 0 in codes
    assert codes == [0, 0] or folders == ("one", "one")  # the later one may find the folder there, and says so
    for folder in folders:
        assert contents(person.work / folder / "flask-service") == expected


def test_without_a_network_the_shipped_locks_stay_and_one_warning_says_so(
    person: Person, expected: dict[str, bytes]
) -> None:
    result = person.cookiecutter("--no-input", f"python_version={HERE}", **NO_INDEX, LAYERCAKE_LOCK="auto")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("WARNING: the locks are those that the template ships") == 1
    assert "cd flask-service" in result.stdout
    assert rendered(person.work / "flask-service") == expected


def test_without_a_network_require_is_a_failure(person: Person) -> None:
    result = person.cookiecutter("--no-input", f"python_version={HERE}", **NO_INDEX, LAYERCAKE_LOCK="require")
    assert result.returncode == 1
    assert "LAYERCAKE_LOCK=require: the locks could not be compiled" in result.stdout


def test_an_unknown_mode_of_locking_is_a_failure(person: Person) -> None:
    result = person.cookiecutter("--no-input", LAYERCAKE_LOCK="required")
    assert result.returncode == 1
    assert "LAYERCAKE_LOCK is 'required'; use auto, skip or require." in result.stdout
    assert list(person.work.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("step", ["making a venv", "installing pip-tools", "resolving prod.in"])
def test_ctrl_c_while_it_locks_leaves_everything_whole(person: Person, expected: dict[str, bytes], step: str) -> None:
    command = (tool("cookiecutter"), ROOT, "--no-input", f"python_version={HERE}")
    terminal = Terminal(person, *command, LAYERCAKE_LOCK="auto")
    terminal.wait_for(step)
    terminal.type("\x03")
    terminal.wait_for("every lock is as it was")
    terminal.wait_for("make run")  # the last words of the hook
    assert terminal.end() == 1
    assert "Aborted!" in terminal.seen
    assert "Traceback" not in terminal.seen, terminal.seen
    project = person.work / "flask-service"
    assert rendered(project) == expected
    assert not [path for path in (project / ".cache").iterdir() if not re.fullmatch(r"tools-[0-9a-f]{12}", path.name)]
    if step.startswith("resolving"):
        again = person.run(sys.executable, project / "tools" / "lock.py", "compile", LAYERCAKE_LOCK="require")
        assert again.returncode == 0, again.stdout
        assert "pip-tools" not in again.stdout  # what was installed before is good, and used


def test_a_disk_that_fills_up_while_it_locks_leaves_everything_whole(
    person: Person, small_disk: Path, expected: dict[str, bytes]
) -> None:
    result = person.cookiecutter("--no-input", "-o", small_disk, f"python_version={HERE}", LAYERCAKE_LOCK="auto")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count("WARNING: the locks are those that the template ships") == 1
    assert "Traceback" not in result.stdout
    assert rendered(small_disk / "flask-service") == expected


def test_a_folder_that_cannot_be_written_is_a_failure_that_leaves_nothing(person: Person, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    result = person.cookiecutter("--no-input", "-o", small_disk)
    assert result.returncode == 1
    assert "flask-service" in result.stdout
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize(
    ("python", "programs", "words"),
    [
        (HERE, {f"python{HERE}": 0}, "Next:\n\n  cd flask-service\n  make setup test\n  make run\n"),
        (HERE, {}, f"Next:\n\n  cd flask-service\n  make setup test PYTHON={sys.executable}\n  make run\n"),
        (
            "3.15",
            {"docker": 0},
            "Next (there is no Python 3.15 here, so in Docker):\n\n  cd flask-service\n  make up\n",
        ),
        (
            "3.15",
            {"docker": 1},
            "Next, install Python 3.15 or Docker; then:\n\n  cd flask-service\n  make setup test\n",
        ),
    ],
    ids=["on PATH", "elsewhere", "Docker", "neither"],
)
def test_the_last_words_are_for_this_machine(
    person: Person, tmp_path: Path, python: str, programs: dict[str, int], words: str
) -> None:
    for name in (f"python{python}", "python3", "python", "docker", "git"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nexit {programs.get(name, 1)}\n", encoding="utf-8")
        program.chmod(0o755)
    settings = {"LAYERCAKE_LOCK": "skip", "PATH": f"{tmp_path}:/bin"}
    result = person.cookiecutter("--no-input", f"python_version={python}", **settings)
    assert f"\nYour service is ready. {words}" in result.stdout


@pytest.mark.parametrize(
    ("database", "background_jobs", "servers"),
    [("sqlite", "none", ""), ("postgresql", "none", " database"), ("none", "celery", " redis"), ("postgresql", "celery", " database redis")],
)  # fmt: skip
def test_the_last_words_start_the_servers_first(
    person: Person, database: str, background_jobs: str, servers: str
) -> None:
    answers = (f"python_version={HERE}", f"database={database}", f"background_jobs={background_jobs}")
    said = person.cookiecutter("--no-input", *answers, LAYERCAKE_LOCK="skip").stdout
    start = f"  docker compose up --detach --wait{servers}\n" if servers else ""
    assert f"\n  cd flask-service\n  git init\n{start}  make setup test" in said


def test_the_last_words_make_no_repository_inside_of_one(person: Person) -> None:
    git(person.work, "init", "--quiet")
    said = person.cookiecutter("--no-input", f"python_version={HERE}", LAYERCAKE_LOCK="skip").stdout
    assert "\n  cd flask-service\n  make setup test" in said
