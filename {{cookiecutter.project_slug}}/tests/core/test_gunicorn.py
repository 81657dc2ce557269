import os
import subprocess
import sys


def test_gunicorn_takes_its_configuration() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--check-config"],
        env=os.environ | {"APP_ENV": "development"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
