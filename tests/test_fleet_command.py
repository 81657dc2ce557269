"""`layercake fleet` on real repositories. `gh` and `glab` are not real: what they are told is looked at."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from layercake.fleet import table
from tests.support import ROOT, SCAFFOLD, Person, Project, Template, Terminal, git, tool

ENGINES = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six: two clean ones, one in conflict, one up to date, and two that are broken. And a folder that is none."""
    root = tmp_path_factory.mktemp("made")
    template, folder = Template.at(root / "layercake"), root / "fleet"
    git(template.path, "tag", "v1.0.0")
    for name, ci in (("clean", "github"), ("conflict", "none"), ("merge", "gitlab")):
        make(template, folder, name, ci)
    with (folder / "conflict" / "Makefile").open("a", encoding="utf-8") as makefile:
        makefile.write("\n# Ours.\n")
    git(folder / "conflict", "commit", "--quiet", "--all", "--message", "ours")
    with (template.path / SCAFFOLD.name / "Makefile").open("a", encoding="utf-8") as makefile:
        makefile.write("\n# Theirs.\n")
    changelog = template.path / "CHANGELOG.md"
    told = "## Unreleased\n\n- The Makefile ends otherwise.\n"
    changelog.write_text(changelog.read_text(encoding="utf-8").replace("## Unreleased\n", told, 1), encoding="utf-8")
    locks = template.path / "locks" / "3.14.txt"
    locks.write_text(re.sub(r"(?m)^click==\S+", "click==99.0", locks.read_text(encoding="utf-8")), encoding="utf-8")
    template.commit("version 2")
    git(template.path, "tag", "v1.1.0")
    make(template, folder, "same", "none")
    git(folder, "init", "--quiet", "broken")
    make(template, folder, "unread", "none")
    (folder / "unread" / ".cruft.json").write_text("[]\n", encoding="utf-8")
    git(folder / "unread", "commit", "--quiet", "--all", "--message", "cut")
    (folder / "notes").mkdir()
    return folder


