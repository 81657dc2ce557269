"""layercake cache-check: what it reads, what it concludes, and that it passes and fails on real builds as it should."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from layercake import builds, cache_check
from tests.conftest import Bake
from tests.locking import module
from tests.support import HERE, ROOT, Person, Project, Template, Terminal, tool

COMMAND = (sys.executable, "-m", "layercake", "cache-check")

UV_LOG = """\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s

#5 [base 1/2] FROM docker.io/library/python:3.13-slim@sha256:0123
#5 resolve docker.io/library/python:3.13-slim 0.0s done
#5 DONE 0.0s

#6 [base 2/2] WORKDIR /app
#6 CACHED

#8 [baseline 1/1] RUN --mount=type=cache,target=/root/.cache/uv     python -S /tmp/tools/sync.py --want /tmp/baseline.lock --root /layer
#8 0.694 Resolved 2 packages in 279ms
#8 0.700 Downloading pydantic-core (2.2MiB)

#10 [production 1/2] COPY --link gunicorn.conf.py ./
#10 DONE 0.2s

#8 [baseline 1/1] RUN --mount=type=cache,target=/root/.cache/uv     python -S /tmp/tools/sync.py --want /tmp/baseline.lock --root /layer
#8 0.775 Prepared 2 packages in 79ms
#8 0.775 Installed 2 packages in 79ms
#8 0.775  - flask==3.1.2
#8 0.775  + flask==3.1.3
#8 0.775  + pydantic-core==2.50.4
#8 DONE 1.7s
"""
PIP_LOG = """\
#7 [2/3] RUN pip install -r requirements/prod.txt
#7 1.634 Collecting build==1.6.1 (from -r prod.txt (line 7))
#7 1.660   Downloading build-1.6.1-py3-none-any.whl.metadata (4 kB)
#7 1.663   Downloading build-1.6.1-py3-none-any.whl (31 kB)
#7 1.700   Using cached pip_tools-7.6.2-py3-none-any.whl (76 kB)
#7 1.711   Downloading https://packages.example.com/click-8.5.1.tar.gz (126 kB)
#7 3.017       Successfully uninstalled pip-25.1.1
#7 3.243 Successfully installed build-1.6.1 click-8.5.1 pip_tools-7.6.2
#7 DONE 3.7s
"""


# Reading


def test_the_log_tells_which_steps_ran_and_what_uv_did() -> None:
    install, copy = builds.ran(UV_LOG)
    assert [step.label for step in (install, copy)] == ["baseline 1/1", "production 1/2"], "the other was cached"
    assert install.installed == {"flask", "pydantic-core"}
    assert install.downloads == 2
    assert builds.Build("event", 1.0, [copy, install], "tag", None).named_installers == [install]
    assert (copy.installed, copy.downloads) == (set(), 0)


def test_the_log_tells_what_pip_did() -> None:
    (install,) = builds.ran(PIP_LOG)
    assert install.installed == {"build", "click", "pip-tools"}
    assert install.downloads == 2


@pytest.mark.parametrize("compression", ["", "gz"])
def test_what_is_new_is_read_from_the_layers_that_were_made(tmp_path: Path, compression: str) -> None:
    site = "opt/venv/lib/python3.13/site-packages"
    contents = {
        "old": [f"{site}/click-8.5.1.dist-info/METADATA"],
        "again": [f"{site}/blinker-1.9.0.dist-info/METADATA"],
        "new": [
            f"{site}/pydantic_core-2.50.4.dist-info/METADATA",
            f"{site}/Flask-3.1.3.dist-info/RECORD",  # touched, not installed
            f"{site}/.wh.jinja2-3.1.6.dist-info",  # removed
            f"{site}/setuptools/_vendor/wheel-0.48.0.dist-info/METADATA",  # part of another package
        ],
        "copied": [f"{site}/flask-3.1.3.dist-info/METADATA"],
    }
    members: dict[str, bytes] = {}
    for name, files in contents.items():
        blob = io.BytesIO()
        with tarfile.open(fileobj=blob, mode=f"w:{compression}") as layer:  # type: ignore[call-overload]
            for file in files:
                layer.addfile(tarfile.TarInfo(file))
        members[name] = blob.getvalue()
    history = [{"created": "1"}, {"created": "2", "empty_layer": True}, {"created": "3"}, {"created": "4"}]
    history += [{"created": "5", "created_by": "COPY /layer/ / # buildkit"}]
    members["config"] = json.dumps({"rootfs": {"diff_ids": [*contents]}, "history": history}).encode()
    other: dict[str, object] = {"RepoTags": None, "Config": "none", "Layers": []}
    mine = {"RepoTags": ["other", "tag"], "Config": "config", "Layers": [*contents]}
    members["manifest.json"] = json.dumps([other, mine]).encode()
    with tarfile.open(tmp_path / "image.tar", "w") as image:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            image.addfile(info, io.BytesIO(data))

    layers = [builds.Layer(*layer) for layer in (("old", "1"), ("again", "2"), ("copied", ""))]
    before = builds.Build("first build", 1.0, [], "first", None, layers)
    build = builds.Build("event", 1.0, [], "tag", before)
    with tarfile.open(tmp_path / "image.tar") as image:
        builds.read_image(image, build)
    assert [layer.digest for layer in build.layers] == [*contents]
    assert build.packages == {"blinker", "pydantic-core"}, (
        "one was made again, the other is new; what was copied is the same"
    )
    size = len(members["new"])
    assert build.pushed == size if compression else 100 < build.pushed < size / 10


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_951, "1.0 MB"), (2.5e9, "2.5 GB")],
)
def test_sizes_are_told_in_the_unit_that_fits(count: int, told: str) -> None:
    assert cache_check.size(count) == told


def test_another_base_is_a_layer_on_each_image_that_comes_from_elsewhere() -> None:
    dockerfile = """\
