"""cruft: it goes on working for those who use it."""

import json

import pytest

from tests.locking import lock
from tests.package_index import HEAVY
from tests.support import HERE, NASTY, SCAFFOLD, Person, Project, Template, contents, git, go_on, tool

NEW_FILTER = """

def shout(text: str) -> str:
    return text.upper()


FILTERS["shout"] = shout
"""


@pytest.mark.parametrize("answers", [{}, NASTY], ids=["defaults", "nasty"])
def test_cruft_creates_what_cookiecutter_generates(person: Person, template: Template, answers: dict[str, str]) -> None:
    created = person.run(
        tool("cruft"),
        "create",
        template.path,
        "--no-input",
        "--output-dir",
        "a",
        "--extra-context",
        json.dumps(answers),
    )
    assert created.returncode == 0, created.stdout
    command = (tool("cookiecutter"), template.path, "--no-input", "-o", "b")
    generated = person.run(*command, *(f"{name}={text}" for name, text in answers.items()))
    assert generated.returncode == 0, generated.stdout
    cruft, cookiecutter = contents(person.work / "a"), contents(person.work / "b")
    (state,) = [name for name in cruft if name.endswith(".cruft.json")]
    theirs, ours = json.loads(cruft.pop(state)), json.loads(cookiecutter.pop(state))
    assert cruft == cookiecutter
    answered = theirs["context"]["cookiecutter"]
    theirs["context"]["cookiecutter"] = {name: text for name, text in answered.items() if not name.startswith("_")}
    assert ours == theirs


def test_an_update_brings_new_filters_and_files_and_leaves_the_locks_alone(person: Person, template: Template) -> None:
    asked = json.dumps({"ci": "gitlab"})
    created = person.run(tool("cruft"), "create", template.path, "--no-input", "--extra-context", asked)
    assert created.returncode == 0, created.stdout
    (project,) = person.work.iterdir()
    git(project, "init", "-q")
    lock = project / "requirements" / "prod.txt"
    lock.write_text(lock.read_text(encoding="utf-8").replace("# via", "# by way of"), encoding="utf-8")
    own = lock.read_bytes()
    git(project, "add", "-A")
    git(project, "commit", "-qm", "our service, with a lock of its own")

    scaffold = template.path / SCAFFOLD.name
    with (template.path / "layercake" / "quoting.py").open("a", encoding="utf-8") as answers:
        answers.write(NEW_FILTER)
    with (scaffold / "Makefile").open("a", encoding="utf-8") as makefile:
        makefile.write("\n# {{ cookiecutter.project_slug | shout }}\n")
    for pipeline in (".gitlab-ci.yml", ".github/workflows/ci.yml"):
        with (scaffold / pipeline).open("a", encoding="utf-8") as definition:
            definition.write("# The last line.\n")
    (scaffold / "NEWS.md").write_text("# News of {{ cookiecutter.project_name | quote_markdown }}\n", encoding="utf-8")
    with (scaffold / "requirements" / "prod.txt").open("a", encoding="utf-8") as shipped:
        shipped.write("# the template ships another lock now\n")
    template.commit("version 2")

    updated = person.run(tool("cruft"), "update", "--skip-apply-ask", "--project-dir", project)
    assert updated.returncode == 0, updated.stdout
    assert "as clean as possible" in updated.stdout
    assert not list(project.rglob("*.rej"))
    assert (project / "Makefile").read_text(encoding="utf-8").endswith("# FLASK-SERVICE\n")
    assert (project / "NEWS.md").read_text(encoding="utf-8") == "# News of Flask Service\n"
    assert lock.read_bytes() == own
    changed = {line[3:] for line in git(project, "status", "--porcelain").splitlines()}
    assert changed == {".cruft.json", ".gitlab-ci.yml", "Makefile", "NEWS.md"}
    assert not (project / ".github").exists()


def test_layers_of_the_template_do_not_stay_in_a_project_after_the_next_lock(
    person: Person, template: Template
) -> None:
    created = person.run(tool("cruft"), "create", template.path, "--no-input")
    assert created.returncode == 0, created.stdout
    project = Project(next(person.work.iterdir()))
    git(project.path, "init", "-q")
    git(project.path, "add", "-A")
    git(project.path, "commit", "-qm", "our service")
    sizes = template.path / "locks" / "sizes.json"
    known = json.loads(sizes.read_text(encoding="utf-8"))
    large = {name: HEAVY if name.startswith("flask==") else size for name, size in known.items()}
    sizes.write_text(json.dumps(large), encoding="utf-8")
    template.commit("version 2, in which flask is large")

    updated = person.run(tool("cruft"), "update", "--skip-apply-ask", "--project-dir", project.path)
    assert updated.returncode == 0, updated.stdout
    changed = {line[3:] for line in git(project.path, "status", "--porcelain").splitlines()}
    assert changed == {".cruft.json", "Dockerfile"}
    lock(project, "compile", LAYERCAKE_LOCK="skip")
    assert git(project.path, "diff", "--name-only", "HEAD") == ".cruft.json\n"


def test_an_update_takes_an_answer_that_only_the_new_version_knows(person: Person, template: Template) -> None:
    created = person.run(tool("cruft"), "create", template.path, "--no-input")
    assert created.returncode == 0, created.stdout
    (project,) = person.work.iterdir()
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "our service")
    settings = json.loads((template.path / "cookiecutter.json").read_text(encoding="utf-8"))
    settings["ci"].append("forge")
    (template.path / "cookiecutter.json").write_text(json.dumps(settings), encoding="utf-8")
    (template.path / SCAFFOLD.name / "forge.yml").write_text("# The pipeline.\n", encoding="utf-8")
    with (template.path / "layercake" / "files.py").open("a", encoding="utf-8") as files:
        files.write('\nFILES["ci"]["forge.yml"] = ["forge"]\n')
    template.commit("version 2")

    update = (tool("cruft"), "update", "--skip-apply-ask", "--project-dir", project)
    updated = person.run(*update, "--variables-to-update", json.dumps({"ci": "forge"}))
    assert updated.returncode == 0, updated.stdout
    assert (project / "forge.yml").is_file()
    assert not (project / ".github").exists()


@pytest.mark.slow
def test_an_update_that_locks_leaves_the_tools_of_locking_out(person: Person, template: Template) -> None:
    asked = json.dumps({"python_version": HERE})
    create = (tool("cruft"), "create", template.path, "--no-input", "--extra-context", asked)
    created = person.run(*create, LAYERCAKE_LOCK="auto")
    assert created.returncode == 0, created.stdout
    (project,) = person.work.iterdir()
    assert list((project / ".cache").glob("tools-*"))
    go_on(project, template)
    update = (tool("cruft"), "update", "--skip-apply-ask", "--project-dir", project)
    updated = person.run(*update, LAYERCAKE_LOCK="auto")
    assert updated.returncode == 0, updated.stdout
    assert not list(project.rglob("*.rej")), updated.stdout
    assert [line[3:] for line in git(project, "status", "--porcelain").splitlines()] == [".cruft.json", "Makefile"]
