"""Two years of upgrades by calculation: the arithmetic, on histories small enough to add up by hand; no network."""

import http.client
import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fleet, life, life_build, life_locks, life_report
from benchmarks.index import Upstream
from benchmarks.life import NONE, Cost, Heavy, Policy, Rule, always, cost, count, floor, rental, share
from benchmarks.life_index import Pages
from benchmarks.life_locks import KINDS, History, Lock, Wheel, lock_of
from benchmarks.measure import BenchmarkError
from benchmarks.results import Record
from benchmarks.server import LocalServer

NEVER = share(math.inf)


def lock(**packages: str) -> Lock:
    """Return a lock from words like "2 of 30": the version and the bytes."""
    words = {name: text.split(" of ") for name, text in packages.items()}
    return {name: Wheel(version, int(size)) for name, (version, size) in words.items()}


def of(history: Sequence[Lock], *rules: Rule, heavy: Heavy = NONE) -> Cost:
    return cost(list(Policy("", heavy, rules).images(history)))


START = lock(big="1 of 100", mid="1 of 30", small="1 of 10")
BUMPED = lock(big="1 of 100", mid="2 of 31", small="1 of 10")
BOTH = lock(big="1 of 100", mid="2 of 31", small="2 of 11")


def test_the_floor_is_what_is_new_each_week() -> None:
    fewer = lock(big="1 of 100", small="2 of 11")
    more = lock(big="1 of 100", small="2 of 11", other="1 of 5")
    assert floor([START, BUMPED, BUMPED, BOTH, fewer, more]) == [31, 0, 11, 0, 5]


def test_one_layer_is_pushed_whole_whenever_anything_changed() -> None:
    assert of([START, START, BUMPED, BUMPED, BOTH], always) == Cost(
        pushed=141 + 142, pulled=141 + 142, stored=140 + 141 + 142, heavy=(0, 0), edits=0, baselines=2
    )


def test_a_delta_is_pushed_whole_whenever_it_changed_and_not_otherwise() -> None:
    assert of([START, BUMPED, BUMPED, BOTH], NEVER).pushed == 31 + (31 + 11)


def test_a_new_baseline_is_pushed_instead_of_the_delta_once_that_is_past_its_share() -> None:
    history = [lock(a="1 of 50", b="1 of 50"), lock(a="2 of 50", b="1 of 50"), lock(a="2 of 50", b="2 of 50")]
    at_half = of(history, share(0.5))
    assert (at_half.pushed, at_half.baselines) == (50 + 100, 1)  # half is not past half
    assert of(history, share(0.49)).baselines == 2
    assert of(history, share(1.0)).pushed == 50 + 100


def test_a_share_by_count_does_not_see_how_large_a_package_is() -> None:
    big = lock(big="2 of 100", mid="1 of 30", small="1 of 10")
    assert of([START, big], share(0.5)).baselines == 1
    assert of([START, big], count(0.5)).baselines == 0
    assert of([START, BOTH], share(0.5)).baselines == 0
    assert of([START, BOTH], count(0.5)).baselines == 1


def test_a_baseline_is_renewed_once_repeated_bytes_exceed_what_it_costs() -> None:
    history = [lock(stays="1 of 20", once="1 of 30", weekly="1 of 1")]
    history += [lock(stays="1 of 20", once="2 of 30", weekly=f"{week} of 1") for week in range(2, 6)]
    # The deltas are 31 each. In the first, all is new; in each later one, 30 of the 31 are repeated: 0, 30, 60.
    renewed = of(history, rental(1.0))
    assert (renewed.baselines, renewed.pushed) == (1, 31 + 31 + 51 + 1)
    assert of(history, rental(2.0)).baselines == 0


def test_a_removal_has_no_bytes_but_what_comes_back_has() -> None:
    without = lock(big="1 of 100", small="1 of 10")
    removed = of([START, without], NEVER)
    assert (removed.pushed, removed.baselines) == (0, 0)
    images = list(Policy("", NONE, (NEVER,)).images([START, without, START, BUMPED, without, BUMPED]))
    assert [len(image.layers) for image in images] == [1, 2, 1, 2, 2, 2]
    assert cost(images).pushed == 31  # as it was in the baseline, and as a layer that the registry has


def test_what_comes_back_above_a_level_that_removed_it_is_installed_again() -> None:
    without = lock(big="1 of 100", small="2 of 11")
    # The middle level, which removes `mid`, is not past its share when `mid` is back in the version of the baseline.
    assert of([START, without, lock(big="1 of 100", mid="1 of 30", small="2 of 11")], NEVER, NEVER).pushed == 11 + 30