FROM --platform=linux/amd64 python:3.13-slim AS python
FROM python AS base
from scratch as lock
FROM lock
FROM ${OTHER}
RUN true
"""
    changed = re.sub("[0-9a-f]{16}", "token", cache_check.on_another_base(dockerfile))
    layer = "COPY <<EOF /.cache-check\ntoken\nEOF\n"
    assert changed == re.sub(r"(FROM (?:--|\$).*\n)", rf"\1{layer}", dockerfile)


def test_the_package_to_try_is_pure(bake: Bake) -> None:
    project = bake()
    dev, prod = (project.read(f"requirements/{name}") for name in ("dev.txt", "prod.txt"))
    taken = {pin.partition("==")[0] for pin in pins(project, "prod.txt")}
    pin = cache_check.spare_pin(dev, taken)
    assert re.fullmatch(r"iniconfig==[\d.]+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n){2}", pin)
    with pytest.raises(builds.BuildError, match="run `make lock`"):
        cache_check.spare_pin(prod, taken)


def test_arguments_that_change_with_a_commit_are_found() -> None:
    dockerfile = """\
ARG BASE_SHA=before the first stage
FROM python:3.13-slim AS base
ARG UV_VERSION=0.9 SOURCE_DATE_EPOCH
ARG GIT_SHA=unknown CI_COMMIT_REF_NAME
ARG VERSION=dev
ARG BUILD_NUMBER
ARG BUILD_TYPE=release
"""
    assert cache_check.changing_arguments(dockerfile, []) == [
        "BUILD_NUMBER",
        "CI_COMMIT_REF_NAME",
        "GIT_SHA",
        "VERSION",
    ]
    given = ["--build-arg", "VERSION=1", "--build-arg=BUILD_NUMBER=7"]
    assert cache_check.changing_arguments(dockerfile, given) == ["CI_COMMIT_REF_NAME", "GIT_SHA"]
    assert cache_check.new_values(["GIT_SHA"]) != cache_check.new_values(["GIT_SHA"])


def test_the_copy_holds_what_git_knows_or_would_add(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    (project.path / ".env").write_text("SECRET_KEY=private", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    (project.path / "LICENSE").unlink()
    (project.path / "new.py").touch()
    builds.copy_project(project.path, tmp_path / "copy")
    copied = {str(path) for path in Project(tmp_path / "copy").files()}
    assert {"Dockerfile", ".dockerignore", "new.py"} <= copied
    assert not {".env", "LICENSE"} & copied
    assert not (tmp_path / "copy" / ".git").exists()


def test_the_copy_holds_everything_where_git_knows_nothing(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    (project.path / ".venv").mkdir()
    builds.copy_project(project.path, tmp_path / "copy")
    assert (tmp_path / "copy" / "Dockerfile").exists()
    assert not (tmp_path / "copy" / ".venv").exists()


# Concluding


def test_each_verdict_names_the_change_the_step_and_what_to_do() -> None:
    def build(packages: set[str], *output: str, command: str = "RUN ./install") -> builds.Build:
        steps = [builds.Step("packages 1/1", command, output=list(output))]
        return builds.Build("event", 1.0, steps, "tag", None, packages=packages)

    idle = builds.Build("event", 1.0, [], "tag", None)
    harmless = build(set())
    assert cache_check.judge_idle(idle, "Do.") == []
    assert cache_check.judge_idle(harmless, "Do.") == ["event: [packages 1/1] ran in vain. Do."]
    assert cache_check.judge_idle(build({"flask"}), "Do.") == ["event: flask installed again by [packages 1/1]. Do."]

    assert cache_check.judge_unchanged(harmless, "Do.") == []
    assert cache_check.judge_unchanged(build({"flask"}), "Do.") == [
        "event: flask installed again by [packages 1/1]. Do."
    ]
    in_another_stage = build(set(), " + flask==3.1.3")
    assert cache_check.judge_unchanged(in_another_stage, "Do.") == [
        "event: flask installed again by [packages 1/1]. Do."
    ]
    quiet = build(set(), command="RUN pip install -q .")  # the copy of its result may come from the cache
    assert cache_check.judge_unchanged(quiet, "Do.") == ["event: [packages 1/1] ran an installer again. Do."]

    assert cache_check.judge_added(build({"new", "late"}), "new", {"late"}) == []
    assert (
        "flask installed again by [packages 1/1]" in cache_check.judge_added(build({"new", "flask"}), "new", set())[0]
    )
    assert "not in the image" in cache_check.judge_added(harmless, "new", set())[0]

    assert cache_check.judge_downloads(build({"flask"}, " + flask==3.1.3")) == []
    fetched = build({"flask"}, "Prepared 1 package in 3ms", " + flask==3.1.3")
    assert "1 package downloaded again" in cache_check.judge_downloads(fetched)[0]
    assert "did not say" in cache_check.judge_downloads(build({"flask", "click"}, " + flask==3.1.3"))[0]
    assert "did not say" in cache_check.judge_downloads(harmless)[0]


# Real builds


def pins(project: Project, lock: str) -> list[str]:
    """Return the pins of a lock with their hashes."""
    return re.findall(r"^[a-z0-9._-]+==.*\n(?: +--hash.*\n)+", project.read(f"requirements/{lock}"), re.MULTILINE)


def change(project: Project, name: str, *replacements: tuple[str, str]) -> None:
    """Replace text in a file of the project; what is replaced must be there."""
    text = project.read(name)
    for old, new in replacements:
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    (project.path / name).write_text(text, encoding="utf-8")


def check(project: Project, *options: str) -> tuple[int, list[str], str]:
    """Return the exit code of the check, its reasons and its whole output, and see that it left nothing behind."""
    before = {name: (project.path / name).read_bytes() for name in project.files()}
    with subprocess.Popen(
        [*COMMAND, *options], cwd=project.path, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        output = process.communicate(timeout=600)[0]
    assert_nothing_left(project, process.pid, before)
    print(output)
    return process.returncode, re.findall(r"^  (\w.*: .*)", output.partition("\nFAIL: ")[2], re.MULTILINE), output


def assert_nothing_left(project: Project, pid: int, before: dict[Path, bytes]) -> None:
    """Fail when a file of the project is new or different, or an image is left."""
    assert {name: (project.path / name).read_bytes() for name in project.files() if name.suffix != ".pyc"} == before
    images = project.run("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "cache-check").stdout
    assert f":{pid}-" not in images


@pytest.mark.docker
@pytest.mark.slow
def test_the_generated_dockerfile_passes(bake: Bake) -> None:
    project = bake()
    code, reasons, output = check(project)
    assert (code, reasons) == (0, [])
    assert output.endswith("PASS: a build reinstalls only what changed.\n")
    table = output[output.index("event  ") :].splitlines()[:-1]
    assert max(map(len, table)) <= 80
    rows = {event: figures for event, _, *figures in (re.split(r"  +", line) for line in table)}
    packages, shared = len(pins(project, "prod.txt")), len(pins(project, "layers/baseline.lock"))
    assert rows["event"] == ["downloaded", "installed", "pushed"]
    assert rows["first build"][1:] == [f"{packages}", "all"]
    for event in ("nothing changed", "README or test changed", "version changed"):
        assert rows[event] == ["0", "0", "0 B"]
    assert rows["one large package"] == ["0", "1", "0 B"]  # made anew, the layer it was
    downloads_installs_and_most_bytes = {
        "code changed": ("0", "0", 40_000),
        "settings changed": ("0", "0", 10_000),
        "one package added": ("[01]", "1", 50_000),
        "one package removed": ("0", "0", 1_000),
        "new baseline": ("0", f"{shared + 1}", 20_000_000),
        "base image changed": ("0", f"{packages}", 50_000),  # the same packages again, in the same layers
    }
    for event, (downloaded, installed, most) in downloads_installs_and_most_bytes.items():
        assert re.fullmatch(downloaded, rows[event][0]), event
        assert rows[event][1] == installed, event
        number, unit = rows[event][2].split()
        assert 0 < float(number) * {"B": 1, "kB": 1e3, "MB": 1e6}[unit] < most, event


@pytest.mark.docker
@pytest.mark.thorough
def test_a_small_delta_may_be_installed_again_and_a_grown_one_fails(bake: Bake) -> None:
    project = bake()
    for share, expected in ((8, []), (1, [r"baseline: 100% of the small packages has changed.*`make rebaseline`\."])):
        now = pins(project, "layers/baseline.lock")
        change(project, "requirements/layers/baseline.lock", *((pin, "") for pin in now[: len(now) // share]))
        code, reasons, _ = check(project)
        assert code == (1 if expected else 0)
        assert len(reasons) == len(expected), reasons
        assert all(map(re.match, expected, reasons)), reasons


CLASSIC = f"""\
FROM python:{HERE}-slim
WORKDIR /app
COPY requirements/prod.txt ./
RUN --mount=type=cache,target=/root/.cache/pip pip install -q --require-hashes -r prod.txt
COPY . .
"""
INSTALL = "FROM base AS baseline\n"


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "options", "expected"),
    [
        pytest.param(
            # The layers look as before, the installer says nothing, and its name is hidden in a script.
            {
                "Dockerfile": (INSTALL, f"{INSTALL}COPY pyproject.toml flask_service/ /src/\n"),
                "tools/sync.py": ('"pip", "install", "--python"', '"pip", "install", "--quiet", "--python"'),
            },
            [],
            [
                r"code changed: \[baseline 2/2\] ran an installer again\. Move what copies or mounts the code",
                r"settings changed: \[baseline 2/2\] ran an installer again\. Move what .* pyproject.toml or",
                r"new baseline: \[baseline 2/2\].* did not say what is downloaded\. Let the installer speak",
            ],
            id="code-above-a-quiet-install",
        ),
        pytest.param(
            {"Dockerfile": (INSTALL, f"{INSTALL}ARG GIT_SHA=unknown\nENV UV_NO_CACHE=1\n")},
            [],
            [
                r"version changed: {shared} packages installed again by \[baseline 1/1\]\. Move ARG GIT_SHA, VERSION",
                r"new baseline: {more} packages downloaded again by \[baseline 1/1\]\. .* UV_NO_CACHE",
            ],
            id="commit-above-the-install-and-cache-switched-off",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            {"Dockerfile": ("source=/layers/baseline.lock", "source=/prod.txt")},
            ["--no-cache-filter=production"],
            [
                r"nothing changed: \[production 1/2\], \[production 2/2\] ran in vain\. It reads what differs every time",
                r"README or test changed: \[production 1/2\], \[production 2/2\] ran in vain\. Copy or mount only",
                r"one package added: {n} packages installed again by \[baseline 1/1\]\. Install requirements/layers/baseline",
                r"one package removed: {n} packages installed again by \[baseline 1/1\]\. Install requirements/layers/baseline",
            ],
            id="one-layer-and-a-stage-that-always-runs",
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            {},
            [],
            [
                r"README or test changed: \[stage-0 5/5\] ran in vain\. Copy or mount only what the service needs",
                r"one package added: {n} packages installed again by \[stage-0 4/5\]\. Install requirements/layers/baseline",
                r"one package removed: {n} packages installed again by \[stage-0 4/5\]\. Install requirements/layers/baseline",
                r"new baseline: \[stage-0 4/5\] did not say what is downloaded\. Let the installer speak",
            ],
            id="classic-order-with-a-quiet-installer",
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_spoiled_dockerfile_fails_for_its_reasons_alone(
    bake: Bake, spoil: dict[str, tuple[str, str]], options: list[str], expected: list[str]
) -> None:
    project = bake()
    for name, replacement in spoil.items():
        change(project, name, replacement)
    if not spoil:
        (project.path / "Dockerfile").write_text(CLASSIC, encoding="utf-8")
    packages, shared = (len(pins(project, name)) for name in ("prod.txt", "layers/baseline.lock"))
    code, reasons, output = check(project, *options)
    assert code == 1
    assert len(reasons) == len(expected), output
    for reason, pattern in zip(reasons, expected, strict=True):
        assert re.match(pattern.format(n=packages, shared=shared, more=shared + 1), reason)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_leaves_nothing(bake: Bake, number: signal.Signals) -> None:
    project = bake()
    change(project, "Dockerfile", (INSTALL, f"{INSTALL}RUN sleep 300\n"))
    before = {name: (project.path / name).read_bytes() for name in project.files()}
    with subprocess.Popen(
        COMMAND, cwd=project.path, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        log = project.path / ".cache"
        deadline = time.monotonic() + 300
        while not any("RUN sleep" in file.read_text() for file in log.glob("*/log")):
            assert time.monotonic() < deadline, "the build did not start"
            time.sleep(0.1)
        process.send_signal(number)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert output.endswith("cache-check: interrupted; its images and files are removed again.\n")
    assert_nothing_left(project, process.pid, before)


@pytest.mark.parametrize(("name", "value"), [("DOCKER_HOST", "tcp://127.0.0.1:1"), ("PATH", "/nowhere")])
def test_without_an_engine_it_says_so_in_one_line(
    bake: Bake, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    result = bake().run(*COMMAND, check=False, PYTHONPATH=str(ROOT))
    assert result.returncode == 2
    assert re.fullmatch(r"cache-check: no Docker engine with buildx answers \(.+\); start .*\n", result.stdout)


def test_where_there_is_no_service_it_says_so_in_one_line(tmp_path: Path) -> None:
    result = Project(tmp_path).run(*COMMAND, check=False, PYTHONPATH=str(ROOT))
    assert result.returncode == 2
    assert result.stdout == (
        f"cache-check: {tmp_path} is no service of this template: it has no tools/lock.py; run this in the folder of one.\n"
    )


# How a service calls it


def made(person: Person, template: Template) -> Project:
    """Return a service that was made from a repository of the template."""
    command = (tool("cookiecutter"), template.url, "--no-input", f"python_version={HERE}")
    result = person.run(*command)
    assert result.returncode == 0, result.stdout
    return Project(person.work / "flask-service")


def with_only(tmp_path: Path, *tools: str) -> str:
    """Return a PATH with these of the template's tools, before those of the machine that are neither uvx nor pipx."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in tools:
        (folder / name).symlink_to(tool(name))
    others = [
        place
        for place in os.environ["PATH"].split(os.pathsep)
        if not any(Path(place).glob("uvx")) and not any(Path(place).glob("pipx"))
    ]
    return os.pathsep.join([str(folder), *others])


