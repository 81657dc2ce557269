"""Renews what the template names of others: `make fresh`. Git undoes it.

- actions, in its own workflows and in those that it generates: the newest release that is a week old, by its commit
- images: the digests of those that are pinned by one; a newer major release is named, because data may need a hand
- Pythons: one that uv knows the first stable release of becomes a choice; one whose support ends soon is named
- locks: scripts/renew_locks.py

CHANGELOG.md gets a line of it, and standard output one for each thing that was done, or that people have to do.
"""

import datetime
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts import renew_locks
from scripts.renew_locks import ROOT, SCAFFOLD, minor

COOLDOWN = datetime.timedelta(days=7)
USES = re.compile(r"(?<=uses: )([\w.-]+/[\w.-]+)((?:/[\w./-]+)?)@([0-9a-f]{40}) # v(\S+)")
IMAGE = re.compile(
    r"(?m)(?:^FROM |image: |[\[,] ?\"?|name: \"?)((?:[\w.-]+/)*[\w.-]+):([\w.-]+?)(-[\w.-]+)?(@sha256:[0-9a-f]{64})?(?=[\s\",\]}]|$)"
)
ENTRY = "- Packages, actions and images are those of {}."


class FreshError(RuntimeError):
    """Why nothing was renewed, in one line."""


def main() -> int:
    if said("git", "status", "--porcelain", cwd=ROOT):
        print("fresh: there are changes that are not committed; commit or stash them.", file=sys.stderr)
        return 1
    today = datetime.datetime.now(datetime.UTC)
    try:
        for line in [*renew_pythons(ROOT, today), *renew_actions(ROOT, today), *renew_images(ROOT)]:
            print(f"- {line}", flush=True)
    except FreshError as error:
        print(f"fresh: {error}; `git checkout .` undoes what was done.", file=sys.stderr)
        return 1
    if status := renew_locks.main():
        return status
    if said("git", "status", "--porcelain", cwd=ROOT):
        rewrite(ROOT / "CHANGELOG.md", lambda text: with_entry(text, ENTRY.format(today.date())))
    return 0


def renew_actions(root: Path, today: datetime.datetime) -> list[str]:
    """Pin each action to its newest release that is old enough; return what has changed."""
    found: dict[str, tuple[str, str]] = {}
    changed = set()

    def pin(use: re.Match[str]) -> str:
        action, path, commit, version = use.groups()
        if action not in found:
            found[action] = newest_release(f"https://github.com/{action}", today) or (commit, version)
        commit, newest = found[action]
        if newest != version:
            changed.add(f"{action} {version} to {newest}")
        return f"{action}{path}@{commit} # v{newest}"

    for folder in (root, root / SCAFFOLD.name):
        for file in sorted((folder / ".github" / "workflows").glob("*.yml")):
            rewrite(file, lambda text: USES.sub(pin, text))
    return sorted(changed)


def newest_release(url: str, today: datetime.datetime) -> tuple[str, str] | None:
    """Return the commit and the version of the newest release of a repository that is old enough."""
    listed = said("git", "ls-remote", "--tags", url)
    tags = re.findall(r"(?m)^(\w+)\trefs/tags/v(\d+\.\d+\.\d+)(\^\{\})?$", listed)
    commits = {version: commit for commit, version, peeled in sorted(tags, key=lambda tag: tag[2])}
    with tempfile.TemporaryDirectory() as folder:
        said("git", "init", "--quiet", "--bare", folder)
        for version in sorted(commits, key=lambda text: [*map(int, text.split("."))], reverse=True):
            said("git", "fetch", "--quiet", "--depth", "1", url, f"refs/tags/v{version}", cwd=Path(folder))
            made = int(said("git", "show", "--no-patch", "--format=%ct", "FETCH_HEAD^{commit}", cwd=Path(folder)))
            if today.timestamp() - made >= COOLDOWN.total_seconds():
                return commits[version], version
    return None


