"""The generated pipelines: their commands, run on engines that start empty, with a registry between them.

Every command of the `build` jobs is run as it stands in the rendered files. One thing is different: the builder
that they make would be pulled from the internet, so the engine's own builds, which has the same BuildKit inside.
"""

import json
import os
import re
import shutil
import string
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.conftest import Bake
from tests.containers import PYTHON, UNREACHABLE, a_new_package, docker
from tests.support import ROOT, Project, can_get, git, tool

BASE = f"python:{PYTHON}-slim"
PIPELINES = {"github": ".github/workflows/ci.yml", "gitlab": ".gitlab-ci.yml"}

# What stands for the program that lists the contents of an image for --sbom=true.
SCANNER_IMAGE = "docker/buildkit-syft-scanner:stable-1"
SCANNER = f"""\
FROM {BASE}
RUN echo '{{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", \
"predicate": {{"SPDXID": "SPDXRef-DOCUMENT", "spdxVersion": "SPDX-2.3"}}}}' >/sbom.json
ENTRYPOINT ["sh", "-c", "cp /sbom.json $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"]
"""


# What is generated


@pytest.mark.parametrize("ci", ["github", "gitlab", "none"])
def test_the_chosen_pipeline_is_there_and_nothing_speaks_of_another(bake: Bake, ci: str) -> None:
    project = bake(ci=ci)
    there = [path.name for path in project.path.iterdir() if path.name in (".github", ".gitlab-ci.yml")]
    assert there == {"github": [".github"], "gitlab": [".gitlab-ci.yml"], "none": []}[ci]
    text = "".join(project.read(str(path)) for path in project.files() if "requirements" not in path.parts)
    assert ("ghcr.io" in text) == (ci == "github")
    assert ("CI_REGISTRY" in text) == (ci == "gitlab")
    assert ("## The pipeline\n" in project.read("README.md")) == (ci != "none")
    for name in PIPELINES.keys() - {ci}:
        assert PIPELINES[name] not in text


def test_a_pipeline_that_is_there_stays_beside_that_of_another_answer(bake: Bake) -> None:
    project = bake(ci="github")
    (project.path / ".github" / "CODEOWNERS").write_text("* @team\n", encoding="utf-8")
    over = ("--no-input", "--default-config", "--overwrite-if-exists", "--output-dir", project.path.parent)
    project.run(tool("cookiecutter"), *over, ROOT, "ci=gitlab")
    left = sorted(path.name for path in (project.path / ".github").rglob("*"))
    assert left == ["CODEOWNERS", "ci.yml", "dependabot.yml", "upgrade.yml", "workflows"]
    assert (project.path / ".gitlab-ci.yml").exists()


@pytest.mark.parametrize("ci", PIPELINES)
def test_a_pipeline_checks_everything_and_builds_only_what_bake_defines(bake: Bake, ci: str) -> None:
    text = bake(ci=ci).read(PIPELINES[ci])
    for target in ("lint", "test", "lock-check"):
        assert re.search(rf"make {target}$", text, re.MULTILINE), target
    builds = re.findall(r"docker (?:buildx )?(?:build|bake)\b.*", text)
    assert builds
    assert all(build.startswith("docker buildx bake --file docker-bake.hcl") for build in builds)


# Upgrades


def upgrade_commands(project: Project, ci: str) -> str:
    """Return what the pipeline runs after `make upgrade`."""
    if ci == "github":
        steps = yaml.safe_load(project.read(".github/workflows/upgrade.yml"))["jobs"]["upgrade"]["steps"]
        return str(next(step["run"] for step in steps if "gh pr" in step.get("run", "")))
    first, *script = yaml.safe_load(project.read(".gitlab-ci.yml"))["upgrade"]["script"]
    assert first == "env --unset UPGRADE_TOKEN make upgrade COOLDOWN=7"
    return "\n".join(script)