@pytest.fixture
def fleet(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and somebody who commits."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "team")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "team@example.com")
    return Path(shutil.copytree(made, tmp_path / "fleet", symlinks=True))


def make(template: Template, folder: Path, name: str, ci: str) -> None:
    """Make a service, as its first commit."""
    answers = [f"project_name={name}", f"ci={ci}", "python_version=3.14"]
    command = [tool("cookiecutter"), "--no-input", "-o", str(folder), str(template.path), *answers]
    env = {**os.environ, "HOME": str(folder.parent), "LAYERCAKE_LOCK": "skip"}
    subprocess.run(command, env=env, check=True, capture_output=True)
    git(folder / name, "init", "--quiet", "--initial-branch", "main")
    git(folder / name, "add", "--all")
    git(folder / name, "commit", "--quiet", "--message", "made")


def run(place: Path, *arguments: str | Path, **env: str) -> tuple[int, str]:
    """Run the command; return its exit status, and what it prints on standard output."""
    command = [sys.executable, "-P", "-m", "layercake", "fleet", place, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return result.returncode, result.stdout


def rows(output: str) -> dict[str, dict[str, Any]]:
    return {Path(row["repository"]).name: row for row in json.loads(output)}


def test_each_repository_tells_what_an_update_would_do_and_nothing_is_changed(fleet: Path) -> None:
    before = {
        path.name: git(path, "rev-parse", "HEAD") for path in fleet.iterdir() if path.name not in ("broken", "notes")
    }
    status, output = run(fleet, "--json", "--jobs", "2")
    found = rows(output)
    assert {name: row["update"] for name, row in found.items()} == {
        "broken": "broken", "clean": "clean", "conflict": "conflicts", "merge": "clean", "same": "nothing",
        "unread": "broken",
    }  # fmt: skip
    assert status == 1  # two are broken, and stopped nothing
    assert found["broken"]["error"].startswith(f"{fleet / 'broken'} has no .cruft.json")
    assert found["unread"]["error"].startswith(f"{fleet / 'unread' / '.cruft.json'} cannot be read")
    assert all("`layercake link`" in found[name]["error"] for name in ("broken", "unread"))
    assert (found["clean"]["release"], found["clean"]["to"]) == ("v1.0.0", "v1.1.0")
    assert found["clean"]["files"] == found["conflict"]["files"] == ["Makefile"]
    assert (found["clean"]["behind"], found["same"]["behind"]) == (1, 0)
    assert found["clean"]["locked"] == git(fleet / "clean", "log", "-1", "--format=%cs").strip()
    for name, head in before.items():
        assert git(fleet / name, "rev-parse", "HEAD") == head
        assert git(fleet / name, "branch", "--list", "--format=%(refname:short)").split() == ["main"]
        assert git(fleet / name, "status", "--porcelain") == ""


def test_what_is_installed_above_the_layers_is_told(fleet: Path) -> None:
    lock = fleet / "clean" / "requirements" / "prod.txt"
    small = r"(?m)^(click|flask|jinja2|markupsafe|werkzeug|gunicorn|apiflask|opentelemetry-[a-z-]+|protobuf)==\S+"
    lock.write_text(re.sub(small, r"\1==98.0", lock.read_text(encoding="utf-8")), encoding="utf-8")
    git(fleet / "clean", "commit", "--quiet", "--all", "--message", "moved")
    places = fleet / "list.txt"
    places.write_text(f"# ours\n{fleet / 'clean'}\nfile://{fleet / 'same'} # this one by URL\n", encoding="utf-8")
    status, output = run(places, "--json")
    moved, same = rows(output).values()
    assert status == 0
    assert (moved["overgrown"], same["overgrown"]) == (True, False)
    assert moved["changed"] > 0.4 > same["changed"] == 0
    assert moved["pushes_mb"] > 1 > same["pushes_mb"] == 0
    text = table(json.loads(output))
    assert re.search(r"(?m)^clean +v1\.0\.0 +clean +1 +\S+ +\d+ +\d+% ! +\d+\.\d$", text), text
    assert text.endswith("2 repositories: 1 clean, 1 nothing")


def test_clean_updates_become_branches_and_work_on_them_is_kept(fleet: Path) -> None:
    run(fleet, "--update")
    for name in ("clean", "merge"):
        service = fleet / name
        assert git(service, "log", "--format=%s", "main..template-v1.1.0") == "Update the template to v1.1.0\n"
        assert git(service, "diff", "--name-only", "main", "template-v1.1.0").split() == [".cruft.json", "Makefile"]
        assert git(service, "status", "--porcelain") == ""
    for name in ("conflict", "same"):
        assert git(fleet / name, "branch", "--list", "template*") == ""
    git(fleet / "clean", "branch", "--force", "template-v1.1.0", "main")  # somebody has pushed something else
    (fleet / "list.txt").write_text(f"{fleet / 'clean'}\n", encoding="utf-8")
    run(fleet / "list.txt", "--update")
    assert git(fleet / "clean", "rev-parse", "template-v1.1.0") == git(fleet / "clean", "rev-parse", "main")


def test_requests_are_opened_by_the_tool_of_the_host(fleet: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name, url in (
        ("gh", "https://github.com/o/clean/pull/1"),
        ("glab", "https://gitlab.com/o/merge/-/merge_requests/1"),
    ):
        text = f'#!/bin/sh\necho {name} "$@" >>{tmp_path}/told\necho {url}\n'
        (tmp_path / "bin" / name).write_text(text, encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("clean", "merge"):  # the host has what the folder has
        git(tmp_path, "clone", "--quiet", "--bare", str(fleet / name), f"{name}.git")
        git(fleet / name, "remote", "add", "origin", str(tmp_path / f"{name}.git"))
    env = {"PATH": f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}"}
    _, output = run(fleet, "--pull-requests", "--json", **env)
    found = rows(output)
    assert found["clean"]["request"] == "https://github.com/o/clean/pull/1"
    assert found["merge"]["request"] == "https://gitlab.com/o/merge/-/merge_requests/1"
    told = (tmp_path / "told").read_text(encoding="utf-8")
    assert "gh pr create --head template-v1.1.0 --title Update the template to v1.1.0 --body" in told
    assert "glab mr create --source-branch template-v1.1.0 --title Update the template to v1.1.0 --description" in told
    assert told.count("The Makefile ends otherwise.") == 2
    for name in ("clean", "merge"):
        assert git(tmp_path / f"{name}.git", "branch", "--list", "template*").split() == ["template-v1.1.0"]


def test_without_the_tool_the_branch_is_there_and_the_row_says_what_to_do(fleet: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(fleet / "clean"), "clean.git")
    git(fleet / "clean", "remote", "add", "origin", str(tmp_path / "clean.git"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(str(shutil.which("git")))
    (fleet / "list.txt").write_text(f"{fleet / 'clean'}\n", encoding="utf-8")
    _, output = run(fleet / "list.txt", "--pull-requests", "--json", PATH=str(tmp_path / "bin"))
    assert rows(output)["clean"]["error"] == "gh is needed for requests; install it and log in. The branch is pushed"
    assert git(tmp_path / "clean.git", "branch", "--list", "template*").split() == ["template-v1.1.0"]


def test_a_run_goes_on_where_another_was_stopped(fleet: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.jsonl"
    told = {"repository": str(fleet / "clean"), "update": "nothing", "release": "from before"}
    known.write_text(f'{json.dumps(told)}\n{{"repository": "cut o', encoding="utf-8")
    _, output = run(fleet, "--json", "--resume", known)
    found = rows(output)
    assert found["clean"]["release"] == "from before"
    assert found["conflict"]["update"] == "conflicts"
    git(fleet / "broken", "pull", "--quiet", str(fleet / "same"), "main")  # mended
    shutil.rmtree(fleet / "same")
    _, output = run(fleet, "--json", "--resume", known)
    found = rows(output)
    assert (found["broken"]["update"], "same" in found) == ("nothing", False)


def test_what_was_only_looked_at_is_updated_by_a_run_that_goes_on(fleet: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.jsonl"
    known.write_text("[]\n3\n{}\n", encoding="utf-8")  # of something else
    (fleet / "list.txt").write_text(f"{fleet / 'clean'}\n", encoding="utf-8")
    for arguments, branches in (((), []), (("--update",), ["template-v1.1.0"])):
        status, _ = run(fleet / "list.txt", "--jobs", "0", "--resume", known, *arguments)
        assert status == 0
        assert git(fleet / "clean", "branch", "--list", "template*").split() == branches
    git(fleet / "clean", "branch", "--quiet", "-D", "template-v1.1.0")
    run(fleet / "list.txt", "--update", "--resume", known)
    assert git(fleet / "clean", "branch", "--list", "template*") == ""  # it is done, and not looked at again


def test_a_host_that_asks_who_is_there_stops_nothing(fleet: Path, person: Person) -> None:
    class Closed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever).start()
        places = fleet / "list.txt"
        places.write_text(f"http://127.0.0.1:{server.server_port}/t.git\n{fleet / 'same'}\n", encoding="utf-8")
        terminal = Terminal(person, "env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "layercake", "fleet", places)
        try:
            terminal.wait_for("2 repositories: 1 broken, 1 nothing")
        finally:
            server.shutdown()
    assert terminal.end() == 1


def test_a_fleet_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert run(tmp_path / "nowhere")[0] == 2
    assert run(tmp_path) == (0, "There is no repository.\n".join(["update\n", ""]))


# What other engines are told, on paper


def block(kind: str, sign: str) -> str:
    """Return the block of the document that has a sign."""
    return next(str(text) for text in re.findall(rf"(?ms)^```{kind}\n(.*?)^```", ENGINES) if sign in text)


def test_renovate_accepts_its_configuration_and_finds_the_record(fleet: Path, tmp_path: Path) -> None:
    text = block("json", "customManagers")
    (tmp_path / "renovate.json").write_text(text, encoding="utf-8")
    Project(tmp_path).run(tool("check-jsonschema"), "--builtin-schema", "vendor.renovate", "renovate.json")
    (manager,) = json.loads(text)["customManagers"]
    pattern = manager["matchStrings"][0].replace("(?<", "(?P<")
    record = (
        (fleet / "clean" / ".cruft.json")
        .read_text(encoding="utf-8")
        .replace('"checkout": null', '"checkout": "v1.0.0"')
    )
    found = re.search(pattern, record)
    assert found
    assert found["currentValue"] == "v1.0.0"
    assert re.fullmatch("[0-9a-f]{40}", found["currentDigest"])


def test_the_other_configurations_are_read() -> None:
    gitter = yaml.load(block("yaml", "concurrent"), yaml.BaseLoader)
    assert gitter.keys() == {"platform", "org", "branch", "commit-message", "pr-title", "pr-body", "concurrent"}
    batch = yaml.load(block("yaml", "repositoriesMatchingQuery"), yaml.BaseLoader)  # to others "on" is true
    assert batch.keys() == {"version", "name", "description", "on", "steps", "changesetTemplate"}
    assert batch["changesetTemplate"].keys() == {"title", "body", "branch", "commit", "published"}
