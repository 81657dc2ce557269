"""Makes a release of what is committed: the changelog gets its heading, `layercake.__version__` its number, git its tag.

    python -m scripts.release 1.1.0            commits and tags; pushes nothing
    python -m scripts.release --notes v1.1.0   prints what the changelog says of a release

docs/releases.md says which number a change needs.
"""

import datetime
import re
import sys
from pathlib import Path

from scripts.check_changelog import ROOT, ChangelogError, check, git, section

VERSION = re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}")
BREAKING = re.compile(r"(?im)^- \W*breaking\b")
HEADING = "## Unreleased\n"


def main() -> int:
    try:
        match sys.argv[1:]:
            case ["--notes", tag]:
                print(notes(ROOT, tag))
            case [version]:
                print(release(ROOT, version, datetime.datetime.now(datetime.UTC).date()))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except ChangelogError as error:
        print(f"release: {error}.", file=sys.stderr)
        return 1
    return 0


def release(repository: Path, version: str, today: datetime.date) -> str:
    """Commit and tag a release; return what to type next.

    Raises:
        ChangelogError: it cannot be made; nothing has been changed.
    """
    if not VERSION.fullmatch(version):
        raise ChangelogError(f"{version!r} is no version; write it like 1.1.0")
    if git(repository, "status", "--porcelain"):
        raise ChangelogError("there are changes that are not committed; commit or stash them")
    changelog, package = repository / "CHANGELOG.md", repository / "layercake" / "__init__.py"
    text = changelog.read_text(encoding="utf-8")
    entries = section(text, "Unreleased")
    last = newest(repository)
    if section(text, version):  # written by hand, as that of the first one
        if last or entries:
            raise ChangelogError(
                f"CHANGELOG.md has a section {version} already; take another number, or empty Unreleased"
            )
        git(repository, "tag", "--annotate", f"v{version}", "--message", f"Release {version}")
        return f"Tagged v{version}. Next: git push --follow-tags"
    if not entries:
        raise ChangelogError("CHANGELOG.md has nothing under Unreleased; there is nothing to release")
    if last and numbers(version) not in allowed(last, breaks := bool(BREAKING.search(entries))):
        wanted = ", ".join(".".join(map(str, after)) for after in allowed(last, breaks))
        raise ChangelogError(f"after {last} comes {wanted}{' with what breaks' * breaks}; see docs/releases.md")
    if last:
        check(repository, f"v{last}", "HEAD")
    source, count = re.subn(r'__version__ = "[^"]*"', f'__version__ = "{version}"', package.read_text(encoding="utf-8"))
    if count != 1:
        raise ChangelogError(f"{package.name} has no line __version__ = ...; restore it")
    changelog.write_text(text.replace(HEADING, f"{HEADING}\n## {version} - {today}\n", 1), encoding="utf-8")
    package.write_text(source, encoding="utf-8")
    git(repository, "commit", "--quiet", "--all", "--message", f"Release {version}")
    git(repository, "tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    return f"Committed and tagged v{version}. Next: git push --follow-tags"


def notes(repository: Path, tag: str) -> str:
    """Return what the changelog says of a release."""
    if found := section(git(repository, "show", f"{tag}:CHANGELOG.md"), tag.removeprefix("v")):
        return found
    raise ChangelogError(f"CHANGELOG.md says nothing of {tag}; `python -m scripts.release` writes the heading")


def newest(repository: Path) -> str:
    """Return the version of the newest release, "" when there is none."""
    tags = (tag.removeprefix("v") for tag in git(repository, "tag", "--list", "v*").split())
    return max(filter(VERSION.fullmatch, tags), key=numbers, default="")


def numbers(version: str) -> tuple[int, ...]:
    """Return what versions are ordered by."""
    return tuple(map(int, version.split(".")))


def allowed(last: str, breaks: bool) -> list[tuple[int, ...]]:
    """Return the versions that may come after one."""
    major, minor, patch = numbers(last)
    return [(major + 1, 0, 0), *([] if breaks else [(major, minor + 1, 0), (major, minor, patch + 1)])]


if __name__ == "__main__":
    sys.exit(main())
