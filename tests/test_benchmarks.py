"""The benchmark's own arithmetic, its local package index, its plots and its memory; nothing is timed."""

import gzip
import http.client
import io
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import scenario, trials
from benchmarks.document import document
from benchmarks.engines import steps_that_ran
from benchmarks.figures import Figures, Measured, lines_of
from benchmarks.index import Index, Traffic, Upstream
from benchmarks.measure import BenchmarkError, Spread, compare, limit
from benchmarks.plots import Bar, bars, grid
from benchmarks.report import with_short_version
from benchmarks.results import Record, Results
from benchmarks.rounds import take_turns
from benchmarks.variants import VARIANTS, Variant
from tests.support import ROOT

METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
PAGE = b'<a href="../../packages/demo-1.0-py3-none-any.whl#sha256=abc">demo</a>\n' * 50
LINK = "demo-1.0-py3-none-any.whl"


def wheel() -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("demo-1.0.dist-info/METADATA", METADATA)
    return buffer.getvalue()


WHEEL = wheel()


@pytest.fixture
def asked() -> list[str]:
    """What the real index has been asked for."""
    return []


@pytest.fixture
def index(tmp_path: Path, asked: list[str]) -> Iterator[Index]:
    """A local index before a real one, which sends no cache headers and knows one package."""
    known = {"/simple/demo/": PAGE, "/pypi/demo/json": b"{}", f"/packages/{LINK}": WHEEL}

    class Real(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path in known else 404)
            self.end_headers()
            self.wfile.write(known.get(self.path, b""))

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Real) as real:
        Thread(target=real.serve_forever, args=(0.01,), daemon=True).start()
        with Index(Upstream(f"http://127.0.0.1:{real.server_port}/simple/"), tmp_path) as local:
            yield local
        real.shutdown()


def get(index: Index, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", index.server_port, timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def link_of(page: bytes) -> str:
    return page.decode().split('"')[1].partition("#")[0]


def test_a_page_may_be_kept_for_ten_minutes_and_is_then_asked_for_by_its_tag(index: Index) -> None:
    first, body = get(index, "/simple/demo/")
    assert first.status == 200
    assert first.headers["Cache-Control"] == "public, max-age=600"
    again, nothing = get(index, "/simple/demo/", If_None_Match=first.headers["ETag"])
    assert (again.status, nothing) == (304, b"")
    assert again.headers["Cache-Control"] == "public, max-age=600"
    assert get(index, "/simple/demo/", If_None_Match='"another"')[0].status == 200
    assert index.traffic() == Traffic(pages=3, page_bytes=2 * len(body))


def test_a_page_is_packed_for_those_who_ask_and_counted_as_sent(index: Index) -> None:
    plain = get(index, "/simple/demo/")[1]
    before = index.traffic()
    response, packed = get(index, "/simple/demo/", Accept_Encoding="gzip, deflate")
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain)
    assert index.traffic() - before == Traffic(pages=1, page_bytes=len(packed))


def test_a_file_may_be_kept_for_ever_and_is_counted_apart_from_pages(index: Index) -> None:
    link = link_of(get(index, "/simple/Demo/")[1])
    assert link.endswith(LINK)
    before = index.traffic()
    response, body = get(index, link)
    assert body == WHEEL
    assert response.headers["Cache-Control"] == "public, immutable, max-age=31536000"
    assert index.traffic() - before == Traffic(files=Counter({LINK: len(WHEEL)}))
    assert get(index, f"{link}.metadata")[1] == METADATA


def test_the_real_index_is_asked_once(index: Index, asked: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        get(index, link_of(get(index, "/simple/demo/")[1]))
        get(index, "/pypi/demo/json")
    with Index(index.upstream, tmp_path) as later:
        get(later, link_of(get(later, "/simple/demo/")[1]))
    assert sorted(asked) == [f"/packages/{LINK}", "/pypi/demo/json", "/simple/demo/"]


def test_what_is_not_there_is_not_found(index: Index) -> None:
    statuses = [get(index, path)[0].status for path in ("/simple/other/", "/files/0/x.whl", "/pypi/other/json", "/")]
    assert statuses == [404] * 4


def test_a_spread_is_the_median_between_the_extremes() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0)
    assert Spread.of([4.0, 2.0]).seconds() == "3.00 s (2.00..4.00)"


