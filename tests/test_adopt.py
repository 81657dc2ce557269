"""`layercake adopt` on Flask repositories that were never made from the template. git is real, and so is Docker."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from uuid import uuid4

import pytest

from tests.containers import PYTHON
from tests.support import ROOT, SCAFFOLD, Project, Template, git

SHOP = "from flask import Flask\n\n\ndef create_app():\n    app = Flask(__name__)\n    app.get('/')(lambda: 'shop')\n    return app\n"


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """A service with a package, a module, templates, tests and requirements."""
    project = Project(tmp_path / "shop")
    texts = {
        "shop/__init__.py": SHOP,
        "shop/templates/page.html": "<p>shop\n",
        "prices.py": "PRICE = 1\n",
        "tests/test_shop.py": "def create_app(): pass\n",
        "requirements.txt": "flask>=3  # the web\n",
        "README.md": "# Shop\n",
    }
    for name, text in texts.items():
        (project.path / name).parent.mkdir(parents=True, exist_ok=True)
        (project.path / name).write_text(text, encoding="utf-8")
    git(tmp_path, "init", "--quiet", "shop")
    commit(project, "ours")
    return project


def commit(project: Project, message: str) -> None:
    git(project.path, "add", "--all")
    git(project.path, "commit", "--quiet", "--message", message)


def adopt(project: Project, template: Template, *arguments: str, **env: str) -> tuple[int, str]:
    command = [
        sys.executable,
        "-P",
        "-m",
        "layercake",
        "adopt",
        str(project.path),
        "--template",
        str(template.path),
        *arguments,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    result = subprocess.run(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return result.returncode, result.stdout


def test_the_image_the_locks_and_the_guard_come_without_application_code(shop: Project, template: Template) -> None:
    status, said = adopt(shop, template)
    assert status == 1  # LAYERCAKE_LOCK=skip: the locks are still to be made
    assert "served    shop:create_app()" in said
    assert "with gunicorn, which was not asked for" in said
    assert "Not known, so look: system packages" in said
    new = git(shop.path, "diff", "--cached", "--name-only", "--diff-filter=A").split()
    assert git(shop.path, "diff", "HEAD", "--name-only", "--diff-filter=a") == ""
    assert {path for path in new if "/" not in path} == {
        ".cruft.json",
        ".dockerignore",
        "Dockerfile",
        "gunicorn.conf.py",
    }
    assert {path.partition("/")[0] for path in new if "/" in path} == {"requirements", "tools"}
    assert shop.read("requirements/prod.in").splitlines()[1:] == ["flask>=3", "gunicorn"]
    dockerfile = shop.read("Dockerfile")
    assert "adopted_service" not in dockerfile + shop.read(".dockerignore")
    assert 'CMD ["gunicorn", "shop:create_app()"]' in dockerfile
    assert "shop/ shop/\n" in dockerfile
    assert "prices.py gunicorn.conf.py ./\n" in dockerfile
    assert {"!shop/", "!prices.py"} < {*shop.read(".dockerignore").splitlines()}
    assert json.loads(shop.read(".cruft.json"))["commit"] == git(template.path, "rev-parse", "HEAD").strip()
    git(shop.path, "reset", "--quiet", "--hard")
    assert git(shop.path, "status", "--porcelain", "--ignored") == ""


def test_a_fix_of_the_template_arrives_in_what_was_adopted(shop: Project, template: Template) -> None:
    adopt(shop, template)
    commit(shop, "adopted")
    package = "{{cookiecutter.package_name}}"
    for name in ("Dockerfile", "README.md", f"{package}/about.py", f"{package}/core/new.py", "tools/new.py", "NEWS.md"):
        with (template.path / SCAFFOLD.name / name).open("a", encoding="utf-8") as file:
            file.write("# A fix.\n")
    template.commit("version 2")
    update = [sys.executable, "-P", "-m", "layercake", "update", "--no-lock", "--no-test"]
    said = shop.run(*update, PYTHONPATH=str(ROOT)).stdout
    assert shop.read("Dockerfile").endswith("# A fix.\n")
    assert git(shop.path, "diff", "--cached", "--name-only").split() == [".cruft.json", "Dockerfile", "tools/new.py"]
    assert "about.py" not in said
    assert "run `python tools/lock.py compile`, then `git commit`" in said  # it has no Makefile of the template


def test_the_template_may_be_named_from_here_and_no_secret_is_recorded(
    shop: Project, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.path)
    command = [sys.executable, "-P", "-m", "layercake", "adopt", ".", "--template"]
    url = "https://user:word@example.com/layercake.git"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{template.path}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", url)
    for named, recorded in ((os.path.relpath(template.path), str(template.path)), (url, url.replace("user:word@", ""))):
        shop.run(*command, named, check=False, PYTHONPATH=str(ROOT))
        assert json.loads(shop.read(".cruft.json"))["template"] == recorded
        git(shop.path, "reset", "--quiet", "--hard")


def test_a_folder_that_is_not_there_is_named(template: Template, tmp_path: Path) -> None:
    nowhere = Project(tmp_path / "nowhere")
    assert adopt(nowhere, template) == (2, f"adopt: there is no folder {nowhere.path}; nothing was changed.\n")


def test_what_is_there_is_not_overwritten(shop: Project, template: Template) -> None:
    (shop.path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    commit(shop, "our image")
    status, said = adopt(shop, template)
    assert (status, "has Dockerfile already; move what is yours" in said) == (2, True), said
    assert git(shop.path, "status", "--porcelain", "--ignored") == ""


def test_what_cannot_be_written_leaves_nothing_behind(shop: Project, template: Template) -> None:
    (shop.path / "tools").write_text("a script of ours\n", encoding="utf-8")
    commit(shop, "our tools")
    status, said = adopt(shop, template)
    assert (status, f"'{shop.path / 'tools'}'; nothing was changed." in said) == (2, True), said
    assert git(shop.path, "status", "--porcelain", "--ignored") == ""


def test_unsaved_work_is_not_touched(shop: Project, template: Template) -> None:
    (shop.path / "prices.py").write_text("PRICE = 2\n", encoding="utf-8")
    status, said = adopt(shop, template)
    assert (status, "not committed" in said) == (2, True)
    assert git(shop.path, "status", "--porcelain") == " M prices.py\n"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"shop/__init__.py": "# nothing\n"}, "nothing looks like one); name it with --app"),
        ({"other.py": "app = Flask(__name__)\n"}, "other:app, shop:create_app()); name it with --app"),
        ({"requirements.txt": "-r base.txt\n"}, "has the option '-r base.txt', which a lock cannot keep"),
        ({"requirements.txt": None}, "has neither requirements.txt nor dependencies"),
        ({".python-version": "3.7.1\n"}, "names Python 3.7; the template has"),
    ],
)
def test_what_cannot_be_known_is_asked_for(
    shop: Project, template: Template, changes: dict[str, str | None], why: str
) -> None:
    for name, text in changes.items():
        if text is None:
            (shop.path / name).unlink()
        else:
            (shop.path / name).write_text(text, encoding="utf-8")
    commit(shop, "as it is")
    status, said = adopt(shop, template)
    assert (status, why in said) == (2, True), said
    assert git(shop.path, "status", "--porcelain", "--ignored") == ""


def test_what_a_repository_ignores_comes_all_the_same(shop: Project, template: Template) -> None:
    (shop.path / ".gitignore").write_text("tools/\n.*\n", encoding="utf-8")
    git(shop.path, "add", "--force", ".gitignore")
    commit(shop, "as it is")
    _, said = adopt(shop, template)
    assert "are in the index" in said
    assert {".cruft.json", "tools/lock.py"} < {*git(shop.path, "diff", "--cached", "--name-only").split()}


def test_pyproject_names_packages_and_python(shop: Project, template: Template) -> None:
    (shop.path / "requirements.txt").unlink()
    text = '[project]\nname = "shop"\nrequires-python = ">=3.12"\ndependencies = ["flask", "gunicorn>=23"]\n'
    (shop.path / "pyproject.toml").write_text(text, encoding="utf-8")
    commit(shop, "as it is")
    _, said = adopt(shop, template)
    assert "Python    3.12" in said
    assert "from pyproject.toml; edit it from now on\n" in said
    assert "COPY pyproject.toml ./\n" in shop.read("Dockerfile")


@pytest.mark.docker
@pytest.mark.slow
def test_an_adopted_service_is_locked_built_and_answers_and_the_guard_passes(shop: Project, template: Template) -> None:
    (shop.path / "shop/__init__.py").rename(shop.path / "shop.py")  # a module, as many have it, and no package
    shutil.rmtree(shop.path / "shop")
    commit(shop, "as it is")
    status, said = adopt(shop, template, "--python", PYTHON, LAYERCAKE_LOCK="require")
    assert status == 0, said
    assert ".cache" not in git(shop.path, "status", "--porcelain")
    name = f"adopt-{uuid4().hex[:8]}"
    shop.run("docker", "build", "--quiet", "--tag", name, ".")
    try:
        shop.run("docker", "run", "--detach", "--name", name, "--publish", "127.0.0.1::8000", name)
        port = shop.run("docker", "port", name, "8000").stdout.split(":")[-1].strip()
        for _ in range(60):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
                    assert response.read() == b"shop"
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(shop.run("docker", "logs", name).stdout)
        guard = shop.run(sys.executable, "-P", "-m", "layercake", "cache-check", check=False, PYTHONPATH=str(ROOT))
        assert (guard.returncode, "PASS: " in guard.stdout) == (0, True), guard.stdout
    finally:
        shop.run("docker", "rm", "--force", name, check=False)
        shop.run("docker", "image", "rm", "--force", name, check=False)
