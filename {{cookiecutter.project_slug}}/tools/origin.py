"""Runs a command of the template that this service was made from. Standard library only.

    python tools/origin.py cache-check --help    at the release in .cruft.json
    python tools/origin.py update --help         at the release to update to: --to, else the newest

uvx or pipx fetches that release from the template's repository, once.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from indexes import masked

RECORD = Path(__file__).resolve().parent.parent / ".cruft.json"


class OriginError(RuntimeError):
    """Why the release is not at hand, in one line that also says what to do."""


def main(command: str, *arguments: str) -> int:
    try:
        to = ""
        if command == "update":
            asked = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
            asked.add_argument("--to", default="")
            named, to = newer(asked.parse_known_args(arguments)[0].to)
            arguments = (*arguments, "--to", named)
        tool = fetched(release(to))
        os.execv(tool[0], [*tool, command, *arguments])  # signals and the exit status are the command's
    except OriginError as error:
        print(f"{command}: {error}.", file=sys.stderr)
    return 2


def recorded() -> tuple[str, str, str]:
    """Return the template's address, its commit, and its folder there."""
    try:
        record = json.loads(RECORD.read_text(encoding="utf-8"))
        url, commit, folder = record["template"], record["commit"], record.get("directory")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise OriginError(
            f"{RECORD.name} does not say what template this service was made from; restore it, or run `layercake link`"
        ) from error
    if not isinstance(url, str):
        raise OriginError(f"{RECORD.name} names no template; restore it, or run `layercake link`")
    if not commit:
        raise OriginError(f"{RECORD.name} names no commit of {url}; run `layercake link`, which finds it")
    return url, commit, folder or ""


def release(to: str = "") -> str:
    """Return what uv and pip call a release, else the recorded one, like git+https://example.com/template@0123abc."""
    url, commit, folder = recorded()
    if os.path.isdir(url):
        url = Path(url).as_uri()
    elif "://" not in url:  # git@example.com:team/template
        url = "ssh://" + url.replace(":", "/", 1)
    return f"git+{url}@{to or commit}" + (f"#subdirectory={folder}" if folder else "")


def newer(to: str) -> tuple[str, str]:
    """Return the release to update to and its commit: the newest, or the default branch where nothing was released."""
    url, *_ = recorded()
    command = ["git", "ls-remote", "--", url]
    try:
        said = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    except FileNotFoundError as error:
        raise OriginError("git is needed, and is not here; install it") from error
    if said.returncode:
        why = (said.stderr.strip().splitlines() or ["it said nothing"])[0]
        raise OriginError(f"{masked(url)} does not answer ({masked(why)}); see to it that git gets there from here")
    # The commit of a tag with a message of its own comes after it, as TAG^...
    refs = {ref.partition("^")[0]: commit for commit, ref in map(str.split, said.stdout.splitlines())}
    tags = [ref for ref in refs if re.fullmatch(r"refs/tags/v\d+\.\d+\.\d+", ref)]
    newest = max(tags, key=lambda ref: [int(number) for number in re.findall(r"\d+", ref)], default="HEAD")
    to = to or newest.removeprefix("refs/tags/")
    places = [f"refs/tags/{to}", f"refs/heads/{to}", to]
    return to, next((refs[place] for place in places if place in refs), to)


def fetched(release: str) -> list[str]:
    """Return the command that runs the template's own, once it has been fetched."""
    python = sys.executable
    if uvx := shutil.which("uvx"):
        tool = [uvx, "--python", python, "--from", release, "layercake"]
    elif pipx := shutil.which("pipx"):
        tool = [pipx, "run", "--python", python, "--spec", release, "layercake"]
    else:
        raise OriginError("uvx or pipx is needed, and neither is here; install uv or pipx")
    result = subprocess.run([*tool, "--help"], capture_output=True, encoding="utf-8", errors="replace", check=False)
    if result.returncode:
        said = [line.strip() for line in result.stderr.splitlines() if line.strip()] or ["it said nothing"]
        why = next((line for line in said if line.startswith("fatal:")), said[-1])  # git's own words, else the last
        raise OriginError(
            f"{masked(release)} cannot be fetched ({masked(why)}); see to it that git gets there from here"
        )
    return tool


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
