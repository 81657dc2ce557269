"""Finds what release of the template a service was made from, and with which answers, by comparing; writes the record.

    layercake link URL [--directory FOLDER]

For a service without `.cruft.json`, or one that names no commit. It says how many files are as that release makes them:
the more, the surer. Look at the answers before you commit.
"""

import argparse
import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from layercake.merging import Project
from layercake.record import FILE, without_secrets
from layercake.releases import Release, Releases, UpdateError, git, text

CANDIDATES = 3  # releases that are rendered, of those with the most files in common


def main(arguments: Sequence[str]) -> int:
    """Link the service in the working folder; return the exit status."""
    parser = argparse.ArgumentParser(
        "layercake link", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="the template's repository")
    parser.add_argument("--directory", help="where the template is in it, if not at its root")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="layercake-") as folder:
            work = Path(folder)
            project = Project.at(Path.cwd())
            releases = Releases(options.url, options.directory, work)
            found = [best(project, release, work) for release in nearest(project, releases)]
            equal, release, answers, of = max(found, key=lambda each: each[0])
            if not equal:
                raise UpdateError(
                    f"no file in {project.folder} is as a release makes it; see that folder and template are right"
                )
    except (UpdateError, OSError, ValueError) as error:
        print(f"link: {error}.", file=sys.stderr)
        return 2
    record = {
        "template": without_secrets(releases.url),
        "commit": release.commit,
        "checkout": None,
        "context": {"cookiecutter": answers},
        "directory": options.directory,
    }
    (project.folder / FILE).write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print(
        f"{FILE}: {release.name}, {equal} of its {of} files are here as it makes them. Look at the answers, then commit it."
    )
    return 0


def nearest(project: Project, releases: Releases) -> list[Release]:
    """Return the releases, else the commits of the default branch, with the most files that are here byte by byte."""
    here = {found for _, found in project.entries(f"HEAD:{project.prefix}").values()}
    tags = text(git(releases.clone, "tag", "--list", "v*")).split()
    commits = tags or text(git(releases.clone, "rev-list", "HEAD")).split()

    def common(commit: str) -> int:
        tree = f"{commit}:{releases.directory.removeprefix('.')}"
        listed = text(git(releases.clone, "ls-tree", "-r", "--format=%(objectname)", tree))
        return len(here & {*listed.split()})

    return [releases.release(commit) for commit in sorted(commits, key=common, reverse=True)[:CANDIDATES]]


def best(project: Project, release: Release, work: Path) -> tuple[int, Release, dict[str, str], int]:
    """Return how many files of a release are here, and the answers with which most are."""
    ours = project.entries(f"HEAD:{project.prefix}")
    answers = read_answers(project)
    answers = {name: answer for name, answer in answers.items() if name in release.questions}
    number = 0

    def score(tried: dict[str, str]) -> tuple[int, int, int]:
        nonlocal number
        number += 1
        files = release.render(tried, tried.keys(), work / f"link-{release.commit}-{number}")
        objects = {path: project.blob(content) for path, (_, content) in files.items() if path != FILE}
        equal = sum(path in ours and ours[path][1] == found for path, found in objects.items())
        return equal - len(objects.keys() - ours.keys()), equal, len(objects)

    most = score(answers)
    for name, default in release.questions.items():
        for choice in default if isinstance(default, list) else []:
            if answers.get(name, default[0]) != choice and (found := score(answers | {name: choice})) > most:
                most, answers = found, answers | {name: choice}
    made = release.render(answers, answers, work / f"link-{release.commit}")
    if FILE in made:
        asked = json.loads(made[FILE][1])["context"]["cookiecutter"]
    else:  # a release that kept no record; defaults that are made from other answers are left to the next update
        defaults = {name: each[0] if isinstance(each, list) else each for name, each in release.questions.items()}
        asked = {name: default for name, default in (defaults | answers).items() if "{{" not in default}
    return most[1], release, asked, most[2]


def read_answers(project: Project) -> dict[str, str]:
    """Return the answers that the files of a service tell: its names, its texts and its Python."""
    about, dockerfile, title = (
        file.read_text(encoding="utf-8") if (file := project.folder / name).is_file() else ""
        for name in ("pyproject.toml", "Dockerfile", "README.md")
    )
    facts = tomllib.loads(about)
    found = facts.get("project") or facts.get("tool", {}).get("poetry", {})
    packages = sorted(
        path.parent.name for path in project.folder.glob("*/__init__.py") if path.parent.name not in ("tests", "tools")
    )
    readme = re.search(r"(?m)^# (.+)$", title)
    python = re.search(r"(?m)^FROM python:(\d\.\d+)", dockerfile)
    owner = re.search(r"(?m)^authors = .*name = \"([^\"]*)\", email = \"([^\"]*)\"", about)
    answers = {
        "project_name": readme and readme[1],
        "project_slug": found.get("name") or project.folder.name,
        "package_name": packages[0] if packages else None,
        "description": found.get("description"),
        "author_name": owner and owner[1],
        "author_email": owner and owner[2],
        "python_version": python and python[1],
    }
    return {name: answer for name, answer in answers.items() if answer}