def test_a_bar_is_judged_by_the_ratio_of_the_medians() -> None:
    fast, slow = ("ours", [1.0, 1.0, 9.0]), ("classic", [12.0, 12.0, 1.0])
    assert compare("add", fast, slow, faster=12).cells()[2:] == ("12 x", "at least 12 x", "reached")
    assert compare("add", fast, slow, faster=12.5).cells()[-1] == "MISSED"
    assert limit("code", slow, fast, times=12).cells()[2:] == ("12 x", "at most 12 x", "reached")
    assert limit("code", slow, fast, times=11).cells()[-1] == "MISSED"


def test_a_step_ran_when_it_was_neither_cached_nor_fetched_from_a_registry() -> None:
    log = """\
#6 [base 2/2] WORKDIR /app
#6 CACHED

#8 [baseline 1/1] RUN --mount=type=cache,target=/x python sync.py
#8 CACHED

#7 [tools 1/1] RUN pip install uv
#7 sha256:aaa53febf9bb 17.76MB / 17.76MB 1.0s done
#7 extracting sha256:aaa53febf9bb 1.1s done
#7 DONE 1.2s

#9 [packages 1/1] RUN python sync.py
#9 0.202 Using Python
#9 CACHED is not what a step says of itself
#9 DONE 1.4s

#9 [packages 1/1] RUN python sync.py
#10 [production 1/2] COPY --link gunicorn.conf.py ./
#10 DONE 0.1s
"""
    assert steps_that_ran(log) == ["packages 1/1"]


def test_the_short_version_replaces_the_one_before_and_names_the_best_rival() -> None:
    seconds = {"classic": 9.0, "split": 4.0, "uv": 3.0, "ours": 1.0}
    figures = Figures([record(variant, "added", seconds=value) for variant, value in seconds.items()])
    first = with_short_version("# Layercake\n", figures)
    assert "| package added (service) | **1.00** | 3.00 (uv, one layer) | 9.00 |" in first
    assert first.startswith("# Layercake\n\n<!-- benchmark -->\n")
    changed = first.replace("**1.00**", "**9.99**") + "\nThe end.\n"
    assert with_short_version(changed, figures) == first + "\nThe end.\n"


def record(variant: str, event: str, repeat: int = 0, **values: object) -> Record:
    place = Record("service", "containerd", variant, event, repeat, inputs="1")
    return replace(place, **{"layers": [5, 6], "seconds": 1.0, "pushed": 1, **values})  # type: ignore[arg-type]


def test_an_interrupted_run_keeps_what_it_has_and_knows_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    Results(file).add(record("ours", "code"))
    with file.open("a", encoding="utf-8") as text:
        text.write('{"set": "service", "sto')  # as a full disk leaves it
    again = Results(file)
    assert again.have([record("ours", "code", seconds=99.0)])
    assert not again.have([record("ours", "code"), record("ours", "code", repeat=1)])
    assert not again.have([replace(record("ours", "code"), inputs="2")])


