"""The benchmark as people run it: a small part of it, with real engines, a real registry and a real interruption."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.slow]

EMPTY = {"empty", "cached-code", "cached-added"}


def start(results: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks", "--sets", "service", "--stores", "containerd", "--repeats", "1"]
    return subprocess.Popen(
        [*command, "--variants", "uv", "ours", "--results", str(results)], cwd=ROOT, text=True, process_group=0,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def containers() -> list[str]:
    listed = ["docker", "ps", "--all", "--quiet", "--filter", f"label=layercake.benchmark={ROOT / 'benchmarks'}"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()


def test_an_interrupted_run_goes_on_and_shows_that_ours_reinstalls_only_what_changed(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    first = start(results)
    assert first.stdout
    said = []
    for line in first.stdout:
        said.append(line)
        if "repeat 1: ours" in line:  # the other one is done, and kept
            os.killpg(first.pid, signal.SIGINT)
    assert first.wait(timeout=120) == 130, "".join(said)
    assert "goes on from" in said[-1]
    assert containers() == []
    kept = results.read_text(encoding="utf-8")

    second = start(results)
    output = second.communicate(timeout=600)[0]
    assert second.returncode == 0, output
    assert "repeat 1: uv" not in output
    assert results.read_text(encoding="utf-8").startswith(kept)
    records: list[dict[str, Any]] = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    ours = {record["event"]: record for record in records if record["variant"] == "ours"}
    theirs = {record["event"]: record for record in records if record["variant"] == "uv"}

    for event in ("nothing", "code", "docs", "cached-code"):
        assert (ours[event]["ran"], ours[event]["wheels"], ours[event]["pages"]) == ([], {}, 0), event
    for event, package in (("added", "tabulate"), ("bumped", "typing_extensions"), ("cached-added", "tabulate")):
        assert ours[event]["ran"] == ["packages 1/1"]
        assert [name.split("-")[0] for name in ours[event]["wheels"]] == [package]
    assert ours["removed"]["wheels"] == ours["base"]["wheels"] == {}
    assert ours["nothing"]["pushed"] == 0
    assert ours["added"]["pushed"] < theirs["added"]["pushed"] / 10
    assert ours["base"]["pushed"] < theirs["base"]["pushed"] / 10
    assert {event for event, record in ours.items() if record["pulled"] > 1e6} == EMPTY
    assert re.search(r"One package added: bytes fetched .* 1\\.00 x", output)