def renew_images(root: Path) -> list[str]:
    """Renew the digests of images that are pinned by one; return what has changed, and which major releases are out."""
    places = [*(root / SCAFFOLD.name).glob("*"), *(root / "tests").rglob("Dockerfile")]
    found: set[str] = set()

    def pin(named: re.Match[str]) -> str:
        image, tag, variant, digest = (part or "" for part in named.groups())
        if digest:
            new = "@" + digest_of(f"{image}:{tag}{variant}")
            if new == "@":
                raise FreshError(f"the registry does not tell the digest of {image}:{tag}{variant}")
            if new != digest:
                found.add(f"{image}:{tag}{variant} is {new[1:20]}... now")
            return named[0].replace(digest, new)
        if tag.isdecimal() and digest_of(f"{image}:{int(tag) + 1}{variant}"):
            found.add(
                f"{image}:{int(tag) + 1}{variant} is out, and {tag} is named: see what it needs, and change it by hand"
            )
        return named[0]

    for file in places:
        if file.name in ("Dockerfile", "compose.yaml", ".gitlab-ci.yml"):
            rewrite(file, lambda text: IMAGE.sub(pin, text))
    return sorted(found)


def digest_of(image: str) -> str:
    """Return the digest that a registry has for an image now, "" for none."""
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", image]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def renew_pythons(root: Path, today: datetime.datetime, known_to_uv: str = "") -> list[str]:
    """Make the Pythons that are new a choice; return what has changed, and whose support ends within half a year."""
    listing = known_to_uv or renew_locks.uv("python", "list", "--all-versions", "--output-format", "json")
    stable = {
        f"3.{release['version_parts']['minor']}"
        for release in json.loads(listing)
        if release["implementation"] == "cpython" and re.fullmatch(r"3\.\d+\.\d+", release["version"])
    }
    questions = json.loads((root / "cookiecutter.json").read_text(encoding="utf-8"))
    pythons: list[str] = questions["python_version"]
    before = '"3.11": "3.11  supported until October 2027"'
    new = sorted((name for name in stable if minor(name) > max(map(minor, pythons))), key=minor)
    for name in new:
        label = f'"{name}": "{name}  supported until October {end(name)}"'
        more = [*pythons, name]
        for file, old, text in (
            ("cookiecutter.json", before, f"{before},\n      {label}"),
            ("cookiecutter.json", json.dumps(pythons), json.dumps(more)),
            (".github/workflows/ci.yml", json.dumps(pythons), json.dumps(more)),
            ("README.md", choice(pythons), choice(more)),
        ):
            rewrite(root / file, partial(replace_once, old=old, new=text))
        pythons = more
    ending = [name for name in pythons if end(name) * 12 + 10 - (today.year * 12 + today.month) <= 6]
    return [
        *(f"Python {name} is a choice" for name in new),
        *(f"support of Python {name} ends in October {end(name)}: say so in its prompt" for name in ending),
    ]


def end(python: str) -> int:
    """Return the year in whose October the support of a Python ends: five years after it came (PEP 602)."""
    return 2016 + minor(python)


def choice(words: list[str]) -> str:
    """Return words as in "a, b or c"."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


def with_entry(changelog: str, entry: str) -> str:
    """Return a changelog with an entry under Unreleased, in the place of the one of another day."""
    start = changelog.index("## Unreleased\n") + len("## Unreleased\n")
    end_of_section = changelog.find("\n## ", start)
    section = changelog[start : end_of_section if end_of_section > 0 else len(changelog)]
    others = [
        line for line in section.strip().splitlines() if not re.fullmatch(re.escape(ENTRY).replace(r"\{\}", ".*"), line)
    ]
    return changelog[:start] + "\n" + "\n".join([*others, entry]) + "\n" + changelog[start + len(section) :]


def replace_once(text: str, old: str, new: str) -> str:
    """Return a text with one part replaced. Raises FreshError when it is not there once."""
    if text.count(old) != 1:
        raise FreshError(f"{old!r} is not there once, to become {new!r}; write it by hand")
    return text.replace(old, new)


def rewrite(file: Path, change: Callable[[str], str]) -> None:
    """Change a file, if there is anything to change."""
    text = file.read_text(encoding="utf-8")
    if (new := change(text)) != text:
        file.write_text(new, encoding="utf-8", newline="\n")


def said(*command: str, cwd: Path | None = None) -> str:
    """Return what a command prints. Raises FreshError with its last words."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode:
        words = result.stderr.strip().splitlines() or ["it said nothing"]
        raise FreshError(f"{' '.join(command[:3])} failed: {words[-1]}")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
