"""What is asked for anew is the newest that fits, in projects of all dependency managers: real ones lock."""

import hashlib
import os
import random
import re
import sys
from pathlib import Path

import pytest

from tests.conftest import Bake, install_tools
from tests.locking import lock, module, pins, requirements, write
from tests.package_index import WHEELS, PackageIndex
from tests.support import CHOICES, HERE, Project, one_of
from tests.test_managers import ask_for, use_index

pytestmark = pytest.mark.slow

ADDITIONS, SEED = int(os.environ.get("ADDITIONS", "2")), os.environ.get("SEED", "1")
POPULAR = (
    "aiohttp alembic anthropic attrs azure-identity azure-storage-blob bcrypt beautifulsoup4 black boto3 botocore cachetools "
    "celery cffi click cryptography dnspython docutils email-validator fastapi filelock google-auth google-cloud-storage "
    "greenlet grpcio httpx jsonschema kombu langchain-core lxml mako marshmallow matplotlib msal networkx numpy openai "
    "opentelemetry-sdk orjson pandas paramiko pillow poetry-core protobuf psutil psycopg pyarrow pydantic pyjwt pymongo "
    "pyopenssl pyparsing pytest-asyncio python-dateutil pyyaml redis requests rich ruamel-yaml s3fs scikit-learn scipy "
    "sentry-sdk snowflake-connector-python sqlalchemy starlette tabulate tenacity tiktoken tqdm typer urllib3 uvicorn "
    "virtualenv watchfiles websockets werkzeug wrapt yarl"
)
"""Packages that many ask for, with wheels; those that hold each other's versions among them."""


def pin(release: str) -> str:
    """Return the line of a lock for a package of the index, as in layer-core-2.0."""
    name, _, version = release.rpartition("-")
    wheel = next(data for file, data in WHEELS.items() if file.startswith(f"{name.replace('-', '_')}-{version}-"))
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(wheel).hexdigest()}\n"


def ask(project: Project, prod: list[str], dev: list[str]) -> None:
    """Let a project ask for these packages and no others."""
    if (project.path / "requirements/prod.in").exists():
        write(project, "prod.in", "".join(f"{name}\n" for name in prod))
        write(project, "dev.in", "".join(f"{name}\n" for name in ["-c prod.txt", *dev]))
    else:
        ask_for(project, prod, dev)


