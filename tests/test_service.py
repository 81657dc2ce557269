"""A pairwise set of services: installed by hash, each passes its own tests, linters and types, and its image answers.

Pairs are those of the options that bring code. The other choices take turns, Pythons among them; tests/test_rendered.py
has all their pairs. The newest Python, which not every machine has, has a case besides.
"""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bake
from tests.containers import ask, built, docker, running, servers, status
from tests.support import CHOICES, NASTY, ROOT, Case, Project, has_image, installed, interpreter, pairs, pairwise

CODE = ("database", "background_jobs", "error_tracking")
FACTORS = {**{name: CHOICES[name] for name in CODE}, "text": ["plain", "nasty"]}
CHECKS = (
    ("pytest", "-p", "no:cacheprovider"),
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy", "."),
)

PYTHONS = sorted(CHOICES["python_version"], key=lambda version: int(version[2:]))
TURNS = {**CHOICES, "python_version": PYTHONS[-2::-1]}
CASES = [
    {name: case.get(name) or values[number % len(values)] for name, values in TURNS.items()} | {"text": case["text"]}
    for number, case in enumerate(pairwise(FACTORS))
]
CASES.append({**CASES[0], "python_version": PYTHONS[-1]})
NEWEST = sorted(
    (case for case in CASES if interpreter(case["python_version"])),
    key=lambda case: int(case["python_version"].split(".")[1]),
)
PROOFS = ROOT / "tests" / "proofs"
PROVED = {
    "celery": [case for case in NEWEST if case["background_jobs"] == "celery"][-1:],
    "database": [*{case["database"]: case for case in NEWEST if case["database"] != "none"}.values()],
}
"""Tests that prove the template, and take too long for a service: they are put into these, and pass their checks there.
The case of Celery has the newest Python of this machine."""


def mark(case: Case) -> list[pytest.MarkDecorator]:
    """A Python that is not on this machine is in its image. Each option has a case whose text is plain."""
    needs_image = [] if interpreter(case["python_version"]) else [pytest.mark.docker]
    return [*needs_image, pytest.mark.thorough if case["text"] == "nasty" else pytest.mark.slow]


def test_every_pair_of_choices_is_in_the_set() -> None:
    met = set().union(*map(pairs, CASES))
    for (a, of_a), (b, of_b) in itertools.combinations(sorted(FACTORS.items()), 2):
        for pair in itertools.product(of_a, of_b):
            assert ((a, pair[0]), (b, pair[1])) in met
    assert all({case[name] for case in CASES} == {*values} for name, values in CHOICES.items())
    assert len(CASES) < len(list(itertools.product(*FACTORS.values())))


def baked(bake: Bake, case: Case) -> Project:
    """Render a case."""
    text = NASTY if case["text"] == "nasty" else {}
    return bake(**{name: case[name] for name in CHOICES}, project_slug="orders", package_name="orders", **text)


@pytest.mark.parametrize("case", [pytest.param(case, id="-".join(case.values()), marks=mark(case)) for case in CASES])
def test_a_service_passes_its_own_checks(bake: Bake, shared: Path, case: Case) -> None:
    python = case["python_version"]
    project = baked(bake, case)
    if found := interpreter(python):
        venv = installed(project, shared, found)
        for proof, proved in PROVED.items():
            if case in proved:
                shutil.copytree(PROOFS / proof, project.path / "tests", dirs_exist_ok=True)
        cache = str(shared / f"mypy-{python}")
        run = venv / "bin" / "python"
        for tool, *arguments in CHECKS:
            project.run(run, "-m", tool, *arguments, MYPY_CACHE_DIR=cache, RUFF_NO_CACHE="true")
    elif has_image(python):
        tag = f"generate-service-{'-'.join(case.values()).lower()}-{os.getpid()}"
        project.run("docker", "build", "--quiet", "--target", "test", "--tag", tag, ".")
        try:
            others = [check for check in CHECKS if check[0] != "pytest"]  # the tests have been run by the build
            commands = " && ".join(" ".join(("python -m", *check)) for check in others)
            caches = ("--env", "MYPY_CACHE_DIR=/tmp/mypy", "--env", "RUFF_NO_CACHE=true")
            project.run("docker", "run", "--rm", *caches, tag, "sh", "-c", commands)
        finally:
            subprocess.run(["docker", "image", "rm", "--force", tag], capture_output=True, check=False)
    else:
        pytest.skip(f"neither Python {python} nor an image of it is here")


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id="-".join(case.values())) for case in CASES])
def test_an_image_of_a_service_answers(bake: Bake, case: Case) -> None:
    if not has_image(case["python_version"]):
        pytest.skip(f"the engine has no python:{case['python_version']}-slim, and cannot pull it")
    with built(baked(bake, case)) as tag, servers(case["database"], case["background_jobs"]) as (options, _):
        if case["database"] != "none":
            docker("run", "--rm", *options, tag, "flask", "--app", "orders", "migrate")
        with running(tag, *options) as (_, address):
            assert status(f"{address}/readyz") == 200
            assert json.loads(ask(f"{address}/openapi.json"))["openapi"] == "3.1.0"
            assert "Ana!" in ask(f"{address}/api/greetings/en?name=Ana")
            if case["database"] != "none":
                assert status(f"{address}/api/notes", {"text": "kept"}) == 201
            if case["background_jobs"] != "none":
                assert status(f"{address}/api/postcards", {"name": "Ana", "place": "Lyon"}) == 202