def test_only_figures_that_were_measured_together_are_compared(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    for variant in ("classic", "ours"):
        results.add(record(variant, "code", seconds=1.0))
    results.add(record("ours", "code", seconds=3.0))
    results.add(replace(record("ours", "code", seconds=2.0), inputs="2"))
    records = Results(results.path).records
    assert [(one.variant, one.seconds) for one in records] == [("classic", 1.0), ("ours", 3.0), ("ours", 2.0)]
    asked = Figures(records, {"2"})
    assert asked.cell("service", "containerd", "classic", "code") is None
    assert [one.seconds for one in asked.records] == [2.0]


def test_a_first_look_does_not_hide_a_larger_run_and_the_newer_of_two_is_shown() -> None:
    large = [record(variant, "code", seconds=1.0) for variant in ("classic", "ours")]
    look = replace(record("ours", "code", seconds=2.0), inputs="2")
    newer = [replace(one, inputs="3", seconds=3.0) for one in large]
    assert Figures([*large, look]).records == large
    assert Figures([*large, look, *newer]).records == newer
    assert Figures([*newer, *large]).records == large


class Turn:
    """A round without engines, which can fail at an event or ask the real index there."""

    def __init__(self, variant: str, fails_at: str = "", asks_at: str = "") -> None:
        self.variant, self.fails_at, self.asks_at = Variant(variant, "", ""), fails_at, asks_at
        self.engine, self.built = nullcontext, list[str]()

    def events(self) -> tuple[scenario.Event, ...]:
        return scenario.EVENTS[:3]

    def expected(self, event: scenario.Event) -> Record:
        return record(self.variant.name, event.name)

    def one(self, _engine: object, event: scenario.Event) -> Record | None:
        self.built.append(event.name)
        if event.name == self.fails_at:
            raise BenchmarkError("the engine has lost a layer")
        return None if event.name == self.asks_at else self.expected(event)


def taken(turns: list[Turn], results: Results) -> list[tuple[str, str]]:
    rounds: Any = turns
    return [(one.event, one.variant) for one in take_turns(rounds, results.have)]


def test_a_variant_whose_build_fails_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = Results(tmp_path / "results.jsonl")
    events = taken([Turn("classic", fails_at="nothing"), Turn("ours")], results)
    assert events == [("empty", "classic"), ("empty", "ours"), ("nothing", "ours"), ("code", "ours")]
    assert capsys.readouterr().err == "benchmarks: classic, nothing: the engine has lost a layer\n"


def test_a_run_goes_on_with_the_next_event_and_measures_it_for_all(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    for variant, event in (("classic", "empty"), ("ours", "empty"), ("classic", "nothing")):
        results.add(record(variant, event))
    turns = [Turn("classic"), Turn("ours")]
    rest = [(event, variant) for event in ("nothing", "code") for variant in ("classic", "ours")]
    assert taken(turns, results) == rest
    results.add(record("ours", "nothing"))
    turns = [Turn("classic"), Turn("ours")]
    assert taken(turns, results) == rest[2:]
    assert turns[0].built == ["empty", "nothing", "code"]  # what the last one finds is as the others left it


def test_a_build_for_which_the_real_index_was_asked_is_not_counted(tmp_path: Path) -> None:
    events = taken([Turn("ours", asks_at="nothing")], Results(tmp_path / "results.jsonl"))
    assert events == [("empty", "ours"), ("code", "ours")]


def test_the_bars_are_computed_from_the_records() -> None:
    wheel, other = f"{scenario.ADDED}-1.whl", "flask-1.whl"
    records = [
        *(record("ours", "added", n, seconds=s, pushed=100_000, wheels={wheel: 60_000})
          for n, s in enumerate((0.5, 1.0, 9.0))),
        *(record("classic", "added", n, seconds=s, pushed=10_000_000, wheels={wheel: 40_000, other: 100_000})
          for n, s in enumerate((14.0, 16.0, 15.0))),
        *(record("uv", "added", n, seconds=s) for n, s in enumerate((1.0, 2.0, 20.0))),
        record("ours", "nothing"),
        *(record("ours", "base", n, wheels={other: 1} if n else {}, pushed=64_001 if n else 9) for n in range(2)),
        *(record("ours", "code", n, seconds=1.5, pushed=pushed) for n, pushed in enumerate((20_000, 20_000, 70_000))),
        *(record("ours", "cached-code", n, ran=ran) for n, ran in enumerate(([], [], ["packages 1/1"]))),
        record("ours", "empty", layers=[50, 7, 40, 3]), record("classic", "empty", seconds=2.0, layers=[50, 7, 60]),
        record("uv-multi-stage", "empty", layers=[50, 7, 43]),
    ]  # fmt: skip
    verdicts = {line.what: (round(line.value, 2), line.reached) for line in lines_of(Figures(records))}
    assert verdicts == {
        "Package added (service): time, against the best rival": (0.5, True),
        "Package added (service): time over that of nothing changed": (0.0, True),
        "Package added (service): bytes fetched, against the new wheels": (1.5, False),
        "Package added (service): times fewer bytes pushed than the classic order": (100.0, True),
        "Code changed (service): time, against nothing changed": (1.5, False),
        "Code changed (service): bytes pushed": (70.0, False),
        "Base image changed (service): most wheels fetched": (1, False),
        "Base image changed (service): bytes pushed": (64.0, False),
        "Code changed, empty builder with cache (service): most requests to the index and RUN steps": (1, False),
        "Empty builder (service): time, against the best rival": (1.0, True),
        "Image (service): bytes, against base, packages and code": (1.0, True),
    }


def test_the_document_has_every_variant_every_event_and_every_missed_bar() -> None:
    events = [event.name for event in scenario.EVENTS]
    layers = {"ours": [5, 6], "uv-multi-stage": [5, 6]}
    records = [
        record(variant.name, event, seconds=3.25, where="an engine", layers=layers.get(variant.name, [5, 7]))
        for variant in VARIANTS
        for event in events
    ]
    measured = Measured.of(records)
    text = document(measured)
    for variant in VARIANTS:
        (row,) = (line for line in text.splitlines() if line.startswith(f"| {variant.title} |") and "**" in line)
        assert row.count("**3.25**") == len(events)
        assert f"(`{variant.name}`): {variant.what}" in text
    missed = [line.what for line in lines_of(measured.ways) if not line.reached]
    assert len(missed) >= 4
    for what in missed:
        assert f"- {what}: " in text
    assert "- an engine\n" in text


def test_a_slow_link_has_a_table_of_its_own_and_changes_no_other_figure() -> None:
    fast = [record("classic", "empty", seconds=9.0), record("ours", "empty", seconds=3.0)]
    slow = [record("classic", "empty", seconds=40.0, rate=1.25e6), record("ours", "empty", seconds=50.0, rate=1.25e6)]
    records = [*fast, *(replace(one, inputs="2") for one in slow)]
    before, after = document(Measured.of(fast)), document(Measured.of(records))
    start, end = after.index("## A package index at 1.25 MB/s"), after.index("## What was tried")
    assert after[:start] + after[end:] == before
    assert "| 1.25 x | at most 1 x | MISSED |" in after
    assert "**40.00**" in after


def test_a_run_of_trials_has_a_table_of_its_own_and_changes_no_other_figure() -> None:
    ways = [record(variant, event) for variant in ("classic", "ours") for event in ("empty", "added")]
    trials = [record(variant, event, seconds=7.0) for variant in ("ours", "trial-zstd") for event in ("empty", "added")]
    records = [*ways, *(replace(one, inputs="2") for one in trials)]
    before, after = document(Measured.of(ways)), document(Measured.of(records))
    start, end = after.index("Service set, containerd image store; repeats"), after.index("## How")
    assert after[:start] + after[end:] == before
    assert "| zstd layers | 7.00 | 7.00 |" in after[start:end]


def test_a_run_of_all_variants_and_trials_tells_of_both() -> None:
    together = [record(one, event) for one in ("classic", "ours", "trial-zstd") for event in ("empty", "added")]
    measured = Measured.of(together)
    assert measured.ways.records == together
    assert measured.trials.records == together[2:]


def test_a_slow_link_sends_the_same_bytes_and_waits_for_each(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    link = link_of(get(index, "/simple/demo/")[1])
    waits: list[float] = []
    monkeypatch.setattr("benchmarks.index.time", SimpleNamespace(monotonic=lambda: 0.0, sleep=waits.append))
    assert get(index, link)[1] == WHEEL
    assert waits == []
    index.rate = 1e5
    assert get(index, link)[1] == WHEEL
    assert sum(waits) == pytest.approx(len(WHEEL) / 1e5)


def test_every_trial_changes_the_dockerfile_of_today() -> None:
    text = next(ROOT.glob("*project_slug*/Dockerfile")).read_text(encoding="utf-8")
    for trial, change in trials.CHANGES.items():
        assert change(text) != text, trial.name
    assert f"zipfile, {trials.STARTED}' && \\\n" in trials.CHANGES[trials.START_BYTECODE](text)


def test_a_plot_is_well_formed_whatever_it_shows() -> None:
    rows = [Bar("<ours> & others", 1.0, 0.5, 2.0, ours=True), Bar("classic", 0.0, 0.0, 0.0)]
    for picture in (bars("a < b", "s", rows), grid("a < b", "n", ["code & docs"], [("x", [None]), ("y", [2.0])])):
        root = ET.fromstring(picture)
        words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "a < b" in words
        assert "prefers-color-scheme: dark" in picture