@pytest.mark.parametrize("ci", PIPELINES)
def test_an_upgrade_becomes_one_request_that_tells_what_changes(bake: Bake, tmp_path: Path, ci: str) -> None:
    """git is real; `gh`, and the server behind GitLab's push options, are not: what they are told is looked at."""
    project = bake(ci=ci)
    remote, bin_folder, told = tmp_path / "remote.git", tmp_path / "bin", tmp_path / "told"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(remote, "config", "receive.advertisePushOptions", "true")
    (remote / "hooks/pre-receive").write_text(
        f"#!/bin/sh\nenv | grep GIT_PUSH_OPTION_ >>{told}; true\n", encoding="utf-8"
    )
    bin_folder.mkdir()
    opened = tmp_path / "opened"  # the request
    gh = f"""#!/bin/bash
        case "$1 $2" in
            "pr list") cat {opened} 2>/dev/null || true ;;
            "pr create") echo 7 >{opened} && cat "${{@: -1}}" >>{told} ;;
            "pr edit") [[ $3 = 7 ]] && cat "${{@: -1}}" >>{told} ;;
            "workflow run") echo checks of $5 >>{told} ;;
        esac
    """
    (bin_folder / "gh").write_text(gh, encoding="utf-8")
    for program in (remote / "hooks/pre-receive", bin_folder / "gh"):
        program.chmod(0o755)
    git(project.path, "init", "--quiet", "--initial-branch", "main")
    git(project.path, "add", "--all")
    git(project.path, "commit", "--quiet", "--message", "made")
    url = {"github": "https://x-access-token:t@github.com/o/r", "gitlab": "https://upgrade:t@lab.example/o/r.git"}[ci]
    settings = {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path), "GH_TOKEN": "t",
        "GITHUB_REPOSITORY": "o/r", "UPGRADE_TOKEN": "t", "CI_SERVER_HOST": "lab.example", "CI_PROJECT_PATH": "o/r",
        "CI_DEFAULT_BRANCH": "main", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{remote}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
    }  # fmt: skip
    (project.path / ".cache").mkdir(exist_ok=True)
    given = [f"{name}={value}" for name, value in settings.items()]
    command = ("env", *given, "bash", "-eo", "pipefail", "-c", upgrade_commands(project, ci))

    project.run(*command)  # nothing has changed
    assert not told.exists()
    for version in ("98.0", "99.0"):  # the second time, the branch is there
        lock = project.path / "requirements/prod.txt"
        text = lock.read_text(encoding="utf-8")
        lock.write_text(re.sub(r"(?m)^click==\S+", f"click=={version}", text), encoding="utf-8")
        project.run(*command)
        assert git(remote, "rev-parse", "upgrade") == git(project.path, "rev-parse", "HEAD")
        git(project.path, "reset", "--quiet", "--hard", "HEAD~1")
    said = told.read_text(encoding="utf-8")
    assert re.findall(r"\| click \| \S+ \| (\S+) \|", said) == ["98.0", "99.0"]
    assert ci != "github" or said.count("checks of upgrade") == 2
    assert re.search(r"The next image pushes about \d+\.\d MB of packages", said)


@pytest.mark.docker
def test_on_a_persons_machine_no_registry_is_used_and_one_processor(bake: Bake) -> None:
    project = bake()
    assert not {"cache-from", "cache-to", "secret", "platforms"} & definition(project).keys()
    both = "linux/amd64,linux/arm64"
    assert definition(project, PLATFORMS=both)["platforms"] == both.split(",")


@pytest.mark.docker
def test_main_reads_nothing_of_a_branch_and_a_branch_writes_nothing_of_main(bake: Bake) -> None:
    project = bake()
    main = definition(project, CACHE="main")
    assert main["cache-from"] == ["type=registry,ref=flask-service:cache-main"]
    assert main["cache-to"] == ["type=registry,ref=flask-service:cache-main,mode=min,ignore-error=false"]
    branch = definition(project, CACHE="pr-7")
    assert branch["cache-from"] == [f"type=registry,ref=flask-service:cache-{name}" for name in ("main", "pr-7")]
    assert branch["cache-to"] == ["type=registry,ref=flask-service:cache-pr-7,mode=min,ignore-error=true"]


