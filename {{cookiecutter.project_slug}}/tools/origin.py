"""Runs a command of the template that this service was made from, at the release in .cruft.json. Standard library only.

    python tools/origin.py cache-check --help

uvx or pipx fetches that release from the template's repository, once.
"""

import json
import os
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
        tool = fetched(release())
        os.execv(tool[0], [*tool, command, *arguments])  # signals and the exit status are the command's
    except OriginError as error:
        print(f"{command}: {error}.", file=sys.stderr)
    return 2


def release() -> str:
    """Return what uv and pip call the recorded release, like git+https://example.com/template@0123abc."""
    try:
        record = json.loads(RECORD.read_text(encoding="utf-8"))
        url, commit, folder = record["template"], record["commit"], record.get("directory")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise OriginError(
            f"{RECORD.name} does not say what template this service was made from; restore it, or run `cruft link`"
        ) from error
    if not isinstance(url, str):
        raise OriginError(f"{RECORD.name} names no template; restore it, or run `cruft link`")
    if not commit:
        raise OriginError(f"{RECORD.name} names no commit of {url}; write the one to use there, or run `cruft link`")
    if os.path.isdir(url):
        url = Path(url).as_uri()
    elif "://" not in url:  # git@example.com:team/template
        url = "ssh://" + url.replace(":", "/", 1)
    return f"git+{url}@{commit}" + (f"#subdirectory={folder}" if folder else "")


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
