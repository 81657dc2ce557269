"""Puts the image, the locks and the guard of a Flask repository under the template, and leaves its code alone.

    layercake adopt FOLDER
    layercake adopt FOLDER --app shop.web:app --python 3.13

Written are a Dockerfile, .dockerignore, gunicorn.conf.py, tools/, requirements/ and the record of where they came from, by
which updates arrive. Nothing that is there is overwritten. All is in the index then: `git reset --hard` takes it back.
What cannot be known from outside is said at the end.
"""

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from layercake.merging import matches
from layercake.record import FILE, without_secrets
from layercake.releases import Files, Release, Releases, UpdateError, git, text

ROOT = Path(__file__).resolve().parent.parent
ONLY = ("Dockerfile", ".dockerignore", "tools/*.py", "requirements/tools.*", "requirements/layers/baseline.names")
"""What a repository has of the template's files, from now on: updates bring no others."""
ENTRIES = {"{}:create_app()": r"(?m)^def create_app\(", "{}:app": r"(?m)^app\s*(?::.+)?=\s*(?:\w+\.)?Flask\("}
NO_CODE = re.compile(
    r"\.|(tests?|docs?|requirements|tools)(/|$)|[^/]+\.(md|rst|txt|toml|cfg|ini|lock|ya?ml)$|[A-Z]+$|Dockerfile|Pipfile|Makefile"
)
GUNICORN = '''\
"""How gunicorn serves the application in a container."""

import os

bind = f"0.0.0.0:{os.environ.get('PORT') or 8000}"
worker_class = "gthread"
threads = 8
worker_tmp_dir = "/dev/shm"  # the heartbeat files must not wait for a disk
control_socket_disable = True
'''


def main(arguments: Sequence[str]) -> int:
    """Adopt a repository; return the exit status."""
    parser = argparse.ArgumentParser(
        "layercake adopt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--app", help="what gunicorn serves, like shop.web:app or 'shop:create_app()'")
    parser.add_argument("--python", help="the Python of the image, like 3.13")
    parser.add_argument("--template", help="the template's repository; where this command came from if not given")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="layercake-") as work:
            return adopt(
                options.folder.resolve(), options.app, options.python, options.template or origin(), Path(work)
            )
    except (UpdateError, OSError, ValueError) as error:
        print(f"adopt: {error}; nothing was changed.", file=sys.stderr)
        return 2


def adopt(folder: Path, app: str | None, python: str | None, template: str, work: Path) -> int:
    """Write what a repository gets, and say what it is; return the exit status."""
    tracked = text(git(folder, "ls-files")).splitlines()
    if git(folder, "status", "--porcelain"):
        raise UpdateError(f"{folder} has changes that are not committed; commit or stash them")
    app = app or entry(folder, tracked)
    asked, source = requirements(folder)
    more = [] if any(re.match(r"gunicorn\b", line, re.IGNORECASE) for line in asked) else ["gunicorn"]
    releases = Releases(template, None, work)
    release = releases.release(releases.newest())
    python = python or python_of(folder, release)
    slug = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    answers = {"project_name": folder.name, "project_slug": slug, "python_version": python, "ci": "none"}
    rendered = release.render({**answers, "package_name": "adopted_service"}, answers, work / "rendered")
    code = sorted({path.partition("/")[0] for path in tracked if not NO_CODE.match(path)})
    files = chosen(rendered, folder, code, app, [*asked, *more])
    record = json.loads(rendered[FILE][1])
    record |= {"template": without_secrets(releases.url), "commit": release.commit, "only": ONLY}
    files[FILE] = json.dumps(record, ensure_ascii=False, indent=2) + "\n"
    if there := sorted(path for path in files if (folder / path).exists()):
        raise UpdateError(f"{folder} has {', '.join(there)} already; move what is yours, commit, and try again")
    try:
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content, encoding="utf-8", newline="\n")
        git(folder, "add", "--force", "--", *files)  # whatever .gitignore says
    except (UpdateError, OSError):
        git(folder, "clean", "--quiet", "--force", "-d", "-x", "--", *files)  # none of them was there
        raise
    locked = lock(folder)
    if (folder / ".cache").is_dir():  # what locking keeps is for no repository, whatever its .gitignore says
        (folder / ".cache" / ".gitignore").write_text("*\n", encoding="utf-8")
    print(f"""\
{len(files)} files of the template at {release.name} are in the index; `git reset --hard` takes them back.
  served    {app}
  Python    {python}
  packages  requirements/prod.in, from {source}; edit it from now on{", with gunicorn, which was not asked for" if more else ""}
  image     {", ".join(code)}
  locks     {"requirements/*.txt" if locked else "not made: run `python tools/lock.py compile rebaseline`, then `git add requirements Dockerfile`"}
Not known, so look: system packages that it needs (stage `system` of the Dockerfile); other files that the code reads
(.dockerignore and the last stage name what goes in); a health check; what runs beside it, like migrations and workers.
Next: docker build .; then python tools/origin.py cache-check --help""")
    return 0 if locked else 1


def origin() -> str:
    """Return the template's repository that this package is of, or was installed from."""
    if (ROOT / "cookiecutter.json").exists():
        return str(ROOT)
    try:
        direct = json.loads(importlib.metadata.distribution("layercake").read_text("direct_url.json") or "{}")
        return str(direct["url"])
    except (importlib.metadata.PackageNotFoundError, LookupError, ValueError) as error:
        raise UpdateError("it is not known where this command came from; name the template with --template") from error


