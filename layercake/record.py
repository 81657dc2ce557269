"""Says where a project came from: template, commit, answers, in the form that cruft reads (`.cruft.json`)."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FILE = ".cruft.json"
PARTS = ("cookiecutter.json", "hooks", "layercake", "locks", "templates", "{{cookiecutter.project_slug}}")
"""What rendering reads. What else is changed in a clone is of no account."""
ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"}
"""What git sets for its own hooks, and would take for the template's repository."""


class Repository(NamedTuple):
    """The git repository that a template is in."""

    place: Path
    commit: str | None
    """None when the template is not as it was committed."""
    directory: str | None
    """Where the template is inside of it, if not at its root."""
    origin: str
    """What it was cloned from, or empty."""
    published: bool
    """Whether others find the commit there: a folder of this machine would say nothing to them."""


def record(answers: Mapping[str, object], here: Path) -> str:
    """Return the text of the record, without its last line break.

    Args:
        answers: all that cookiecutter knows, with what it was asked for in `_template` and `_checkout`.
        here: the folder that relative paths are named from.
    """
    found = repository(ROOT)
    questions = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    given = str(answers["_template"])
    place = os.path.abspath(here / given)
    if found and os.path.isdir(place) and found.published:
        template = without_secrets(found.origin)
    elif os.path.isdir(place):
        template = str(found.place if found else ROOT)
    elif os.path.exists(place):
        template = place
    else:
        template = without_secrets((found and found.origin) or given)
    content = {
        "template": template,
        "commit": found and found.commit,
        "checkout": answers.get("_checkout"),
        "context": {"cookiecutter": {name: answers[name] for name in questions if not name.startswith("_")}},
        "directory": found and found.directory,
    }
    return json.dumps(content, ensure_ascii=False, indent=2)


def repository(folder: Path) -> Repository | None:
    """Return the repository that knows the template in a folder, if any: an outer one may know nothing of it."""
    if git(folder, "ls-files", "--error-unmatch", "cookiecutter.json") is None:
        return None
    changed = git(folder, "--literal-pathspecs", "status", "--porcelain", "--", *PARTS)
    commit = git(folder, "rev-parse", "HEAD") if changed == "" else None
    origin = git(folder, "config", "--get", "remote.origin.url") or ""
    pushed = commit and git(folder, "branch", "--remotes", "--list", "origin/*", "--contains", commit)
    return Repository(
        place=Path(git(folder, "rev-parse", "--show-toplevel") or folder),
        commit=commit,
        directory=(git(folder, "rev-parse", "--show-prefix") or "").rstrip("/") or None,
        origin=origin,
        published=bool(pushed and re.match(r"(https?|ssh|git)://|[^/:]+@[^/:]+:", origin)),
    )


def git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints in a folder, without white space around it; None when it fails or is missing."""
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    try:
        result = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=folder, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False,
        )  # fmt: skip
    except OSError:
        return None
    return None if result.returncode else result.stdout.strip()


def without_secrets(url: str) -> str:
    """Return a URL without passwords and tokens; that of ssh needs its user.

    >>> without_secrets("https://user:word@example.com/a.zip?token=1")
    'https://example.com/a.zip'
    """
    url = re.sub(r"^((?:\w+\+)?https?://)(?:[^/]*@)?([^?#]*).*", r"\1\2", url)
    return re.sub(r"^([\w+]+://[^/:@]*):[^/]*@", r"\1@", url)