def definition(project: Project, **env: Any) -> dict[str, Any]:
    """Return what bake makes of the target `production`."""
    output = project.run("docker", "buildx", "bake", "--file", "docker-bake.hcl", "--print", **env).stdout
    found: dict[str, Any] = json.loads(output[output.index("{\n") : output.rindex("}") + 1])
    return dict(found["target"]["production"])


# What its commands do


class Registry(NamedTuple):
    """A registry that engines in containers and this process can reach."""

    container: str
    address: str  # for engines
    url: str  # for us

    def ask(self, path: str) -> tuple[str, Any]:
        """Return the digest and the content of a manifest, or of whatever else is there."""
        accept = {"Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"}
        with urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/v2/team/orders/{path}", headers=accept)
        ) as found:
            return str(found.headers["Docker-Content-Digest"]), json.load(found)

    def tags(self) -> set[str]:
        return {*self.ask("tags/list")[1]["tags"]}

    def image(self, tag: str) -> tuple[list[str], set[str]]:
        """Return the layers of an image, and what kinds of attestations it has."""
        manifests = [
            self.ask(f"manifests/{entry['digest']}")[1] for entry in self.ask(f"manifests/{tag}")[1]["manifests"]
        ]
        kinds = [
            layer.get("annotations", {}).get("in-toto.io/predicate-type") for m in manifests for layer in m["layers"]
        ]
        layers = [layer["digest"] for m in manifests for layer in m["layers"] if "in-toto" not in layer["mediaType"]]
        return layers, {*kinds} - {None}


@contextmanager
def registry(*options: str) -> Iterator[Registry]:
    """Run a registry."""
    container = docker("run", "--detach", "--publish", "127.0.0.1::5000", *options, "registry:2")
    try:
        address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}:5000", container)
        running = Registry(container, address, f"http://{docker('port', container, '5000')}")
        until(lambda: bool(urllib.request.urlopen(f"{running.url}/v2/")), container)
        yield running
    finally:
        docker("rm", "--force", "--volumes", container)


@contextmanager
def empty_engine(registry: Registry, images: Path) -> Iterator[str]:
    """Run an engine that has nothing but the images that a build would pull; yield its DOCKER_HOST."""
    options = ("--privileged", "--env", "DOCKER_TLS_CERTDIR=", "--publish", "127.0.0.1::2375")
    container = docker("run", "--detach", *options, "docker:dind", f"--insecure-registry={registry.address}")
    try:
        host = f"tcp://{docker('port', container, '2375')}"
        until(lambda: "Server Version" in docker("--host", host, "info", check=False), container)
        docker("--host", host, "load", "--input", str(images))
        yield host
    finally:
        docker("rm", "--force", "--volumes", container)


def until(ready: Callable[[], bool], container: str) -> None:
    """Wait until what a container serves is ready."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if ready():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, docker("logs", container)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images that the builds of a pipeline pull, as a file."""
    for image in ("docker:dind", "registry:2", BASE):
        if not can_get(image):
            pytest.skip(f"the engine has no {image}, and cannot pull it")
    folder = tmp_path_factory.mktemp("images")
    (folder / "Dockerfile").write_text(SCANNER, encoding="utf-8")
    ours = f"pipelines-test/scanner:{folder.parent.name}"
    docker("build", "--quiet", "--tag", ours, str(folder))
    docker("tag", ours, SCANNER_IMAGE)
    try:
        docker("save", "--output", str(folder / "images.tar"), BASE, SCANNER_IMAGE)
    finally:
        docker("image", "rm", ours, SCANNER_IMAGE, check=False)  # another worker has the second name too
    return folder / "images.tar"