def test_what_the_registry_has_is_not_pushed_again_but_a_node_pulls_it() -> None:
    back = of([START, BUMPED, START], always)
    assert (back.pushed, back.pulled, back.stored) == (141, 141 + 140, 140 + 141)


def test_a_heavy_package_moves_alone() -> None:
    heavy = Heavy(least=100)
    bigger = lock(big="2 of 102", mid="2 of 31", small="1 of 10")
    result = of([START, BUMPED, bigger], NEVER, heavy=heavy)
    assert (result.pushed, result.heavy, result.edits, result.baselines) == (31 + 102, (1, 1), 0, 0)
    assert of([START, BUMPED], share(0.5), heavy=heavy).baselines == 1  # the share is one of the others' bytes


def test_every_change_of_which_packages_are_heavy_is_an_edit() -> None:
    grown = lock(big="1 of 100", mid="2 of 60", small="1 of 10")
    shrunk = lock(big="1 of 100", mid="3 of 40", small="1 of 10")
    result = of([START, grown, shrunk], NEVER, heavy=Heavy(least=50))
    assert (result.heavy, result.edits) == ((1, 2), 2)
    assert result.pushed == 60 + 40
    staying = Heavy(least=50, stays=0.7)
    assert of([START, grown, shrunk], NEVER, heavy=staying).edits == 1
    assert of([START, grown, shrunk, START], NEVER, heavy=staying).edits == 2  # 30 is below 35


def test_only_the_largest_are_heavy_when_there_are_too_many() -> None:
    assert Heavy(least=10).among(START) == {"big", "mid", "small"}
    assert Heavy(least=10, most=2).among(START) == {"big", "mid"}
    assert Heavy(least=11, most=3).among(START) == {"big", "mid"}
    assert Heavy(least=10, most=1).among(lock(b="1 of 10", a="1 of 10")) == {"a"}  # by name, so that it does not waver
    assert Heavy().among(START) == frozenset()


def test_a_third_level_keeps_what_changed_once_out_of_what_changes_every_week() -> None:
    history = [lock(stays="1 of 200", once="1 of 40", weekly="1 of 1")]
    history += [lock(stays="1 of 200", once="2 of 40", weekly=f"{week} of 1") for week in range(2, 5)]
    assert of(history, share(0.5)).pushed == 41 * 3
    assert of(history, share(0.5), share(0.5)).pushed == 41 + 1 + 1
    moved = [*history, lock(stays="1 of 200", once="3 of 150", weekly="4 of 1")]
    result = of(moved, share(0.4), share(0.5))  # 150 is past half of the middle's, then past two fifths of all
    assert (result.pushed, result.baselines) == (41 + 1 + 1 + 351, 1)


def test_ours_keeps_to_its_bars_by_the_floor_and_by_one_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "OURS", Policy("ours", Heavy(least=100), (NEVER,)))
    history = [START, BUMPED, BOTH]
    by_floor, by_node, by_layer = life.lines("heavy", history)
    pushed, classic = 31 + 42, of(history, always).pushed
    assert by_floor.value == pushed / sum(floor(history))
    assert by_node.value == 1.0
    assert not by_floor.reached  # 1.74, at most 1.15
    assert by_layer.value == classic / pushed
    assert by_layer.reached  # 3.88, at least 3
    assert [line.reached for line in life.lines("service", history)] == [True, True]


def test_a_lock_holds_the_wheel_that_this_python_prefers() -> None:
    anywhere, older, newer, stable, own = (
        f"demo-1.0-{tags}.whl"
        for tags in (
            "py3-none-any",
            "cp313-cp313-manylinux2014_x86_64",
            "cp313-cp313-manylinux_2_27_x86_64.manylinux_2_28_x86_64",
            "cp310-abi3-manylinux_2_28_x86_64",
            "cp313-cp313-manylinux1_x86_64",
        )
    )

    def chosen(*wheels: str) -> str:
        entries = ", ".join(f'{{ url = "https://x/{wheel}", size = {len(wheel)} }}' for wheel in wheels)
        result = lock_of(f'[[packages]]\nname = "demo"\nversion = "1.0"\nwheels = [{entries}]\n', "3.13")
        assert result["demo"].version == "1.0"
        return next(wheel for wheel in wheels if len(wheel) == result["demo"].size)

    assert chosen(anywhere, stable) == stable
    assert chosen(stable, own, anywhere) == own
    assert chosen(older, newer, stable) == newer
    assert chosen(own, older) == older


