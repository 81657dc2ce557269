"""Renews the locks that the template ships: `make locks`.

Writes locks/X.Y.txt and locks/tools-X.Y.txt for every Python of cookiecutter.json, each a superset for all answers;
locks/sizes.json, how large the wheels are that they pin, by which packages get layers of their own;
locks/made-on.txt, the day; locks/import-names.txt, the module names that a package must not take; requirements.txt, what the template itself is
made and tested with; and tests/browser/requirements.txt, what drives its browser. The tools are resolved on their
own: what a dependency manager needs must not hold back what a service runs on. uv resolves, because it can do so for
a Python that is not on this machine. Everything is resolved before the first file is replaced.
"""

import datetime
import itertools
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from layercake import locks

ROOT = Path(__file__).resolve().parent.parent
SCAFFOLD = ROOT / "{{cookiecutter.project_slug}}"
LOCKS = ROOT / "locks"
RESOLVE = ("pip", "compile", "--quiet", "--no-config", "--no-header", "--generate-hashes", "--upgrade")


def main() -> int:
    asked = {"": what_any_answer_asks_for("prod.in", "dev.in"), "tools-": what_any_answer_asks_for("tools.in")}
    pythons: list[str] = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))["python_version"]

    texts: dict[Path, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for (prefix, text), python in itertools.product(asked.items(), pythons):
            name = f"{prefix}{python}.txt"
            print(f"resolving {name} ...", flush=True)
            requirements = Path(scratch, "all.in")
            requirements.write_text(text, encoding="utf-8")
            lock = uv(*RESOLVE, "--python-version", python, "--python-platform", "linux", str(requirements))
            shipped = locks.parse(lock)
            missing = locks.names_in(text) - shipped.pins.keys()
            if missing:
                sys.exit(f"renew_locks: uv left out {', '.join(sorted(missing))} for Python {python}")
            texts[LOCKS / name] = locks.render(shipped, shipped.pins, roots=set(), source="")
        print("asking for sizes ...", flush=True)
        texts[LOCKS / "sizes.json"] = json.dumps(sizes(texts, pythons, scratch), indent=2, sort_keys=True) + "\n"
        texts[LOCKS / "made-on.txt"] = f"{datetime.datetime.now(datetime.UTC).date()}\n"
        print("reading the module names ...", flush=True)
        everything = Path(scratch, "everything.txt")
        everything.write_text(texts[LOCKS / f"{pythons[0]}.txt"], encoding="utf-8")
        site = Path(scratch, "site")
        install = ["pip", "install", "--quiet", "--no-config", "--no-deps", "--require-hashes"]
        uv(*install, "--python-version", pythons[0], "--python-platform", "linux", "--only-binary", ":all:",
           "--target", str(site), "--requirement", str(everything))  # fmt: skip
        modules = {entry.name.split(".")[0] for entry in site.iterdir() if not entry.name.endswith(".dist-info")}
        modules.add("pip")  # `make setup` runs it in the project's folder
        names = sorted(name for name in modules if name.isidentifier() and not name.startswith("_"))
        texts[LOCKS / "import-names.txt"] = "".join(f"{name}\n" for name in names)
        print("resolving what the template is made with ...", flush=True)
        texts[ROOT / "requirements.txt"] = uv(
            *RESOLVE, "--universal", "--python-version", min(pythons, key=minor), "requirements.in"
        )
        browser = "tests/browser/requirements"  # for the Python of its Dockerfile
        texts[ROOT / f"{browser}.txt"] = uv(
            *RESOLVE, "--python-version", "3.13", "--python-platform", "linux", f"{browser}.in"
        )

    for path, text in texts.items():
        new = path.with_name(f".{path.name}.new")
        new.write_text(text, encoding="utf-8", newline="\n")
        new.replace(path)
    print("wrote", *(path.relative_to(ROOT) for path in texts))
    return 0


def sizes(texts: dict[Path, str], pythons: list[str], scratch: str) -> dict[str, int]:
    """Return the bytes of the largest wheel for Linux of each pin in the locks of services, like "flask==3.1.3"."""
    found: dict[str, int] = {}
    for python in pythons:
        lock = Path(scratch, "sizes.txt")
        lock.write_text(texts[LOCKS / f"{python}.txt"], encoding="utf-8")
        options = ["--no-deps", "--format", "pylock.toml", "--python-version", python, "--python-platform", "linux"]
        listed = uv("pip", "compile", "--quiet", "--no-config", "--no-header", *options, str(lock))
        for package in tomllib.loads(listed)["packages"]:
            pin = f"{package['name']}=={package['version']}"
            found[pin] = max(found.get(pin, 0), *(wheel["size"] for wheel in package["wheels"]))
    return found


def what_any_answer_asks_for(*names: str) -> str:
    """Return the requirements in these files, for all answers at once."""
    texts = ((SCAFFOLD / "requirements" / name).read_text(encoding="utf-8") for name in names)
    return re.sub(r"^({%|-c ).*\n", "", "".join(texts), flags=re.MULTILINE)


def minor(python: str) -> int:
    """Return 14 for "3.14": what Pythons are ordered by."""
    return int(python.split(".")[1])


def uv(*arguments: str) -> str:
    """Return what a uv command prints; end with its message when it fails."""
    result = subprocess.run(
        [sys.executable, "-m", "uv", *arguments], stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT
    )
    if result.returncode:
        sys.exit(f"renew_locks: uv {arguments[0]} {arguments[1]} failed; nothing was changed")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