class Published(NamedTuple):
    """A project whose main has been built and pushed from an engine that is gone."""

    ci: str
    project: Project
    registry: Registry
    images: Path

    def branch(self, folder: Path) -> Project:
        """Return a copy of the project, to be changed."""
        shutil.copytree(self.project.path, folder / "branch")
        return Project(folder / "branch")

    def build(self, project: Project, change: int | None = None, commit: str = "1" * 40, **env: Any) -> str:
        """Carry out the `build` job for a commit of main, or of a pull request, on an empty engine; return its log."""
        return build(self.ci, project, self.registry, self.images, change, commit, **env)


@pytest.fixture(scope="module", params=PIPELINES)
def main(request: pytest.FixtureRequest, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("main")
    options = (
        "--no-input",
        "--default-config",
        "--output-dir",
        folder,
        f"python_version={PYTHON}",
        f"ci={request.param}",
    )
    Project(folder).run(tool("cookiecutter"), ROOT, *options, LAYERCAKE_LOCK="skip")
    project = Project(folder / "flask-service")
    with registry() as running:
        published = Published(request.param, project, running, images)
        log = published.build(project, commit="0" * 40)
        assert {"tools 1/2", "baseline 1/1", "packages 1/1"} <= steps_that_ran(log)
        assert running.tags() == {"0" * 40, "latest", "cache-main"}
        yield published


def build(
    ci: str, project: Project, registry: Registry, images: Path, change: int | None, commit: str, **env: Any
) -> str:
    commands = {"github": github_commands, "gitlab": gitlab_commands}[ci](project, registry, change, commit)
    assert any("docker buildx bake" in command for command, _ in commands)
    log = ""
    with empty_engine(registry, images) as host:
        own: dict[str, Any] = {
            "DOCKER_HOST": host,
            "BUILDX_BUILDER": "default",
            "DOCKER_CONFIG": str(images.parent / "docker-config"),
        }
        for command, variables in commands:
            log += project.run("sh", "-ec", command, **variables, **own, **env).stdout
    shutil.rmtree(images.parent / "docker-config")
    return log


def github_commands(
    project: Project, registry: Registry, change: int | None, commit: str
) -> list[tuple[str, dict[str, Any]]]:
    """Return the commands of the job `build` with their environments, as GitHub would run them."""
    facts = {
        "github.repository": "Team/Orders",
        "github.sha": commit,
        "github.token": "token",
        "github.event.number || github.ref_name": str(change),
    }
    conditions = {
        "": True,
        "github.event_name == 'push'": change is None,
        "github.event_name != 'push'": change is not None,
    }

    def fill_in(variables: dict[str, str]) -> dict[str, str]:
        there = {name: text.replace("ghcr.io", registry.address) for name, text in variables.items()}
        return {name: re.sub(r"\$\{\{ (.+?) \}\}", lambda m: facts[m[1]], text) for name, text in there.items()}

    job = yaml.safe_load(project.read(PIPELINES["github"]))["jobs"]["build"]
    return [
        (
            step["run"].replace("ghcr.io", registry.address),
            {"GITHUB_ACTOR": "somebody"} | fill_in(job["env"] | step.get("env", {})),
        )
        for step in job["steps"]
        if "run" in step and conditions[step.get("if", "")]
    ]


def gitlab_commands(
    project: Project, registry: Registry, change: int | None, commit: str
) -> list[tuple[str, dict[str, Any]]]:
    """Return the script of the job `build` with its environment, as GitLab would run it."""
    predefined = {
        "CI_REGISTRY": registry.address,
        "CI_REGISTRY_IMAGE": f"{registry.address}/team/orders",
        "CI_REGISTRY_USER": "somebody",
        "CI_REGISTRY_PASSWORD": "password",
        "CI_COMMIT_SHA": commit,
        "CI_MERGE_REQUEST_IID": str(change),
    }
    conditions = {
        "$CI_REGISTRY_IMAGE == null": False,
        '$CI_PIPELINE_SOURCE == "merge_request_event"': change is not None,
        "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH": change is None,
    }
    job = yaml.safe_load(project.read(PIPELINES["gitlab"]))["build"]
    rule = next(rule for rule in job["rules"] if conditions[rule["if"]])
    variables = job["variables"] | rule.get("variables", {})
    filled_in = {name: string.Template(text).substitute(predefined) for name, text in variables.items()}
    return [("\n".join(job["before_script"] + job["script"]), predefined | filled_in)]


def steps_that_ran(log: str) -> set[str]:
    """Return the RUN steps of a plain build log that were not taken from a cache, like "packages 1/1".

    A step whose layers are fetched from a registry shows them instead of CACHED, or both.
    """
    steps = dict(re.findall(r"^#(\d+) \[([^\]]+)\] RUN", log, re.MULTILINE))
    assert {"baseline 1/1", "packages 1/1"} <= {*steps.values()}, log
    cached = re.findall(r"^#(\d+) (?:CACHED|sha256:)", log, re.MULTILINE)
    return {label for number, label in steps.items() if number not in cached}


def change_code(project: Project) -> None:
    module = project.path / "flask_service" / "resources" / "greetings.py"
    module.write_text(module.read_text(encoding="utf-8").replace("Hallo", "Servus"), encoding="utf-8")


only_github = pytest.mark.parametrize("main", ["github"], indirect=True)  # what is left differs in nothing


@pytest.mark.docker
@pytest.mark.slow
class TestOnAnEmptyEngine:
    def test_a_code_change_installs_nothing_and_asks_no_index(self, main: Published, tmp_path: Path) -> None:
        branch = main.branch(tmp_path)
        change_code(branch)
        before = main.registry.ask("manifests/cache-main"), main.registry.ask("manifests/latest")
        log = main.build(branch, change=1, **UNREACHABLE)
        assert steps_that_ran(log) == set()
        assert main.registry.tags() - {"cache-pr-1", "cache-mr-1"} == {"0" * 40, "latest", "cache-main"}
        assert len(main.registry.tags()) == 4  # its layers are kept, its image is not
        assert (main.registry.ask("manifests/cache-main"), main.registry.ask("manifests/latest")) == before

    @only_github
    def test_a_new_package_is_all_that_is_installed_and_only_once(self, main: Published, tmp_path: Path) -> None:
        branch = main.branch(tmp_path)
        name, pin = a_new_package(branch)
        with (branch.path / "requirements" / "prod.txt").open("a", encoding="utf-8") as lock:
            lock.write(pin)
        log = main.build(branch, change=2)
        assert steps_that_ran(log) - {"tools 1/2"} == {"packages 1/1"}  # no cache keeps uv, which ends up in no image
        assert re.findall(r"^#\d+ [\d.]+  \+ (\S+)==", log, re.MULTILINE) == [name]
        change_code(branch)
        assert steps_that_ran(main.build(branch, change=2, **UNREACHABLE)) == set()

    @only_github
    def test_a_fork_that_may_not_write_reads_all_the_same(self, main: Published, tmp_path: Path) -> None:
        branch = main.branch(tmp_path)
        change_code(branch)
        readonly = (
            "--volumes-from",
            main.registry.container,
            "--env",
            'REGISTRY_STORAGE_MAINTENANCE_READONLY={"enabled":true}',
        )
        with registry(*readonly) as closed:
            log = build(main.ci, branch, closed, main.images, 3, "3" * 40, **UNREACHABLE)
            assert "error writing layer blob" in log
            assert steps_that_ran(log) == set()
            assert not {"cache-pr-3", "cache-mr-3"} & closed.tags()

    def test_main_pushes_attestations_and_only_the_layer_that_changed(self, main: Published, tmp_path: Path) -> None:
        branch = main.branch(tmp_path)
        change_code(branch)
        log = main.build(branch, commit="4" * 40, **UNREACHABLE)
        assert steps_that_ran(log) == set()
        (old, _), (new, attestations) = main.registry.image("0" * 40), main.registry.image("4" * 40)
        assert [a == b for a, b in zip(old, new, strict=True)] == [True] * (len(old) - 1) + [False]
        assert {kind.rpartition("/")[0] for kind in attestations} == {"https://slsa.dev/provenance", "https://spdx.dev"}
        assert main.registry.image("latest")[0] == new