@pytest.fixture(params=one_of(CHOICES["dependency_manager"], "pip-tools", "uv"))
def project(
    request: pytest.FixtureRequest,
    bake: Bake,
    shared: Path,
    index: PackageIndex,
    no_pip_settings: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    """A project that asks for layer-core and layer-alpha; an older alpha is locked, and the newest core."""
    manager = str(request.param)
    made = bake(dependency_manager=manager)
    install_tools(made, shared, manager)
    if manager == "pip-tools":
        monkeypatch.setenv("PIP_INDEX_URL", index.url())
    else:
        use_index(made, manager, index, monkeypatch)
    write(made, "layers/baseline.names", "layer-alpha\nlayer-core\n")
    write(made, "prod.txt", "".join(map(pin, ("layer-alpha-1.0", "layer-core-2.0"))))
    write(made, "dev.txt", pin("layer-beta-2.0"))
    ask(made, ["layer-alpha", "layer-core"], ["layer-beta"])
    return made


def locked(project: Project) -> None:
    lock(project, "compile", "rebaseline")
    assert pins(project) == {"layer-alpha==1.0", "layer-core==2.0"}


def test_a_new_package_is_the_newest_that_fits_and_no_pin_moves_without_need(project: Project) -> None:
    locked(project)
    ask(project, ["layer-alpha", "layer-core", "layer-app"], ["layer-beta"])
    said = lock(project, "compile").stdout
    assert pins(project) == {"layer-alpha==1.0", "layer-core==1.1", "layer-app==9.0"}
    assert re.search(r"lock: layer-core moves, since layer-app[=>]=9.0 depends on layer-core<2\.\n", said)
    assert "lock: moved: layer-core 2.0 to 1.1.\n" in said
    before = requirements(project)
    lock(project, "compile")
    lock(project, "check")
    assert requirements(project) == before


def test_so_is_what_a_new_package_needs_and_two_fit_each_other(project: Project) -> None:
    locked(project)
    ask(project, ["layer-alpha", "layer-core", "layer-web", "layer-user"], ["layer-beta"])  # web needs app
    lock(project, "compile")
    assert pins(project) == {
        "layer-alpha==1.0", "layer-core==1.1", "layer-web==3.0", "layer-app==9.0", "layer-user==2.0",
    }  # fmt: skip


def test_what_is_asked_for_does_not_move_but_what_is_named(project: Project) -> None:
    ask(project, ["layer-gamma", "layer-core>=2", "layer-app"], ["layer-beta"])  # gamma needs alpha
    lock(project, "compile", "rebaseline")
    assert pins(project) == {"layer-alpha==1.0", "layer-gamma==3.0", "layer-core==2.0", "layer-app==1.0"}
    said = lock(project, "bump", "--packages", "Layer_Alpha").stdout
    assert pins(project) == {"layer-alpha==1.1", "layer-gamma==3.0", "layer-core==2.0", "layer-app==1.0"}
    assert "lock: moved: layer-alpha 1.0 to 1.1.\n" in said
    before = requirements(project)
    result = lock(project, "bump", "--packages", "layer-alpha", "layer-nowhere", check=False)
    assert result.returncode == 1
    assert result.stdout.startswith("lock: no lock has a version of layer-nowhere; ask for it in ")
    assert requirements(project) == before


def test_an_upgrade_leaves_out_what_is_younger_than_its_cooldown_and_takes_nothing_back(project: Project) -> None:
    """layer-fresh 2.0 and layer-young 2.0 are of today."""
    write(project, "prod.txt", "".join(map(pin, ("layer-alpha-1.0", "layer-fresh-1.0", "layer-young-2.0"))))
    ask(project, ["layer-alpha", "layer-fresh", "layer-young"], ["layer-beta"])
    own = "layer-beta\n" if (project.path / "requirements/prod.in").exists() else "uv\n"
    write(project, "tools.in", f"{own}layer-fresh\n")  # the rest would take long
    lock(project, "upgrade", "--cooldown", "7")
    assert pins(project, "tools.txt") >= {"layer-fresh==1.0"}
    assert pins(project) == {"layer-alpha==1.1", "layer-fresh==1.0", "layer-young==2.0"}
    assert "exclude-newer" not in "".join(path.read_text(encoding="utf-8") for path in project.path.glob("uv.lock"))


def test_a_lock_is_for_both_processors_and_all_releases_of_its_python(project: Project) -> None:
    ask(project, ["layer-alpha", "layer-wide"], ["layer-gamma"])
    lock(project, "compile", "rebaseline")
    found = re.findall(r"(?m)^layer-.*?(?= \\$)", project.read("requirements/prod.txt"))
    on_arm = 'layer-arm==2.0 ; platform_machine == "aarch64"'
    assert found == ["layer-alpha==1.0", on_arm, "layer-early==1.0", "layer-wide==1.0"]
    before = requirements(project)
    lock(project, "compile")
    assert requirements(project) == before
    lock(project, "check")
    write(project, "prod.txt", re.sub(r"(?m)^layer-early.*\n( .*\n)+", "", project.read("requirements/prod.txt")))
    assert "it lacks layer-early==1.0" in lock(project, "check", check=False).stdout


def test_what_only_another_processor_needs_moves_when_it_is_told_to(project: Project) -> None:
    def on_arm() -> list[str]:
        return re.findall(r"(?m)^layer-arm==(\S+)", project.read("requirements/prod.txt"))

    marked = pin("layer-arm-1.0").replace(" \\", ' ; platform_machine == "aarch64" \\')
    write(project, "prod.txt", "".join(map(pin, ("layer-alpha-1.0", "layer-early-1.0", "layer-wide-1.0"))) + marked)
    ask(project, ["layer-alpha", "layer-wide"], ["layer-gamma"])
    lock(project, "compile", "rebaseline")
    assert on_arm() == ["1.0"]
    assert "lock: moved: layer-arm 1.0 to 2.0.\n" in lock(project, "bump", "--packages", "layer-arm").stdout
    assert on_arm() == ["2.0"]
    assert pins(project) >= {"layer-alpha==1.0"}
    lock(project, "check")


def test_of_a_package_that_differs_by_python_the_one_for_this_python_is_taken(bake: Bake) -> None:
    newest = module(bake().path / "tools" / "newest.py")
    arm = "platform_machine == 'aarch64'"
    lines = "layer-arm=={} ; python_full_version {} '3.99' and " + arm + " \\\n    --hash=sha256:{}\n"
    this, later = lines.format("1.0", "<", "aa"), lines.format("2.0", ">=", "bb")
    lock = "layer-beta==2.0 \\\n    --hash=sha256:cc\n"
    wanted = 'layer-arm==1.0 ; platform_machine == "aarch64" \\\n    --hash=sha256:aa\n' + lock
    for everywhere in (this + later, later + this):
        assert newest.complete(lock, everywhere, drop=True) == wanted
        assert newest.complete(wanted, everywhere, drop=True) == wanted
    assert newest.complete(wanted, later, drop=True) == lock
    assert newest.complete(wanted, later, drop=False) == wanted


@pytest.mark.parametrize("number", range(ADDITIONS))
def test_a_popular_package_on_top_of_a_random_old_lock_is_the_newest_that_fits(
    tooled: Project, no_pip_settings: None, number: int
) -> None:
    """With ADDITIONS=200, and another SEED, so many of them: real packages, pip-compile, and uv as the judge."""
    choose = random.Random(f"{SEED} {number}")
    *there, added = choose.sample(POPULAR.split(), 7)
    day = f"{choose.randint(2024, 2025)}-{choose.randint(1, 12):02}-15"
    print(f"SEED={SEED}, {number}: {added} onto {there} of {day}")

    def compiled(asked: list[str], *options: str) -> str:
        write(tooled, "asked.in", "".join(f"{name}\n" for name in asked))
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python-version", HERE, *options]
        return tooled.run(*command, "--python-platform", "linux", "requirements/asked.in").stdout

    write(tooled, "prod.in", "".join(f"{name}\n" for name in (*there, added)))
    write(tooled, "dev.in", "-c prod.txt\n")
    write(tooled, "dev.txt", "")
    try:
        write(tooled, "prod.txt", compiled(there, "--generate-hashes", "--exclude-newer", f"{day}T00:00:00Z"))
    except AssertionError as error:
        pytest.skip(f"no lock of that day: {str(error)[-200:]}")
    before = pins(tooled)
    lock(tooled, "compile")
    if kept := [pin for pin in before if pin.startswith(f"{added}==")]:  # another package has brought it
        assert kept[0] in pins(tooled)
        return
    (newest,) = re.findall(rf"(?m)^{added}==\S+", compiled([added, *there]))
    assert newest in pins(tooled)
