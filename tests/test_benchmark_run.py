"""The benchmark as people run it: a small part of it, with real engines, a real registry and a real interruption."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.thorough]

EMPTY = {"empty", "cached-code", "cached-added"}


def start(results: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks", "--sets", "service", "--stores", "containerd", "--variants", "ours"]
    return subprocess.Popen(
        [*command, "--repeats", "1", "--results", str(results)], cwd=ROOT, text=True, process_group=0,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def containers() -> list[str]:
    listed = ["docker", "ps", "--all", "--quiet", "--filter", f"label=layercake.benchmark={ROOT / 'benchmarks'}"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()


def test_ours_reinstalls_only_what_changed_and_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    process = start(results)
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if ": nothing: ours" in line:
            os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) == 130, "".join(said)
    assert "the same command goes on from" in said[-1]
    assert containers() == []
    kept = results.read_text(encoding="utf-8")
    assert json.loads(kept.splitlines()[-1])["event"] == "nothing"

    process = start(results)
    output = process.communicate(timeout=600)[0]
    assert process.returncode == 0, output
    after = results.read_text(encoding="utf-8")
    assert after.startswith(kept)
    records: list[dict[str, Any]] = list(map(json.loads, after.splitlines()))
    assert len(records) == len({record["event"] for record in records})
    ours = {record["event"]: record for record in records}
    for event in ("nothing", "code", "docs", "cached-code"):
        assert (ours[event]["ran"], ours[event]["wheels"], ours[event]["pages"]) == ([], {}, 0), event
    for event, package in (
        ("added", {"tabulate"}),
        ("bumped", {"typing_extensions"}),
        ("cached-added", {"tabulate", "uv"}),
    ):
        # A cache of the image alone does not have uv. The step that installs it is not told from a cached one where it
        # fetches the base image as well.
        assert {*ours[event]["ran"]} - ({"tools 1/2"} if "uv" in package else set()) == {"packages 1/1"}
        assert {name.split("-")[0] for name in ours[event]["wheels"]} == package
        assert 0 < ours[event]["pushed"] < 200_000
    assert ours["empty"]["cache"] < 100_000  # nothing but what the image has
    assert ours["removed"]["wheels"] == ours["base"]["wheels"] == {}
    assert ours["nothing"]["pushed"] < 5_000  # a manifest, no layer
    assert 0 < ours["base"]["pushed"] < 50_000  # the layers of packages are the same on another base image
    assert {event for event, record in ours.items() if record["pulled"] > 1e6} == EMPTY
