"""Writes templates/openapi.json, the description of the API of a service with every option: `make openapi`.

The service is generated, installed by its shipped locks, and asked. What a project with fewer options has is cut out.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTION = ROOT / "templates" / "openapi.json"
ANSWERS = {"database": "sqlite", "background_jobs": "celery", "error_tracking": "sentry"}


def main() -> int:
    """Return 0 when it is written."""
    DESCRIPTION.write_text(json.dumps(describe(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8", newline="\n")
    return 0


def describe() -> dict[str, object]:
    """Return the description of the API of a service with every option."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAYERCAKE_LOCK"] = "skip"
        context = {"project_name": "Every option", "package_name": "service", "python_version": python, **ANSWERS}
        project = cookiecutter(str(ROOT), no_input=True, extra_context=context, output_dir=folder)
        venv = Path(folder, "venv")
        uv = (sys.executable, "-m", "uv")
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, venv], check=True)
        install = ("pip", "sync", "--quiet", "--python", venv / "bin/python", "--require-hashes")
        subprocess.run([*uv, *install, "requirements/prod.txt"], cwd=project, check=True)
        ask = [str(venv / "bin/python"), "-m", "flask", "--app", "service", "openapi"]
        environment = os.environ | {"APP_ENV": "development"}
        result = subprocess.run(ask, cwd=project, env=environment, check=True, capture_output=True, text=True)
        found: dict[str, object] = json.loads(result.stdout)
        return found


if __name__ == "__main__":
    sys.exit(main())
