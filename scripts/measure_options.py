"""Measures what each option costs, and writes the table of README.md: `make options`. It needs Docker.

A service is generated and built for each answer; counted are the packages of its lock and the bytes of /opt/venv, the
virtual environment in the image. What traces cost is measured in the image as well: rounds of requests inside of one
process, with tracing taken out of the code, there but off, and on with a collector that is never asked.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from cookiecutter.main import cookiecutter

from layercake.options import OPTIONS
from scripts import put

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7
MB = 1_000_000


class Cost(NamedTuple):
    """What a service has, or what an option adds."""

    packages: int
    size: int
    """Bytes of its virtual environment."""
    application: int
    """Lines of Python, as in the next two."""
    tests: int
    tools: int


ASK = """
import sys, time
from flask_service import create_app
from flask_service.core import tracing
if sys.argv[1] == "absent":
    tracing.init_app = lambda app: None
client = create_app().test_client()
for count in (200, 2000):
    started = time.perf_counter()
    for _ in range(count):
        assert client.get("/api/greetings/en").status_code == 200
    taken = time.perf_counter() - started
print(taken / count, flush=True)
__import__("os")._exit(0)
"""


def main() -> int:
    questions = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    base, ratios = measure({}, traces=True)
    costs = {}
    for question in OPTIONS:
        for answer in questions[question][1:]:  # the first is in every service
            cost, _ = measure({question: answer})
            costs[question, answer] = Cost(*(more - less for more, less in zip(cost, base, strict=True)))
    text = table(questions, costs, base) + traces_cost(ratios)
    put(ROOT / "README.md", "options", text)
    print(text)
    return 0


def measure(answers: dict[str, str], *, traces: bool = False) -> tuple[Cost, dict[str, float]]:
    """Return what a service with these answers has, and what traces cost."""
    print("measuring", *(f"{question}={answer}" for question, answer in answers.items()), "...", flush=True)
    tag = "layercake-options"
    os.environ["LAYERCAKE_LOCK"] = "skip"
    with tempfile.TemporaryDirectory() as folder:
        context = {"package_name": "flask_service", **answers}
        project = Path(cookiecutter(str(ROOT), no_input=True, extra_context=context, output_dir=folder))
        packages = len(re.findall(r"(?m)^[\w.-]+==", (project / "requirements/prod.txt").read_text(encoding="utf-8")))
        docker("build", "--quiet", "--tag", tag, str(project))
        try:
            size = int(docker("run", "--rm", tag, "du", "--summarize", "--bytes", "/opt/venv").split()[0])
            lines = {folder: lines_in(project / folder) for folder in ("flask_service", "tests", "tools")}
            cost = Cost(packages, size, lines["flask_service"], lines["tests"], lines["tools"])
            return cost, request_times(tag) if traces else {}
        finally:
            docker("image", "rm", "--force", tag)


def lines_in(folder: Path) -> int:
    """Return how many lines of Python there are below a folder."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))


def request_times(tag: str) -> dict[str, float]:
    """Return how long a request takes with tracing off and on, as multiples of the time without it."""
    key = ("--env", "SECRET_KEY=0123456789abcdef0123456789abcdef", "--env", "LOG_LEVEL=ERROR")
    on = ("--env", "OTEL_TRACES_EXPORTER=otlp", "--env", "OTEL_BSP_SCHEDULE_DELAY=600000")
    taken: dict[str, list[float]] = {"absent": [], "off": [], "on": []}
    for _ in range(ROUNDS):
        for mode, times in taken.items():
            options = (*key, *(on if mode == "on" else ()))
            times.append(float(docker("run", "--rm", *options, tag, "python", "-c", ASK, mode).split()[-1]))
    return {mode: min(times) / min(taken["absent"]) for mode, times in taken.items()}


def docker(*arguments: str) -> str:
    """Return what a docker command prints; end with its words when it fails."""
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"measure_options: docker {arguments[0]} failed: {result.stderr.strip()[-400:]}")
    return result.stdout


def table(questions: dict[str, list[str]], costs: dict[tuple[str, str], Cost], base: Cost) -> str:
    """Return the table as Markdown: a line for each answer that costs something, or one for all of a question."""
    text = "| option | what you get | packages | MB installed | lines: application | tests | tools |\n"
    text += "|---|---|---|---|---|---|---|\n"
    text += f"| every service | what is listed below the table | {figures(base, '')} |\n"
    for question, option in OPTIONS.items():
        asked = {answer: cost for (asked, answer), cost in costs.items() if asked == question}
        dear = [answer for answer, cost in asked.items() if cost.packages or round(cost.size / MB, 1)]
        for answer in dear:
            text += f"| `{question}`: {answer} | {option.what} | {figures(asked[answer], '+')} |\n"
        if not dear:
            tools = [0, *(cost.tools for cost in asked.values())]
            answers = ", ".join(questions[question])
            text += f"| `{question}`: {answers} | {option.what} | 0 | 0 | 0 | 0 | {min(tools)} to {max(tools)} |\n"
    return text


def figures(cost: Cost, sign: str) -> str:
    """Return a cost as cells of the table."""
    shown = (cost.packages, round(cost.size / MB, 1), cost.application, cost.tests, cost.tools)
    return " | ".join(f"{value:{sign}}" if value else "0" for value in shown)


def traces_cost(ratios: dict[str, float]) -> str:
    """Return what a request takes with tracing, in a sentence."""
    return (
        f"\nWith tracing off a request takes {ratios['off']:.2f} times as long as without it in the code; switched on, a "
        f"request\ntakes {ratios['on']:.2f} times as long. `make options` measures all of this.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
