"""`make fresh`: what the template names of others is renewed. git is real; what is on other machines stands here."""

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts import fresh
from scripts.renew_locks import minor
from tests.support import CHOICES, ROOT, SCAFFOLD, Project, Template, git

TODAY = datetime.datetime(2027, 1, 20, tzinfo=datetime.UTC)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Releases of actions/checkout by version: the commit of each. The last one is three days old."""
    repository = tmp_path / "checkout"
    git(tmp_path, "init", "--quiet", str(repository))
    commits = {}
    for version, day in (
        ("6.0.1", "2026-01-01"),
        ("6.10.0", "2027-01-10"),
        ("6.9.0", "2027-01-09"),
        ("7.0.0", "2027-01-17"),
    ):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"{day}T00:00:00Z")
        git(repository, "commit", "--quiet", "--allow-empty", "--message", version)
        git(repository, "tag", "--annotate", f"v{version}", "--message", version)
        commits[version] = git(repository, "rev-parse", "HEAD").strip()
    git(repository, "tag", "v6")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/actions/")
    return commits


def workflow(folder: Path, *uses: str) -> Path:
    """Write a workflow; return its place."""
    file = folder / ".github" / "workflows" / "ci.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"- uses: {use}\n" for use in uses), encoding="utf-8")
    return file


def test_actions_are_pinned_to_the_newest_release_that_is_a_week_old(tmp_path: Path, checkout: dict[str, str]) -> None:
    old = f"actions/checkout@{'0' * 40} # v6.0.1"
    files = [workflow(tmp_path, old, "./local"), workflow(tmp_path / SCAFFOLD.name, old)]
    assert fresh.renew_actions(tmp_path, TODAY) == ["actions/checkout 6.0.1 to 6.10.0"]
    for file in files:
        assert f"- uses: actions/checkout@{checkout['6.10.0']} # v6.10.0\n" in file.read_text(encoding="utf-8")
    assert fresh.renew_actions(tmp_path, TODAY) == []
    assert fresh.renew_actions(tmp_path, TODAY + fresh.COOLDOWN) == ["actions/checkout 6.10.0 to 7.0.0"]


def test_an_action_that_cannot_be_asked_for_is_named(tmp_path: Path, checkout: dict[str, str]) -> None:
    workflow(tmp_path, f"actions/nowhere@{'0' * 40} # v1.0.0")
    with pytest.raises(fresh.FreshError, match="git ls-remote --tags failed"):
        fresh.renew_actions(tmp_path, TODAY)


def test_every_action_of_the_template_is_found() -> None:
    files = [path for folder in (ROOT, SCAFFOLD) for path in (folder / ".github" / "workflows").glob("*.yml")]
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert len(fresh.USES.findall(text)) == text.count("uses: ") > 0, file


def test_digests_are_renewed_and_newer_major_images_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {"python:3.14-slim": f"sha256:{'b' * 64}", "postgres:18": f"sha256:{'c' * 64}"}
    monkeypatch.setattr(fresh, "digest_of", lambda image: digests.get(image, ""))
    scaffold = tmp_path / SCAFFOLD.name
    scaffold.mkdir()
    (scaffold / "Dockerfile").write_text(
        f"FROM python:3.14-slim@sha256:{'a' * 64} AS python\nFROM base AS x\n", encoding="utf-8"
    )
    compose = "services:\n  database:\n    image: postgres:17\n  redis:\n    image: redis:8\n"
    (scaffold / "compose.yaml").write_text(compose, encoding="utf-8")
    assert fresh.renew_images(tmp_path) == [
        "postgres:18 is out, and 17 is named: see what it needs, and change it by hand",
        "python:3.14-slim is sha256:bbbbbbbbbbbb... now",
    ]
    assert f"python:3.14-slim@sha256:{'b' * 64} AS python" in (scaffold / "Dockerfile").read_text(encoding="utf-8")
    assert (scaffold / "compose.yaml").read_text(encoding="utf-8") == compose


def test_a_python_that_has_come_out_is_a_choice_and_one_that_ends_is_named(template: Template) -> None:
    def known(*versions: str) -> str:
        entries = [(version, int(version.split(".")[1])) for version in versions]
        return json.dumps(
            [
                {"version": text, "version_parts": {"minor": number}, "implementation": "cpython"}
                for text, number in entries
            ]
        )

    newest = max(CHOICES["python_version"], key=minor)
    next_one = f"3.{minor(newest) + 1}"
    assert fresh.renew_pythons(template.path, TODAY, known(f"{newest}.0", f"{next_one}.0a1")) == []
    assert git(template.path, "status", "--porcelain") == ""
    told = fresh.renew_pythons(
        template.path, datetime.datetime(2027, 5, 1, tzinfo=datetime.UTC), known(f"{next_one}.0")
    )
    assert told == [
        f"Python {next_one} is a choice",
        "support of Python 3.11 ends in October 2027: say so in its prompt",
    ]
    questions = json.loads((template.path / "cookiecutter.json").read_text(encoding="utf-8"))
    assert questions["python_version"] == [*CHOICES["python_version"], next_one]
    assert list(questions["__prompts__"]["python_version"])[1:] == questions["python_version"]
    ci = yaml.safe_load((template.path / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert ci["jobs"]["test"]["strategy"]["matrix"]["python"] == questions["python_version"]
    assert f"3.11 or {next_one})" in (template.path / "README.md").read_text(encoding="utf-8")


def test_uv_says_which_pythons_there_are() -> None:
    assert fresh.renew_pythons(ROOT, datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)) == []


def test_the_entry_of_another_day_is_replaced() -> None:
    text = "# C\n\n## Unreleased\n\n- Mine.\n\n## 1.0.0 - 2026-11-28\n\n- All.\n"
    once = fresh.with_entry(text, fresh.ENTRY.format("2027-01-01"))
    assert "\n- Mine.\n- Packages, actions and images are those of 2027-01-01.\n\n## 1.0.0" in once
    assert fresh.with_entry(once, fresh.ENTRY.format("2027-01-08")) == once.replace("2027-01-01", "2027-01-08")


@pytest.mark.parametrize("token", ["", "t2"])
def test_what_was_renewed_becomes_one_pull_request_whose_checks_run(
    template: Template, tmp_path: Path, token: str
) -> None:
    """git is real, `gh` is not. Only a token that may change workflows gets them."""
    remote, told = tmp_path / "remote.git", tmp_path / "told"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    (tmp_path / "bin").mkdir()
    gh = f'#!/bin/sh\ncase "$1 $2" in "pr list") ;; *) echo "$@" >>{told} ;; esac\n'
    (tmp_path / "bin" / "gh").write_text(gh, encoding="utf-8")
    (tmp_path / "bin" / "gh").chmod(0o755)
    steps = yaml.safe_load((ROOT / ".github/workflows/renew.yml").read_text(encoding="utf-8"))["jobs"]["fresh"]["steps"]
    env = {
        "PATH": f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path), "GH_TOKEN": "t1",
        "RENEW_TOKEN": token, "GITHUB_REPOSITORY": "o/r", "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{remote}.insteadOf",
        "GIT_CONFIG_VALUE_0": f"https://x-access-token:{token or 't1'}@github.com/o/r",
    }  # fmt: skip
    (tmp_path / "fresh.log").write_text("resolving ...\n- actions/checkout 6.0.1 to 6.10.0\n", encoding="utf-8")
    given = [f"{name}={value}" for name, value in env.items()]
    publish = ("env", *given, "bash", "-eo", "pipefail", "-c", steps[-1]["run"])
    Project(template.path).run(*publish)
    assert not told.exists()  # nothing has changed
    for path in (".github/workflows/ci.yml", f"{SCAFFOLD.name}/.github/workflows/ci.yml", "CHANGELOG.md"):
        with (template.path / path).open("a", encoding="utf-8") as file:
            file.write("# newer\n")
    Project(template.path).run(*publish)
    changed = git(remote, "diff", "--name-only", "renew~1", "renew").split()
    assert changed == [
        *([".github/workflows/ci.yml"] if token else []),
        "CHANGELOG.md",
        f"{SCAFFOLD.name}/.github/workflows/ci.yml",
    ]
    assert "workflow run ci.yml --ref renew" in told.read_text(encoding="utf-8")
    assert (tmp_path / "changes.md").read_text(encoding="utf-8").startswith("- actions/checkout 6.0.1 to 6.10.0\n")


@pytest.mark.parametrize(("age", "asked"), [(29, "compile"), (400, "upgrade")])
@pytest.mark.parametrize("mode", ["auto", "require", "skip"])
def test_old_locks_move_to_the_newest_and_what_is_kept_tells_its_age(
    tmp_path: Path, template: Template, age: int, asked: str, mode: str
) -> None:
    made = datetime.date.today() - datetime.timedelta(days=age)
    (template.path / "locks" / "made-on.txt").write_text(f"{made}\n", encoding="utf-8")
    stand_in = "import os, sys\nprint('asked for', *sys.argv[1:], flush=True)\nsys.exit(os.environ['LAYERCAKE_LOCK'] != 'skip')\n"
    (template.path / SCAFFOLD.name / "tools" / "lock.py").write_text(stand_in, encoding="utf-8")
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "-o", str(tmp_path), str(template.path)]
    env = {**os.environ, "LAYERCAKE_LOCK": mode, "HOME": str(tmp_path)}
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert f"asked for {'compile' if mode == 'skip' else asked} rebaseline\n" in result.stdout, result.stdout
    assert (result.returncode == 0) is (mode != "require")
    told = f"the template ships, {age} days old: `make upgrade` moves them to the newest releases."
    assert (told in result.stdout) is (mode != "require")
