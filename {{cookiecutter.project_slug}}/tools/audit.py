"""Names the known vulnerabilities of the packages that the locks pin (make audit). Standard library only.

uv asks osv.dev; AUDIT_URL names another server that answers as it does. Ends with 1 when there are vulnerabilities,
and with 2 when nobody could be asked.
"""

import os
import subprocess
import sys

import lock
from indexes import masked
from pins import LockError, parse

PROJECT = '[project]\nname = "locked"\nversion = "0"\nrequires-python = ">=%s"\ndependencies = [%s]\n'
LOCK = """\
version = 1
requires-python = ">=%s"

[[package]]
name = "locked"
version = "0"
source = { virtual = "." }
dependencies = [%s]
"""
PACKAGE = """
[[package]]
name = "%s"
version = "%s"
source = { registry = "https://index.invalid/simple" }
"""


def main() -> int:
    try:
        return audit()
    except KeyboardInterrupt:
        return 130
    except (LockError, OSError) as error:
        print(f"audit: {masked(str(error))}.", file=sys.stderr)
        return 2


def audit() -> int:
    """Print what is known of the pins, and return 1 when that is something. Raises LockError."""
    pins = lock.pinned()
    python = lock.python_with_uv(lock.find_interpreter() or sys.executable)
    server = ["--service-url", os.environ["AUDIT_URL"]] if os.environ.get("AUDIT_URL") else []
    options = ["--frozen", "--no-config", "--preview-features", "audit-command", *server]
    with lock.scratch_folder() as work:
        manifest = PROJECT % (lock.PYTHON, ", ".join(f'"{name}"' for name in pins))
        (work / "pyproject.toml").write_text(manifest, encoding="utf-8")
        locked = LOCK % (lock.PYTHON, ", ".join('{ name = "' + name + '" }' for name in pins))
        locked += "".join(PACKAGE % pin for pin in pins.items())
        (work / "uv.lock").write_text(locked, encoding="utf-8")
        command = [python, "-I", "-m", "uv", "audit", *options]
        settings = os.environ | {"UV_PYTHON": python, "UV_PYTHON_DOWNLOADS": "never"}
        result = subprocess.run(command, cwd=work, env=settings, capture_output=True, text=True, check=False)
    if result.returncode not in (0, 1):
        asked = os.environ.get("AUDIT_URL") or "osv.dev"
        raise LockError(f"{asked} could not be asked, so nothing is known: {lock.last_words(result.stderr)}")
    print(result.stdout.strip() or f"audit: no known vulnerability in {len(pins)} packages.")
    elsewhere = {name for file in (lock.PROD, lock.DEV) for name in parse(lock.current(file), file)} - pins.keys()
    if elsewhere:
        print(f"audit: nobody was asked about {', '.join(sorted(elsewhere))}, pinned by a URL.", file=sys.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
