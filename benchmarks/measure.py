"""Times processes, and turns repeats into figures."""

import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self


class BenchmarkError(Exception):
    """Why there are no figures, in one line or with the output of what failed below it."""


class Spread(NamedTuple):
    """What repeats gave: a median and the extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def seconds(self) -> str:
        """Return it for people: "1.23 s (1.10..1.40)"."""
        return f"{self.median:.2f} s ({self.low:.2f}..{self.high:.2f})"


HEAD = ("What", "Measured: median (lowest..highest)", "Ratio", "Bar", "Verdict")


@dataclass(frozen=True)
class Line:
    """One number of the report, beside the bar it has to reach."""

    what: str
    figures: str
    """What the number was made of."""
    value: float
    bar: float
    at_least: bool = False
    """Whether the value has to be at least the bar; else at most."""
    unit: str = " x"

    @property
    def reached(self) -> bool:
        """Whether the value keeps to the bar."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the row of a table: what, figures, value, bar and verdict."""
        bar = f"{'at least' if self.at_least else 'at most'} {self.bar:g}{self.unit}"
        value = f"{self.value:.2f}" if self.value < 10 and self.unit else f"{self.value:.0f}"
        return self.what, self.figures, f"{value}{self.unit}", bar, "reached" if self.reached else "MISSED"


def compare(what: str, ours: tuple[str, Sequence[float]], other: tuple[str, Sequence[float]], *, faster: float) -> Line:
    """Return the line for "ours is at least `faster` times as fast": the ratio of the medians."""
    mine, theirs = Spread.of(ours[1]), Spread.of(other[1])
    figures = f"{ours[0]} {mine.seconds()}, {other[0]} {theirs.seconds()}"
    return Line(what, figures, theirs.median / mine.median, faster, at_least=True)


def limit(what: str, ours: tuple[str, Sequence[float]], other: tuple[str, Sequence[float]], *, times: float) -> Line:
    """Return the line for "ours takes at most `times` as long": the ratio of the medians."""
    mine, theirs = Spread.of(ours[1]), Spread.of(other[1])
    figures = f"{ours[0]} {mine.seconds()}, {other[0]} {theirs.seconds()}"
    return Line(what, figures, mine.median / theirs.median, times)


def machine() -> str:
    """Return the processor, the number of cores this run may use, the memory and the system."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = model[1] if model else platform.processor()
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"


class Run(NamedTuple):
    """A process that ended well."""

    seconds: float
    output: str


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
    """Run a command, with `env` on top of this environment, and time it. Raises BenchmarkError with its output when it fails."""
    started = time.perf_counter()
    try:
        result = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(env or {})}, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    except OSError as error:
        raise BenchmarkError(f"{command[0]} cannot be run: {error}") from error
    seconds = time.perf_counter() - started
    if result.returncode:
        raise BenchmarkError(f"{' '.join(map(str, command))} ended with {result.returncode}:\n{result.stdout[-3000:]}")
    return Run(seconds, result.stdout)


class Progress:
    """Says what happens, how much of the run is done and how long the rest will take.

    Args:
        total: the cost of the whole run, in the unit of `advance`.
    """

    def __init__(self, total: float) -> None:
        self._total = total
        self._done = 0.0
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line with the remaining time, once there is something to judge by."""
        left = ""
        if self._done:
            minutes = (time.monotonic() - self._started) * (self._total - self._done) / self._done / 60
            left = f", {minutes:.0f} min left" if minutes >= 1 else ", less than a minute left"
        print(f"[{100 * self._done / self._total:3.0f} %{left}] {text}", file=sys.stderr, flush=True)

    def advance(self, cost: float) -> None:
        """Count a piece of the run as done."""
        self._done += cost