def test_weeks_are_resolved_back_until_there_is_no_solution_and_never_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    errors = {"2026-11-09": "uv ended with 1:\nno wheel"}

    def resolve(day: str, *_: object) -> dict[str, Wheel]:
        asked.append(day)
        if day in errors:
            raise BenchmarkError(errors[day])
        return {"demo": Wheel(day, 1)}

    monkeypatch.setattr(life_locks, "resolve", resolve)
    history = History(tmp_path / "set.json")
    history.wanted, history.newest = "demo\n", "2026-11-23"
    life_locks.extend(history, history.missing(), tmp_path, "", "set")
    assert asked == ["2026-11-23", "2026-11-16", "2026-11-09"]
    kept = History(tmp_path / "set.json")
    assert [entry["demo"].version for entry in kept.locks()] == ["2026-11-16", "2026-11-23"]
    assert (kept.wanted, kept.newest, kept.missing()) == ("demo\n", "2026-11-23", [])


def test_an_index_that_is_down_is_an_error_and_no_end_of_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(day: str, *_: object) -> dict[str, Wheel]:
        if day < "2026-11-23":
            raise BenchmarkError("uv ended with 2:\nerror: Failed to fetch")
        return {}

    monkeypatch.setattr(life_locks, "resolve", resolve)
    history = History(tmp_path / "set.json")
    history.wanted, history.newest = "demo\n", "2026-11-23"
    with pytest.raises(BenchmarkError, match="Failed to fetch"):
        life_locks.extend(history, history.missing(), tmp_path, "", "set")
    missing = History(tmp_path / "set.json").missing()
    assert (missing[0], missing[-1], len(missing)) == ("2026-11-16", "2024-11-25", 104)


def test_a_second_run_asks_nothing_until_the_requirements_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    requirements = ["flask\n"]

    def render(template: Path, folder: Path, **answers: str) -> float:
        place = folder / "bench" / "requirements"
        place.mkdir(parents=True, exist_ok=True)
        (place / "prod.in").write_text(requirements[-1], encoding="utf-8")
        return 0.0

    def resolve(day: str, folder: Path, _: str) -> dict[str, Wheel]:
        asked.append((folder / "wanted.in").read_text(encoding="utf-8"))
        return {"demo": Wheel(day, 1)}

    for name, value in (("render", render), ("resolve", resolve), ("WEEKS", 1)):
        monkeypatch.setattr(life_locks, name, value)
    monkeypatch.setattr(life_locks, "configured_upstream", lambda: Upstream("http://127.0.0.1:9/"))
    life_locks.resolve_all(tmp_path)
    assert len(asked) == 2 * len(KINDS)
    assert asked[-1].endswith("flask\nboto3\nhttpx\nnumpy\npandas\nscikit-learn\n")
    life_locks.resolve_all(tmp_path)
    assert len(asked) == 2 * len(KINDS)
    requirements.append("flask\nredis\n")
    life_locks.resolve_all(tmp_path)
    assert len(asked) == 4 * len(KINDS)
    assert "redis\n" in asked[-1]


