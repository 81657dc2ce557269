"""Takes the pictures of the README: `make screenshots` generates a service and looks at its pages in the browser
of the tests. Needs Docker.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.browser import looking_at
from tests.support import ROOT, Project

FOLDER = ROOT / "docs" / "screenshots"
PICTURES = {"landing.png": ("/", "light"), "landing-dark.png": ("/", "dark"), "docs.png": ("/docs", "light")}


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        generate = ["-m", "cookiecutter", "--no-input", "--default-config", "--output-dir", scratch, str(ROOT)]
        subprocess.run([sys.executable, *generate], check=True, env={**os.environ, "LAYERCAKE_LOCK": "skip"})
        with looking_at(Project(Path(scratch, "flask-service"))) as look:
            for name, (path, scheme) in PICTURES.items():
                (FOLDER / name).write_bytes(look("picture.py", path, scheme))
                print(f"wrote docs/screenshots/{name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
