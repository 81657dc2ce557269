"""The other ways to build the image: what is made of the lock for them, and some of them built for real."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest

from benchmarks.index import Index, configured_upstream
from benchmarks.measure import BenchmarkError
from benchmarks.variants import OURS, VARIANTS, Variant, prepare, settings
from benchmarks.variants.locks import OWN, Pin, pins_of, pipfile, pipfile_lock, poetry_hash, split
from tests.conftest import Bake
from tests.containers import KEY, PYTHON, a_new_package, ask, built, docker, pins, running
from tests.support import tool

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
LOCK = f"""\
# a comment
beta==2.0.post1 \\
    --hash={C}
Alpha_One[extra]==1.0 ; sys_platform == "linux" \\
    --hash={B} \\
    --hash={A}
    # via beta
"""
FILES = {A: "alpha_one-1.0-py3-none-any.whl", B: "alpha_one-1.0.tar.gz", C: "beta-2.0.post1-py3-none-any.whl"}
NOWHERE = "http://127.0.0.1:1/simple"


@pytest.fixture
def index_url(tmp_path: Path) -> Iterator[str]:
    """An index that knows the files of `LOCK`, and others."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    for name, hashes in (("alpha-one", (A, B)), ("beta", (C,))):
        links = [f'<a href="/files/{FILES[value]}#{value.replace(":", "=")}">file</a>' for value in hashes]
        folder = tmp_path / "index" / "simple" / name
        folder.mkdir(parents=True)
        other = f'<a href="/files/other-9.whl#sha256={"0" * 64}">other</a>'
        (folder / "index.html").write_text("\n".join([other, *links]), encoding="utf-8")
    handler = partial(Quiet, directory=str(tmp_path / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def named(name: str) -> Variant:
    return next(variant for variant in VARIANTS if variant.name == name)


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_lock_is_read_with_its_markers_and_hashes() -> None:
    alpha = Pin("alpha-one", "1.0", 'sys_platform == "linux"', (A, B))
    assert pins_of(LOCK) == [alpha, Pin("beta", "2.0.post1", "", (C,))]


@pytest.mark.parametrize("line", ["beta==1.0", f"beta>=1.0 --hash={A}", "--index-url https://example.org/simple"])
def test_a_line_that_pins_nothing_is_refused(line: str) -> None:
    with pytest.raises(BenchmarkError, match=re.escape(line[:20])):
        pins_of(LOCK + line + "\n")


def test_poetry_gets_the_versions_hashes_and_markers_of_the_lock(tmp_path: Path, index_url: str) -> None:
    prepare(named("poetry"), tmp_path, LOCK, LOCK, index_url)
    locked = tomllib.loads((tmp_path / "poetry/poetry.lock").read_text(encoding="utf-8"))
    found = [
        Pin(one["name"], one["version"], one.get("markers", ""), tuple(sorted(file["hash"] for file in one["files"])))
        for one in locked["package"]
    ]
    assert found == pins_of(LOCK)
    assert {file["hash"]: file["file"] for one in locked["package"] for file in one["files"]} == FILES
    project = tomllib.loads((tmp_path / "poetry/pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dependencies"] == ['alpha-one (==1.0) ; sys_platform == "linux"', "beta (==2.0.post1)"]
    asked = {source["url"] for source in project["tool"]["poetry"]["source"]}
    assert asked | {one["source"]["url"] for one in locked["package"]} == {index_url}


def test_poetry_cannot_be_given_a_hash_that_the_index_does_not_have(tmp_path: Path, index_url: str) -> None:
    with pytest.raises(BenchmarkError, match="/beta/ has no file with the hash sha256:dddd"):
        prepare(named("poetry"), tmp_path, LOCK.replace(C, f"sha256:{'d' * 64}"), LOCK, index_url)
    assert written(tmp_path / "poetry") == {}


def test_pipenv_gets_the_versions_hashes_and_markers_of_the_lock() -> None:
    locked = json.loads(pipfile_lock(LOCK, NOWHERE))
    found = [
        Pin(name, one["version"].removeprefix("=="), one.get("markers", ""), tuple(one["hashes"]))
        for name, one in locked["default"].items()
    ]
    assert found == pins_of(LOCK)
    asked = tomllib.loads(pipfile(LOCK, NOWHERE))
    assert asked["packages"].keys() == locked["default"].keys()
    assert asked["source"] == locked["_meta"]["sources"] == [{"name": "local", "url": NOWHERE, "verify_ssl": False}]


def test_the_hash_in_poetry_lock_is_the_one_that_poetry_computes() -> None:
    # Poetry 2.5.1 says of these two files, with poetry check --lock: All set!
    assert poetry_hash(LOCK, NOWHERE) == "7de65a7fcbb8d41f1d8d3b2634f610cec697c2496ef6520281b0935d53b50d20"


def test_the_hash_in_pipfile_lock_is_the_one_that_pipenv_computes() -> None:
    # pipenv sync does not look at it. Pipenv 2026.10.3 says of these two files: Pipfile.lock is up-to-date.
    assert json.loads(pipfile_lock(LOCK, NOWHERE))["_meta"]["hash"] == {
        "sha256": "694f30ad9e35f2abf4e865c48f2eb30c0ea8ec23ed35197f6927f58e4c134793"
    }


def test_what_the_baseline_knows_is_stable_and_the_rest_volatile() -> None:
    own = sorted(OWN)[0]
    old = "# old\n" + "".join(f"{name}==1 \\\n    --hash={A}\n    # via x\n" for name in ("flask", own))
    new = old.replace("# old", "# new").replace("flask==1", "flask==2") + f"zipp==3 \\\n    --hash={B}\n"
    stable, volatile = split(new, old)
    assert [(pin.name, pin.version) for pin in pins_of(stable)] == [("flask", "2")]
    assert [(pin.name, pin.version) for pin in pins_of(volatile)] == [(own, "1"), ("zipp", "3")]
    assert stable.startswith("# new\n")
    assert volatile.startswith("# new\n")


@pytest.mark.parametrize("variant", [one for one in VARIANTS if one != OURS], ids=lambda variant: variant.name)
def test_the_same_lock_gives_the_same_bytes(tmp_path: Path, index_url: str, variant: Variant) -> None:
    before, later = (tmp_path / name for name in ("before", "later"))
    prepare(variant, before, LOCK, LOCK, index_url)
    prepare(variant, later, LOCK.replace("2.0.post1", "2.0"), LOCK.replace("beta", "alpha-one"), index_url)
    assert written(before) != written(later)
    prepare(variant, later, LOCK, LOCK, index_url)
    assert written(before) == written(later)


def test_our_own_tools_lay_out_the_same_lock_in_the_same_way_whatever_was_there(bake: Bake) -> None:
    project = bake().path
    small = (project / "requirements" / "prod.txt").read_text(encoding="utf-8")
    large = f"{small}heavy-one==1.0 \\\n    --hash={A}\n"
    prepare(OURS, project, large, small, NOWHERE, {"heavy-one==1.0": 5_000_000})
    once = written(project)
    assert "requirements/layers/heavy-one.lock" in once
    assert b"COPY --link --from=package-heavy-one" in once["Dockerfile"]
    assert b"heavy-one" not in once["requirements/layers/baseline.lock"]
    prepare(OURS, project, small, small, NOWHERE)
    assert "requirements/layers/heavy-one.lock" not in written(project)
    prepare(OURS, project, large, small, NOWHERE, {"heavy-one==1.0": 5_000_000})
    assert written(project) == once


@pytest.mark.parametrize("name", ["poetry", "pipenv"])
def test_a_comment_in_the_lock_is_nothing_to_them(tmp_path: Path, index_url: str, name: str) -> None:
    prepare(named(name), tmp_path / "service", LOCK, LOCK, index_url)
    before = written(tmp_path / "service")
    prepare(
        named(name), tmp_path / "service", "# another run\n" + LOCK.replace("via beta", "via gamma"), LOCK, index_url
    )
    assert written(tmp_path / "service") == before


def test_each_has_a_dockerfile_that_gets_what_it_reads_and_the_linter_accepts(tmp_path: Path, index_url: str) -> None:
    others = [variant for variant in VARIANTS if variant != OURS]
    for variant in others:
        prepare(variant, tmp_path / "service", LOCK, LOCK, index_url)
        text = (tmp_path / "service" / variant.dockerfile).read_text(encoding="utf-8")
        copied = [
            name
            for names in re.findall(r"^COPY ((?!--from|\. )\S.*) \S+$", text, re.MULTILINE)
            for name in names.split()
        ]
        bound = re.findall(r"--mount=type=bind,source=(\S+?),", text)
        ignored = (tmp_path / "service" / f"{variant.dockerfile}.dockerignore").read_text(encoding="utf-8")
        let_in = re.findall(r"^!(.+)$", ignored, re.MULTILINE)
        read = set(copied + bound) or {"requirements/prod.txt"}  # where everything is copied, nothing is named
        assert set(let_in) == read, variant.name
        assert all((tmp_path / "service" / name).is_file() for name in let_in)
    paths = [tmp_path / "service" / variant.dockerfile for variant in others]
    result = subprocess.run([tool("hadolint"), *paths], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_no_two_share_a_name_and_every_title_fits_its_column() -> None:
    assert len({variant.name for variant in VARIANTS}) == len({variant.title for variant in VARIANTS}) == len(VARIANTS)
    assert max(len(variant.title) for variant in VARIANTS) <= 28
    assert VARIANTS[-1] == OURS


@pytest.mark.docker
@pytest.mark.thorough
def test_three_that_cache_hold_the_lock_answer_alike_and_download_nothing_twice(bake: Bake, tmp_path: Path) -> None:
    listing = "import importlib.metadata as m, re\nfor d in m.distributions(): print(re.sub('[-_.]+', '-', d.name).lower() + '==' + d.version)"
    project = bake(python_version=PYTHON)
    token = uuid4().hex  # as a comment, so that no layer of an earlier run fits; and as the name of the cache mounts
    lock = f"# {token}\n" + project.read("requirements/prod.txt")
    longer = lock + a_new_package(project)[1]
    answers = set()
    with Index(configured_upstream(), tmp_path / "store") as index:
        options = [
            "--network=host",
            "--build-arg",
            f"PYTHON={PYTHON}",
            "--build-arg",
            f"BUILDKIT_CACHE_MOUNT_NS={token}",
        ]
        for name, text in settings(index.url).items():
            (tmp_path / name).write_text(text, encoding="utf-8")
            options += ["--secret", f"id={name},src={tmp_path / name}"]
        for variant in map(named, ("cache-mount", "pipenv", "uv-multi-stage")):
            prepare(variant, project.path, lock, lock, index.url)
            with built(project, "--file", variant.dockerfile, *options):
                prepare(variant, project.path, longer, lock, index.url)
                before = index.traffic()
                with built(project, "--file", variant.dockerfile, *options) as tag:
                    assert len((index.traffic() - before).files) == 1, variant.name
                    found = set(docker("run", "--rm", tag, "python", "-c", listing).split())
                    assert {pin for pin in found if not pin.startswith("pip==")} == pins(longer), variant.name
                    with running(tag, "--env", f"SECRET_KEY={KEY}") as (container, address):
                        answers.add(ask(f"{address}/readyz"))
                        assert docker("exec", container, "id", "-u") == "10001"
    assert len(answers) == 1
