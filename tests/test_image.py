"""The images of a generated service: built, looked into, run and asked."""

import hashlib
import json
import re
import subprocess
import time
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Bake
from tests.containers import KEY, PYTHON, UNREACHABLE, a_new_package, ask, built, docker, layers, pins, running
from tests.package_index import serving
from tests.support import CHOICES, HERE, LARGE, has_image, one_of
from tests.wheels import HARD

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("python", one_of(CHOICES["python_version"], PYTHON))
def test_the_service_runs_as_nobody_on_a_read_only_root(bake: Bake, python: str) -> None:
    if not has_image(python):
        pytest.skip(f"the engine has no python:{python}-slim, and cannot pull it")
    with built(bake(python_version=python)) as tag:
        options = (
            "--read-only",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--env",
            f"SECRET_KEY={KEY}",
        )
        with running(tag, *options) as (container, address):
            assert json.loads(ask(f"{address}/readyz"))["status"] == "ready"
            assert "Flask Service" in ask(f"{address}/")
            assert docker("exec", container, "id", "-u") == "10001"
            assert docker("exec", container, "python", "--version").startswith(f"Python {python}.")
            deadline = time.monotonic() + 60
            while docker("inspect", "--format", "{{.State.Health.Status}}", container) != "healthy":
                assert time.monotonic() < deadline, docker("inspect", "--format", "{{json .State.Health}}", container)
                time.sleep(0.5)
            docker("stop", container)
            assert docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
            for line in docker("logs", container).splitlines():
                assert json.loads(line)["level"] == "INFO", line


def test_it_refuses_to_start_without_a_key_in_plain_words(bake: Bake) -> None:
    with built(bake(python_version=PYTHON)) as tag:
        name = tag.replace(":", "-")
        try:
            command = ["docker", "run", "--rm", "--name", name, tag]
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        finally:
            docker("rm", "--force", name, check=False)
    assert result.returncode == 1
    assert "SECRET_KEY: production needs at least 32 random characters" in result.stderr
    assert "Traceback" not in result.stderr


