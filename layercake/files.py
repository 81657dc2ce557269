"""Which files a project has: all of the scaffold, but those that only other answers bring."""

import json
from collections.abc import Mapping
from pathlib import Path

from layercake.options import OPTIONS

SCAFFOLD = Path(__file__).resolve().parent.parent / "{{cookiecutter.project_slug}}"
PACKAGE = "{{cookiecutter.package_name}}"
DATABASES = ["sqlite", "postgresql"]

FILES: dict[str, dict[str, list[str]]] = {
    "ci": {
        ".github": ["github"],
        ".gitlab-ci.yml": ["gitlab"],
        "docs/github.md": ["github"],
        "docs/gitlab.md": ["gitlab"],
        "renovate.json": ["gitlab"],
        "tools/changes.py": ["github", "gitlab"],
    },
    "database": {
        f"{PACKAGE}/core/database.py": DATABASES,
        f"{PACKAGE}/core/postgresql.py": ["postgresql"],
        f"{PACKAGE}/core/sqlite.py": ["sqlite"],
        f"{PACKAGE}/migrations": DATABASES,
        f"{PACKAGE}/resources/notes.py": DATABASES,
        "docs/database.md": DATABASES,
        "tests/core/test_database.py": DATABASES,
        "tests/core/test_postgresql.py": ["postgresql"],
        "tests/core/test_sqlite.py": ["sqlite"],
        "tests/resources/test_notes.py": DATABASES,
        "tests/test_migrations.py": DATABASES,
    },
    "dependency_manager": {
        "Pipfile": ["pipenv"],
        "requirements/dev.in": ["pip-tools"],
        "requirements/prod.in": ["pip-tools"],
    },
    "background_jobs": {
        f"{PACKAGE}/core/jobs.py": ["celery"],
        f"{PACKAGE}/resources/postcards.py": ["celery"],
        f"{PACKAGE}/worker.py": ["celery"],
        "docs/jobs.md": ["celery"],
        "tests/core/test_jobs.py": ["celery"],
        "tests/resources/test_postcards.py": ["celery"],
    },
    "deployment": {
        ".github/workflows/deploy.yml": ["kubernetes"],
        "compose.production.yaml": ["compose"],
        "docs/compose.md": ["compose"],
        "docs/kubernetes.md": ["kubernetes"],
        "kubernetes": ["kubernetes"],
        "production.env": ["compose"],
        "tools/production.sh": ["compose"],
    },
    "error_tracking": {f"{PACKAGE}/core/sentry.py": ["sentry"], "tests/core/test_sentry.py": ["sentry"]},
}
"""Files and folders that exist for some answers only: question -> path in the scaffold -> answers."""


TEMPLATE = SCAFFOLD.parent
WHOLE = {
    "dependency_manager": TEMPLATE / "templates" / "managers",
    "license": TEMPLATE / "templates" / "licenses",
    "python_version": TEMPLATE / "locks",
}
"""Questions with a file of the template for each answer."""


def known(question: str) -> set[str]:
    """Return the answers that the template has something for. Conditions in the scaffold name each of them."""
    if question in WHOLE:
        return {path.stem for path in WHOLE[question].iterdir()}
    return {"none"}.union(*FILES.get(question, {}).values())


def name_of(path: str) -> str:
    """Return what cookiecutter shall take for the name of a file of the scaffold. It writes none whose name is empty."""
    conditions = " and ".join(
        f"cookiecutter.{question} in {json.dumps(answers)}"
        for question, files in FILES.items()
        for place, answers in files.items()
        if Path(path).is_relative_to(place)
    )
    return f"{{% if {conditions} %}}{path}{{% endif %}}" if conditions else path


def is_in(answers: Mapping[str, str], path: str) -> bool:
    """Return whether a project with these answers has a file of the scaffold."""
    return all(
        answers[question] in bringing
        for question, files in FILES.items()
        for place, bringing in files.items()
        if Path(path).is_relative_to(place)
    )


def facts(answers: Mapping[str, str]) -> dict[str, object]:
    """Return what hooks need to know: the files of a project, the folders that only other answers have, and so on.

    Inner folders come first.
    """
    entries = sorted(SCAFFOLD.rglob("*"), reverse=True)

    def rendered(entry: Path) -> str:
        return entry.relative_to(SCAFFOLD).as_posix().replace(PACKAGE, answers["package_name"])

    def is_out(entry: Path) -> bool:
        return not is_in(answers, entry.relative_to(SCAFFOLD).as_posix())

    return {
        "files": [rendered(entry) for entry in entries if entry.is_file() and not is_out(entry)],
        "folders": [rendered(entry) for entry in entries if entry.is_dir() and is_out(entry)],
        "locked": (WHOLE["python_version"] / "made-on.txt").read_text(encoding="utf-8").strip(),
        "python": answers["python_version"],
        "servers": [name for question, option in OPTIONS.items() for name in option.servers.get(answers[question], ())],
    }


FILTERS = {"facts": facts}