@pytest.mark.docker
@pytest.mark.slow
def test_uvx_runs_it_at_the_recorded_release(
    person: Person, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = made(person, template)
    (template.path / "layercake" / "cache_check.py").write_text("1 / 0\n", encoding="utf-8")
    template.commit("version 2, which is not the one to run")
    monkeypatch.setenv("PATH", with_only(tmp_path, "uvx"))
    monkeypatch.setenv("PYTHON", sys.executable)
    passed = project.run("make", "cache-check")
    assert passed.stdout.endswith("PASS: a build reinstalls only what changed.\n"), passed.stdout
    failed = project.run("make", "cache-check", "ARGS=--target nowhere", check=False)
    assert failed.returncode == 2  # of make
    assert 'target stage "nowhere" could not be found' in failed.stdout
    assert "cache-check: the build failed at 'first build', see above" in failed.stdout
    assert "Error 1\n" in failed.stdout
    assert "Traceback" not in failed.stdout


@pytest.mark.slow
def test_pipx_does_where_there_is_no_uvx(
    person: Person, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = made(person, template)
    monkeypatch.setenv("PATH", with_only(tmp_path, "pipx"))
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    result = project.run("make", "cache-check", check=False)
    assert "cache-check: no Docker engine with buildx answers" in result.stdout
    assert "Error 2\n" in result.stdout
    helped = project.run("make", "cache-check", "ARGS=--help")
    assert "layercake cache-check [options of docker build]" in helped.stdout


@pytest.mark.docker
@pytest.mark.slow
def test_ctrl_c_reaches_it_through_make_and_uvx(person: Person, template: Template, tmp_path: Path) -> None:
    project = made(person, template)
    change(project, "Dockerfile", (INSTALL, f"{INSTALL}RUN sleep 300\n"))
    path = with_only(tmp_path, "uvx")
    terminal = Terminal(
        person, "make", "-C", project.path, "cache-check", PATH=path, PYTHON=sys.executable, HOME=os.environ["HOME"]
    )
    deadline = time.monotonic() + 300
    while not any("RUN sleep" in file.read_text() for file in (project.path / ".cache").glob("*/log")):
        assert time.monotonic() < deadline, terminal.seen
        time.sleep(0.1)
    terminal.type("\x03")
    terminal.wait_for("cache-check: interrupted; its images and files are removed again.")
    assert terminal.end() != 0
    assert "Error 130" in terminal.seen
    assert "Traceback" not in terminal.seen
    assert list((project.path / ".cache").iterdir()) == []


NOWHERE = {"template": "file:///nowhere", "commit": "0" * 40}


@pytest.mark.parametrize(
    ("record", "tools", "told"),
    [
        (None, ["uvx"], r"\.cruft\.json does not say what template .*; restore it, or run `layercake link`"),
        ("{", ["uvx"], r"\.cruft\.json does not say what template .*; restore it, or run `layercake link`"),
        ("[]", ["uvx"], r"\.cruft\.json does not say what template .*; restore it, or run `layercake link`"),
        (
            {**NOWHERE, "commit": None},
            ["uvx"],
            r"\.cruft\.json names no commit of file:///nowhere; run `layercake link`, .*",
        ),
        (NOWHERE, [], "uvx or pipx is needed, and neither is here; install uv or pipx"),
        (
            NOWHERE,
            ["uvx"],
            r"git\+file:///nowhere@0{40} cannot be fetched \(fatal: '/nowhere' does .*\); see to it that git .*",
        ),
        (NOWHERE, ["pipx"], r"git\+file:///nowhere@0{40} cannot be fetched \(.*\); see to it that git .*"),
    ],
)
def test_what_keeps_it_from_running_is_told_in_one_line(
    bake: Bake, tmp_path: Path, record: object, tools: list[str], told: str
) -> None:
    project = bake()
    file = project.path / ".cruft.json"
    if record is None:
        file.unlink()
    else:
        file.write_text(record if isinstance(record, str) else json.dumps(record), encoding="utf-8")
    result = project.run(
        sys.executable, "tools/origin.py", "cache-check", check=False, PATH=with_only(tmp_path, *tools)
    )
    assert result.returncode == 2
    assert re.fullmatch(rf"cache-check: {told}\.\n", result.stdout), result.stdout


@pytest.mark.parametrize(
    ("template", "directory", "named"),
    [
        ("https://example.com/t.git", None, "git+https://example.com/t.git@0123"),
        ("git@example.com:org/t.git", None, "git+ssh://git@example.com/org/t.git@0123"),
        ("ssh://git@example.com:22/t", "a/b", "git+ssh://git@example.com:22/t@0123#subdirectory=a/b"),
        ("{tmp_path}/a b", None, "git+file://{tmp_path}/a%20b@0123"),
    ],
)
def test_the_release_is_named_as_uv_and_pip_do(
    bake: Bake, tmp_path: Path, template: str, directory: str | None, named: str
) -> None:
    (tmp_path / "a b").mkdir()
    project = bake()
    record = {"template": template.format(tmp_path=tmp_path), "commit": "0123", "directory": directory}
    (project.path / ".cruft.json").write_text(json.dumps(record), encoding="utf-8")
    assert module(project.path / "tools" / "origin.py").release() == named.format(tmp_path=tmp_path)