def test_it_holds_the_lock_and_nothing_that_could_install_more(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    listing = "import importlib.metadata as m, re\nfor d in m.distributions(): print(re.sub('[-_.]+', '-', d.name).lower() + '==' + d.version)"
    with built(project) as tag:
        assert set(docker("run", "--rm", tag, "python", "-c", listing).split()) == pins(
            project.read("requirements/prod.txt")
        )
        tools = "for tool in pip pip3 uv gcc cc make git curl; do command -v $tool && exit 1; done; exit 0"
        assert docker("run", "--rm", "--user", "0", tag, "sh", "-c", tools) == ""
        # The interpreter below the venv has nothing either, and no step left a cache or a script behind.
        assert "No module named pip" in docker("run", "--rm", tag, "/usr/local/bin/python", "-m", "pip", check=False)
        leftovers = "find /tmp /root/.cache /etc/pip.conf /etc/uv -mindepth 0 -not -name tmp 2>/dev/null"
        assert docker("run", "--rm", "--user", "0", tag, "sh", "-c", leftovers, check=False) == ""


def test_every_installed_module_has_bytecode_that_no_timestamp_can_make_stale(bake: Bake) -> None:
    check = """
import importlib.util, pathlib
for source in pathlib.Path("/opt/venv").rglob("*.py"):
    bytecode = pathlib.Path(importlib.util.cache_from_source(str(source)))
    flags = bytecode.read_bytes()[4:8] if bytecode.exists() else None
    if flags != b"\\x01\\0\\0\\0":  # hash-based, unchecked (PEP 552)
        print(source, flags)
"""
    with built(bake(python_version=PYTHON)) as tag:
        assert docker("run", "--rm", tag, "python", "-c", check) == ""


def test_packages_that_are_installed_again_make_the_same_layers(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    locks = [project.path / "requirements" / "prod.txt", *project.path.glob("requirements/layers/*.lock")]
    seen = []
    for _ in range(2):
        for lock in locks:  # a comment that no cache knows
            lock.write_text(f"# {uuid4()}\n{lock.read_text(encoding='utf-8')}", encoding="utf-8")
        with built(project) as tag:
            made = docker("image", "history", "--no-trunc", "--format", "{{.CreatedAt}} {{.CreatedBy}}", tag)
            seen.append((layers(tag)[:-2], re.findall(r"^(\S+) .*(?:/layer/ /|sync\.py)", made, re.MULTILINE)))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] != seen[1][1]


@pytest.mark.parametrize(
    "other",
    [
        {"dependency_manager": "uv", "database": "postgresql", "error_tracking": "sentry"},
        pytest.param(
            {"project_slug": "orders", "package_name": "orders", "database": "sqlite", "background_jobs": "celery"},
            marks=pytest.mark.thorough,
        ),
    ],
    ids=lambda other: other["database"],
)
def test_services_have_the_same_layers_of_large_packages_and_of_what_all_of_them_have(
    bake: Bake, other: dict[str, str]
) -> None:
    images = []
    for project in (bake(python_version=PYTHON), bake(python_version=PYTHON, **other)):
        locks = sorted(project.path.glob("requirements/layers/*.lock"))
        for lock in locks:  # a comment that no cache knows
            lock.write_text(f"# {uuid4()}\n{lock.read_text(encoding='utf-8')}", encoding="utf-8")
        copied = re.findall(r"--from=(?:package-)?(\S+) /layer/", project.read("Dockerfile"))
        assert {*copied} == {lock.stem for lock in locks}
        with built(project) as tag:  # above them are the changes and two layers of code
            images.append(dict(zip(copied, layers(tag)[-3 - len(copied) : -3], strict=True)))
    shared = images[0].keys() & images[1].keys()
    assert shared == LARGE | {"baseline"}
    assert [images[0][name] for name in shared] == [images[1][name] for name in shared]


def test_a_large_package_touches_no_other_layer(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    with built(project) as before:
        pyproject = project.read("pyproject.toml")
        wishes = '\n[tool.layers]\nalways = ["iniconfig"]\nnever = ["pydantic-core"]\n'
        (project.path / "pyproject.toml").write_text(pyproject + wishes, encoding="utf-8")
        name, pin = a_new_package(project)
        with (project.path / "requirements" / "prod.txt").open("a", encoding="utf-8") as lock:
            lock.write(pin)
        project.run("python3", "tools/lock.py", "rebaseline", LAYERCAKE_LOCK="skip")
        with built(project) as after:
            docker("run", "--rm", after, "python", "-c", f"import {name}, pydantic")
            old, new = layers(before), layers(after)
            assert set(old[:-4]) - set(new) == {old[-5 - sorted(LARGE, reverse=True).index("pydantic-core")]}
            assert len(set(new[:-2]) - set(old)) == 2  # its own, and the baseline that has pydantic-core now


def test_the_modes_of_a_checkout_reinstall_nothing(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    command = ("docker", "buildx", "bake", "--file", "docker-bake.hcl", "--set", "*.output=type=cacheonly")
    project.run(*command)
    for path in (project.path / "requirements", project.path / "tools"):
        for file in path.rglob("*.*"):
            file.chmod(0o664)
    result = project.run(*command, "--progress=plain", **UNREACHABLE)
    ran = re.findall(r"#\d+ [\d.]+ (?:Installed|.*sync:).*", result.stdout)
    assert not ran, result.stdout


def test_a_system_package_installs_no_python_package_anew(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    recipe = project.read("docs/packages.md").partition("## A system package")[2]
    (stage,) = re.findall(r"^```dockerfile\n(FROM base AS system\n.*?)^```", recipe, re.MULTILINE | re.DOTALL)
    assert "apt-get install" in stage
    stage = re.sub(r"RUN .*", "RUN date >/etc/a-system-package", stage)  # an archive of packages may be out of reach
    with built(project) as before:
        text = project.read("Dockerfile")
        assert text.count("FROM base AS system\n") == 1
        (project.path / "Dockerfile").write_text(text.replace("FROM base AS system\n", stage), encoding="utf-8")
        secrets = []
        for name, key in (("pip.conf", "PIP_CONF"), ("uv.toml", "UV_TOML")):
            (project.path.parent / name).write_text(UNREACHABLE[key], encoding="utf-8")
            secrets += ["--secret", f"id={name},src={project.path.parent / name}"]
        with built(project, *secrets) as after:
            assert docker("run", "--rm", after, "cat", "/etc/a-system-package")
            assert len(set(layers(after)[:-2]) - set(layers(before))) == 1  # code has the dates of its files
            docker("run", "--rm", after, "python", "-c", "import flask, pydantic")


def test_the_modules_of_every_start_have_bytecode(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    (modules,) = re.findall(r"python -I -c 'import ([^']+)'", project.read("Dockerfile"))
    assert len(modules.split(", ")) > 5
    check = f"import importlib.util as u, os; print([m for m in '{modules}'.split(', ') if not os.path.exists(u.cache_from_source(u.find_spec(m).origin))])"
    with built(project) as tag:
        assert docker("run", "--rm", tag, "python", "-c", check) == "[]"


def test_the_image_fetches_one_tool_of_all_that_are_locked(bake: Bake) -> None:
    with built(bake(python_version=PYTHON), "--target", "tools") as tag:
        assert docker("run", "--rm", tag, "ls", "/tools/bin").split() == ["uv", "uvx"]


def test_a_new_version_of_the_code_changes_no_layer_below_it(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    with built(project, "--build-arg", "VERSION=1.2.3") as before:
        module = project.path / "flask_service" / "resources" / "greetings.py"
        module.write_text(module.read_text(encoding="utf-8").replace("Hallo", "Servus"), encoding="utf-8")
        with built(project, "--build-arg", "VERSION=1.2.4") as after:
            old, new = layers(before), layers(after)
            assert old[:-2] == new[:-2]  # above them are two layers of code
            assert old[-1] != new[-1]
            with running(after, "--env", f"SECRET_KEY={KEY}") as (_, address):
                assert "Servus" in ask(f"{address}/api/greetings/de")
                assert "1.2.4" in ask(f"{address}/")


def test_a_package_comes_and_goes_in_the_small_layer(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    lock = project.path / "requirements" / "prod.txt"
    name, pin = a_new_package(project)
    with built(project) as before:
        original = lock.read_text(encoding="utf-8")
        lock.write_text(original + pin, encoding="utf-8")
        with built(project) as after:
            docker("run", "--rm", after, "python", "-c", f"import {name}")
            old, new = layers(before), layers(after)
            assert old[:-3] == new[:-3]  # the large packages, the baseline; above the small layer are two of code
            assert old[-3] != new[-3]
        # With the package in the baseline and gone from the lock, the small layer takes it away again.
        with (project.path / "requirements" / "layers" / "baseline.lock").open("a", encoding="utf-8") as baseline:
            baseline.write(pin)
        lock.write_text(original, encoding="utf-8")
        with built(project) as without:
            assert "No module named" in docker("run", "--rm", without, "python", "-c", f"import {name}", check=False)


LIST = """
import hashlib, os, stat
for folder, folders, files in os.walk("/opt"):
    for path in (os.path.join(folder, name) for name in folders + files):
        it = os.lstat(path)
        content = open(path, "rb").read() if stat.S_ISREG(it.st_mode) else b""
        print(ascii(path), oct(it.st_mode), it.st_uid, it.st_gid, it.st_mtime, hashlib.sha256(content).hexdigest())
"""


def test_an_image_after_changes_is_the_one_that_a_cold_build_makes(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    wheels = {wheel.key: wheel for wheel in HARD if wheel.name in ("jwt", "pyjwt") and not wheel.edition}
    (project.path / "requirements" / "wheels").mkdir()
    blocks = {}
    for key, wheel in wheels.items():
        (project.path / "requirements" / "wheels" / wheel.file).write_bytes(wheel.pack())
        blocks[key] = f"{wheel.name}=={wheel.version} --hash=sha256:{hashlib.sha256(wheel.pack()).hexdigest()}\n"
    blocks["iniconfig"] = a_new_package(project)[1]
    mount = "    --mount=type=bind,source=requirements/wheels,target=/tmp/wheels \\\n    --mount=type=bind,from=tools,"
    dockerfile = project.read("Dockerfile").replace("    --mount=type=bind,from=tools,", mount)
    (project.path / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    ignored = project.read(".dockerignore").replace("*\n!gunicorn", "*\n!requirements/wheels/\n!gunicorn")
    (project.path / ".dockerignore").write_text(ignored, encoding="utf-8")
    prod, baseline = (project.path / "requirements" / name for name in ("prod.txt", "layers/baseline.lock"))
    asked = prod.read_text(encoding="utf-8")
    baseline.write_text(baseline.read_text(encoding="utf-8") + blocks["jwt-1"] + blocks["pyjwt-1"], encoding="utf-8")
    locks = [prod, *project.path.glob("requirements/layers/*.lock")]
    changes = [["jwt-1", "pyjwt-1"], ["pyjwt-1"], ["jwt-1", "pyjwt-2"], ["iniconfig"]]
    listed: dict[bool, list[set[str]]] = {False: [], True: []}
    for cold in (False, True):
        for change in changes:
            prod.write_text(asked + "".join(map(blocks.__getitem__, change)), encoding="utf-8")
            for lock in locks if cold else ():  # a comment that no cache knows
                lock.write_text(f"# {uuid4()}\n{lock.read_text(encoding='utf-8')}", encoding="utf-8")
            with built(project) as tag:
                listed[cold].append({*docker("run", "--rm", tag, "python", "-c", LIST).splitlines()})
    for change, warm, cold_one in zip(changes, *listed.values(), strict=True):
        assert warm ^ cold_one == set(), change
        assert any("/jwt/__init__.py" in line for line in warm) == ("iniconfig" not in change), change
    assert len({frozenset(lines) for lines in listed[True]}) == len(changes)


def test_the_index_is_asked_only_for_what_is_missing(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    lock = project.path / "requirements" / "prod.txt"
    _, pin = a_new_package(project)
    command = ("docker", "buildx", "bake", "--file", "docker-bake.hcl", "--set", "*.output=type=cacheonly")
    with built(project):
        text = lock.read_text(encoding="utf-8")
        for lines, code in (("# nothing is missing\n", 0), (pin, 1)):
            lock.write_text(f"{text}{lines}# {uuid4()}\n", encoding="utf-8")
            result = project.run(*command, check=False, UV_TOML=UNREACHABLE["UV_TOML"])
            assert result.returncode == code, result.stdout


def test_exactly_this_enters_the_build(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    code = {str(path) for path in project.files() if path.parts[0] in ("flask_service", "tests")}
    for name in (".env", ".git/config", "secrets.pem", "notes/todo.md", "flask_service/__pycache__/a.cpython-314.pyc",
                 "tests/.cache/x", ".venv/bin/python", "requirements/.prod.txt.1", "tools/private.key", "compose.override.yaml"):  # fmt: skip
        path = project.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("must not enter", encoding="utf-8")
    (project.path / "Everything.Dockerfile").write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
    project.run("docker", "build", "--file", "Everything.Dockerfile", "--output", "type=local,dest=../context", ".")
    context = project.path.parent / "context"
    found = {str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()}
    assert found == {
        ".env.example",
        "gunicorn.conf.py",
        "openapi.json",
        "pyproject.toml",
        *code,
        *(f"requirements/{name}" for name in ("dev.in", "dev.txt", "prod.in", "prod.txt", "tools.in", "tools.txt")),
        *(f"requirements/layers/{name}.lock" for name in ("baseline", *LARGE)),
        "requirements/layers/baseline.names",
        "requirements/layers/sizes.json",
        *(f"tools/{name}.py" for name in ("indexes", "layers", "lock", "manager", "newest", "pins", "sync")),
    }


def test_the_port_is_the_one_that_a_platform_names(bake: Bake) -> None:
    with built(bake(python_version=PYTHON)) as tag:
        options = ("--env", "PORT=8123", "--env", f"SECRET_KEY={KEY}", "--publish", "127.0.0.1:0:8123")
        container = docker("run", "--detach", "--health-interval", "1s", *options, tag)
        try:
            health = "{{ .State.Health.Status }}"
            deadline = time.monotonic() + 60
            while docker("inspect", "--format", health, container) != "healthy":
                assert time.monotonic() < deadline, docker("logs", container)
                time.sleep(0.5)
            assert ask("http://" + docker("port", container, "8123") + "/livez")
        finally:
            docker("rm", "--force", container)


def test_a_strict_umask_does_not_lock_the_service_out(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    for path in (project.path, *project.path.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    with built(project) as tag, running(tag, "--env", f"SECRET_KEY={KEY}") as (_, address):
        assert json.loads(ask(f"{address}/livez")) == {"status": "alive"}


def test_the_test_target_builds_only_when_the_tests_pass(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    project.run("docker", "buildx", "bake", "--file", "docker-bake.hcl", "test")
    (project.path / "tests" / "test_wrong.py").write_text(
        "def test_wrong() -> None:\n    assert 1 == 2\n", encoding="utf-8"
    )
    result = project.run("docker", "buildx", "bake", "--file", "docker-bake.hcl", "test", check=False)
    assert result.returncode != 0
    assert "assert 1 == 2" in result.stdout


def test_make_build_tags_the_version(bake: Bake) -> None:
    version = uuid4().hex[:12]
    project = bake(python_version=PYTHON, project_slug=f"built-{version}", package_name="flask_service")
    project.run("make", "build", f"VERSION={version}")
    try:
        assert f"APP_VERSION={version}" in docker("image", "inspect", f"built-{version}:{version}")
    finally:
        docker("image", "rm", "--force", f"built-{version}:{version}", f"built-{version}:latest")


def test_a_package_without_a_wheel_stops_the_build_and_says_what_to_do(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    with (project.path / "requirements" / "prod.txt").open("a", encoding="utf-8") as lock:
        lock.write("docopt==0.6.2 --hash=sha256:49b3a825280bd66b3aa83585ef59c4a8c82f2c8a522dbe754a8bc8d08c85c491\n")
    result = project.run("docker", "build", "--progress", "plain", ".", check=False)
    assert result.returncode != 0
    assert "see 'A package without a wheel' in docs/packages.md" in result.stdout
    assert "## A package without a wheel" in project.read("docs/packages.md")


@pytest.mark.thorough
def test_the_recipe_for_a_package_without_a_wheel(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    recipe = project.read("docs/packages.md").partition("## A package without a wheel")[2].partition("\n## ")[0]
    (stages,) = re.findall(r"^   ```dockerfile\n(.*?)^   ```", recipe, flags=re.MULTILINE | re.DOTALL)
    stages = re.sub(r"^   ", "", stages, flags=re.MULTILINE).replace("some-package==1.2.3", "docopt==0.6.2")
    stages = stages.replace(
        "apt-get update && apt-get install --yes --no-install-recommends build-essential",
        "pip install setuptools wheel",
    )  # docopt needs no compiler
    command, ignored, mount = (
        re.findall(pattern, recipe)[0] for pattern in (r"`(docker build [^`]+)`", r"`(![^`]+)`", r"`(--mount=[^`]+)`")
    )

    def edit(name: str, old: str, new: str) -> None:
        text = project.read(name)
        assert old in text, f"{name} has no {old}"
        (project.path / name).write_text(text.replace(old, new), encoding="utf-8")

    edit("Dockerfile", "FROM packages AS production", f"{stages}\nFROM packages AS production")
    project.run("sh", "-c", command)
    edit(".dockerignore", "*\n!gunicorn", f"*\n{ignored}\n!gunicorn")
    edit("requirements/prod.in", "\nflask\n", "\ndocopt==0.6.2\nflask\n")
    project.run("make", "lock", LAYERCAKE_LOCK="require")
    project.run("make", "lock-check")
    for_all = "    --mount=type=bind,from=tools,source=/tools,target=/tmp/tools"
    edit("Dockerfile", for_all, f"    {mount} \\\n{for_all}")
    project.run("make", "lock-check")
    with built(project) as tag:
        docker("run", "--rm", tag, "python", "-c", "import docopt")


@pytest.mark.slow
def test_a_model_that_comes_by_url_is_locked_and_has_a_layer_of_its_own(bake: Bake) -> None:
    project = bake(python_version=HERE)
    recipe = project.read("docs/packages.md").partition("## A model or data as a package")[2]
    (wish,) = re.findall(r"^```toml\n(.*?)^```", recipe, re.MULTILINE | re.DOTALL)
    with serving() as index:
        url = f"http://127.0.0.1:{index.server_port}/open/layer_heavy-5.0-py3-none-any.whl"
        for name, text in (("pyproject.toml", wish), ("requirements/prod.in", f"en-core-web-sm @ {url}\n")):
            with (project.path / name).open("a", encoding="utf-8") as file:
                file.write("\n" + text.replace("en-core-web-sm", "layer-heavy"))
        project.run("make", "lock", LAYERCAKE_LOCK="require")
        assert re.fullmatch(
            rf"layer-heavy ?@ ?{url} \\\n    --hash=sha256:\w+\n", project.read("requirements/layers/layer-heavy.lock")
        )
        assert "COPY --link --from=package-layer-heavy /layer/ /\n" in project.read("Dockerfile")
        with built(project, "--network", "host") as tag:
            version = "import importlib.metadata as m; print(m.version('layer-heavy'))"
            assert docker("run", "--rm", tag, "python", "-c", version) == "5.0"


def test_the_configuration_of_a_private_index_is_used_and_not_kept(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    image = f"layercake-test-{uuid4().hex[:12]}"

    def build(**settings: Any) -> subprocess.CompletedProcess[str]:
        """Build with locks that no cache knows, and that no build beside this one has: it would share its fate."""
        for lock in ("tools.txt", "layers/baseline.lock", "prod.txt"):
            with (project.path / "requirements" / lock).open("a", encoding="utf-8") as file:
                file.write(f"# {uuid4()}\n")
        command = ("docker", "buildx", "bake", "--file", "docker-bake.hcl", "--load")
        return project.run(*command, check=False, IMAGE=image, **settings)

    try:
        for name, sign in (("PIP_CONF", "No matching distribution found"), ("UV_TOML", "uv-was-here")):
            result = build(**{name: UNREACHABLE[name]})
            assert result.returncode != 0
            assert sign in result.stdout
        result = build(PIP_CONF="# ours", UV_TOML="# ours")
        assert result.returncode == 0, result.stdout
        look = ("sh", "-c", "ls -d /etc/pip.conf /etc/uv /run/secrets 2>/dev/null")
        assert docker("run", "--rm", "--user", "0", f"{image}:latest", *look, check=False) == ""
    finally:
        docker("image", "rm", "--force", f"{image}:dev", f"{image}:latest", check=False)


def test_compose_brings_a_saved_change_without_a_build_and_rebuilds_for_a_lock(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    override = 'services:\n  web:\n    ports: !override ["127.0.0.1:0:8000"]\n'
    (project.path / "compose.override.yaml").write_text(override, encoding="utf-8")
    compose = ["docker", "compose", "--project-name", f"layercake-test-{uuid4().hex[:8]}"]
    log = project.path.parent / "compose.log"

    def until(wanted: str, path: str = "", seconds: float = 120) -> None:
        """Wait until the log or, with a path, the answer to it, contains what is wanted."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                text = log.read_text(encoding="utf-8", errors="replace")
                if path:
                    text = ask("http://" + project.run(*compose, "port", "web", "8000").stdout.strip() + path)
            except (OSError, AssertionError):
                text = ""
            if wanted in text:
                return
            assert time.monotonic() < deadline, f"no {wanted!r} in {text}\n{log.read_text(encoding='utf-8')}"
            time.sleep(0.5)

    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*compose, "up", "--build", "--watch"], cwd=project.path, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            until("Hallo", "/api/greetings/de")
            until("Watch enabled")
            module = project.path / "flask_service" / "resources" / "greetings.py"
            module.write_text(module.read_text(encoding="utf-8").replace("Hallo", "Servus"), encoding="utf-8")
            until("Servus", "/api/greetings/de")
            assert "Rebuilding" not in log.read_text(encoding="utf-8")
            lock = project.path / "requirements" / "dev.txt"
            lock.write_text(lock.read_text(encoding="utf-8") + "\n", encoding="utf-8")
            until("successfully built")
            until("Servus", "/api/greetings/de")
        finally:
            process.kill()  # asked to end amid a change, it may wait without end
            process.wait()
            project.run(*compose, "down", "--timeout", "1", "--rmi", "all", "--volumes")