def test_the_real_index_is_asked_once_and_for_json(tmp_path: Path) -> None:
    asked: list[str] = []
    files = [
        {"filename": "demo-1.tar.gz", "url": "demo-1.tar.gz"},
        {"filename": "demo-1.whl", "url": "../f/demo-1.whl"},
    ]

    class Real(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            known = self.path == "/simple/demo/" and "json" in self.headers["Accept"]
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"name": "demo", "files": files}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    def get(pages: Pages, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", pages.server_port, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    with LocalServer("127.0.0.1", Real) as real:
        url = f"http://127.0.0.1:{real.server_port}/simple/"
        for _ in range(2):
            with Pages(Upstream(url), tmp_path) as pages:
                status, body = get(pages, "/simple/Demo/")
                assert status == 200
        assert json.loads(body)["files"] == [{"filename": "demo-1.whl", "url": f"{url}f/demo-1.whl"}]
        assert asked == ["/simple/demo/"]
        with Pages(Upstream(url), tmp_path) as pages:
            assert [get(pages, path)[0] for path in ("/simple/other/", "/")] == [404, 404]
    with Pages(Upstream("http://127.0.0.1:9/simple/"), tmp_path) as pages:
        assert get(pages, "/simple/more/")[0] == 502


def kept(folder: Path) -> None:
    for name in KINDS:
        history = History(folder / f"{name}.json")
        history.newest = "2026-11-23"
        history.weeks = {"2026-11-23": dict(BUMPED), "2026-11-16": dict(START)}
        history.save()


def test_a_report_shows_what_is_kept_and_says_when_that_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(life_report, "WORK", tmp_path)
    with pytest.raises(BenchmarkError, match="no locks of service are kept; run it without --report"):
        life_report.histories()
    kept(tmp_path)
    life_report.show(life_report.histories(), {}, None, every=False)
    shown = capsys.readouterr().out
    assert shown.count("2026-11-16 to 2026-11-23, 1 upgrades") == 3
    assert [policy.title for policy in life.POLICIES if shown.count(f"\n{policy.title}  ") != 3] == []


def test_ours_is_what_the_tools_of_a_project_decide() -> None:
    large, small = life.LAYERS.LARGE, life.LAYERS.LARGE // 4
    first = {"big": Wheel("1", large), **{name: Wheel("1", small) for name in ("one", "two", "three")}}
    bumped = {**first, "big": Wheel("2", large // 2), "one": Wheel("2", small)}
    both = {**bumped, "two": Wheel("2", small), "big": Wheel("3", large // 2 - 1)}
    images = list(life.OURS.images([first, bumped, both]))
    assert [image.heavy for image in images] == [{"big"}, {"big"}, frozenset()]
    assert [bool(image.renewed) for image in images] == [True, False, True]  # a third has changed, then two and big
    assert life.weekly(images) == [large // 2 + small, large // 2 - 1 + 3 * small]


def test_the_weeks_that_are_built_are_near_the_middle_and_have_a_new_baseline() -> None:
    small = life.LAYERS.LARGE // 4
    history: list[Lock] = [{"one": Wheel("1" if week < 70 else "2", small)} for week in range(100)]
    weeks = life_build.window(history)
    assert len(weeks) == life_build.WEEKS + 1
    assert weeks.stop == 71  # the first one that has week 70
    assert life_build.window(history[:50]).start == (50 - 13) // 2


def week(way: str, number: int, **values: Any) -> Record:
    place = Record("life-heavy", "containerd", way, f"2026-01-{number:02}", 0, inputs="1", where="an engine")
    return replace(place, **values)


def test_the_document_tells_of_weeks_and_of_a_fleet_that_were_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life_report, "WORK", tmp_path)
    kept(tmp_path)
    seconds = {"classic": 9.0, "uv": 5.0, "uv-multi-stage": 6.0, "ours": 2.0}
    records = [
        week(way, number, seconds=seconds[way], pushed=10_000_000, node=9_000_000, cache=500_000, wheels={"a": 1})
        for number in range(1, life_build.WEEKS + 2)
        for way in seconds
    ]
    assert life_report.built_of(records[:5]) == {}  # nothing but the first image
    assert life_report.built_of(records[:-1])["heavy"].weeks == life_build.WEEKS - 1
    built = life_report.built_of(records)
    services = fleet.Services({"a": 900_000, "b": 10, "c": 10}, [(["a", "b"], ["a", "b", "c"]), (["b"], ["b"])])
    monkeypatch.setattr(life_report, "SERVICES", tmp_path / "services.json")
    (tmp_path / "services.json").write_text(json.dumps(services._asdict()), encoding="utf-8")
    layers = [50_000_000, 3_000_000, 2_000_000, 1_000_000, 0, 1000, 2000]  # base, a, b, c, no baseline, code
    one = Record("fleet", "containerd", "one-copy", "one-copy", 0, inputs="2", layers=layers)
    two = [replace(one, variant="ours", event=name, pushed=100_000, node=7, layers=layers) for name in "ab"]
    ships = life_report.fleet_of([one, *two])
    assert ships
    assert ships.packages == {"a": 3_000_000, "b": 2_000_000, "c": 1_000_000}
    assert ships.least == 56_000_000 + 2 * 3000
    assert (ships.stored("ours"), ships.pulled("ours")) == (56_003_000 + 100_000, 14)
    page = life_report.page(life_report.histories(), built, ships)
    assert "takes ours 2.0 s (median), uv, one layer, the fastest of the others, 5.0 s" in page
    assert "ours is 1.00 times that" in page
    tables = life_report.tables(life_report.histories(), built, ships)
    assert "| Layers (ours) | 2.00 s (2.00..2.00) | 0.00 | 120 | 108 | 6.00 |" in tables
    for _, picture in life_report.pictures(life_report.histories(), built, ships):
        ET.fromstring(picture)