def entry(folder: Path, tracked: Sequence[str]) -> str:
    """Return what gunicorn shall serve. Raises UpdateError when nothing, or more than one thing, looks like it."""
    found = []
    for path in tracked:
        if path.endswith(".py") and not NO_CODE.match(path):
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            source = (folder / path).read_text(encoding="utf-8", errors="replace")
            found += [name.format(module) for name, sign in ENTRIES.items() if re.search(sign, source)]
    if len(found) != 1:
        seen = f"these look like one: {', '.join(found)}" if found else "nothing looks like one"
        raise UpdateError(f"{folder} does not say which its application is ({seen}); name it with --app module:app")
    return found[0]


def requirements(folder: Path) -> tuple[list[str], str]:
    """Return the requirements of a repository, and the file that they are from. Raises UpdateError when there is none."""
    listed, project = folder / "requirements.txt", folder / "pyproject.toml"
    if listed.exists():
        lines = re.sub(r"\\\n", " ", listed.read_text(encoding="utf-8")).splitlines()
        lines = [re.sub(r"\s+--hash=\S+|(^|\s)#.*", "", line).strip() for line in lines]
        if option := next((line for line in lines if line.startswith("-")), None):
            raise UpdateError(f"{listed} has the option {option!r}, which a lock cannot keep; write what it stands for")
        return [line for line in lines if line], listed.name
    if project.exists():
        wanted = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("dependencies")
        if wanted:
            return list(wanted), project.name
    raise UpdateError(f"{folder} has neither requirements.txt nor dependencies in pyproject.toml; write one of them")


def python_of(folder: Path, release: Release) -> str:
    """Return the Python that a repository names and the template has, else the template's first choice."""
    choices: list[str] = release.questions["python_version"]
    for name, pattern in (
        (".python-version", r"3\.\d+"),
        ("runtime.txt", r"3\.\d+"),
        ("pyproject.toml", r"requires-python.*?(3\.\d+)"),
    ):
        if (folder / name).exists() and (found := re.search(pattern, (folder / name).read_text(encoding="utf-8"))):
            named = found[found.lastindex or 0]
            if name != "pyproject.toml" and named not in choices:
                raise UpdateError(
                    f"{folder / name} names Python {named}; the template has {', '.join(choices)}: choose by --python"
                )
            if named in choices:
                return named
    return choices[0]


def chosen(rendered: Files, folder: Path, code: Sequence[str], app: str, asked: list[str]) -> dict[str, str]:
    """Return the text of each file that a repository gets."""
    files = {path: content.decode() for path, (_, content) in rendered.items() if matches(path, ONLY)}
    folders, modules = ([name for name in code if (folder / name).is_dir() is is_folder] for is_folder in (True, False))
    own = "COPY --link --chown=10001:10001"
    copies = "".join(f"{own} {name}/ {name}/\n" for name in folders)
    copies += f"{own} {' '.join([*modules, 'gunicorn.conf.py'])} ./\n"
    dockerfile = files["Dockerfile"]
    for pattern, replacement in (
        (
            r"(?m)^#   docker build .*\n(?:#   .*\n)*",
            "#   docker build .      docker build --target lock --output . .\n",
        ),
        (r"# For work: [\s\S]*?(?=# New locks)", ""),
        (r"(?m)^COPY pyproject\.toml .*\n", "COPY pyproject.toml ./\n" if (folder / "pyproject.toml").exists() else ""),
        (r"(?m)^COPY --link --chown=\S+ gunicorn[\s\S]*?(?=^USER)", copies),
        (r"(?m)^EXPOSE 8000.*\n[\s\S]*?(?=^ARG VERSION)", f'EXPOSE 8000\nCMD ["gunicorn", {json.dumps(app)}]\n'),
    ):
        dockerfile, count = re.subn(pattern, lambda _, new=replacement: new, dockerfile)  # type: ignore[misc]
        if count != 1:
            raise UpdateError(
                f"the Dockerfile of this release has {count} places for {pattern[:40]!r}, not one; take another"
            )
    files["Dockerfile"] = dockerfile
    kept = re.sub(
        r"(?m)^!(adopted_service/|tests/|openapi\.json|\.env\.example|\.trivyignore)\n", "", files[".dockerignore"]
    )
    ours = "".join(f"!{name}{'/' * (name in folders)}\n" for name in code)
    files[".dockerignore"] = kept.replace("*\n", f"*\n{ours}", 1)
    files["requirements/prod.in"] = (
        "# What the service needs to run. After an edit: python tools/lock.py compile\n"
        + "".join(f"{line}\n" for line in asked)
    )
    files["requirements/dev.in"] = "# What work on the service needs on top.\n-c prod.txt\npytest\n"
    if not (folder / "gunicorn.conf.py").exists():
        files["gunicorn.conf.py"] = GUNICORN
    return files


def lock(folder: Path) -> bool:
    """Make the locks and the layers; return whether that went well."""
    if os.environ.get("LAYERCAKE_LOCK") == "skip":
        return False
    made = (
        subprocess.run([sys.executable, "tools/lock.py", "compile", "rebaseline"], cwd=folder, check=False).returncode
        == 0
    )
    if made:
        git(folder, "add", "--", "requirements", "Dockerfile")
    return made
