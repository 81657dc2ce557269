"""The generated pipelines: their commands, run on engines that start empty, with a registry between them.

Every command of the `build` jobs is run as it stands in the rendered files. What would be pulled from the internet is
different: the engine's own builder, which has the same BuildKit inside, is the one that they make, and programs with the
names of those that list contents, scan and sign do as they are told here.
"""

import json
import os
import re
import shutil
import string
import time
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import yaml

from tests.conftest import Bake
from tests.containers import PYTHON, UNREACHABLE, a_new_package, built, docker, layers
from tests.support import ROOT, SCAFFOLD, Project, can_get, git, once, one_of, tool

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
# And for Trivy: one file is a vulnerability.
TRIVY_IMAGE = re.findall(r"FROM (\S+) AS scan", (SCAFFOLD / "Dockerfile").read_text(encoding="utf-8"))[0]
TRIVY = f"""\
FROM {BASE}
RUN printf '#!/bin/sh\\n! [ -e /image/vulnerable ] || grep -s vulnerable .trivyignore\\n' >/usr/local/bin/trivy && \
    chmod +x /usr/local/bin/trivy
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
    assert ("# The pipeline\n" in project.documents()) == (ci != "none")
    for name in PIPELINES.keys() - {ci}:
        assert PIPELINES[name] not in text


def test_a_pipeline_that_is_there_stays_beside_that_of_another_answer(bake: Bake) -> None:
    project = bake(ci="github")
    (project.path / ".github" / "CODEOWNERS").write_text("* @team\n", encoding="utf-8")
    over = ("--no-input", "--default-config", "--overwrite-if-exists", "--output-dir", project.path.parent)
    project.run(tool("cookiecutter"), *over, ROOT, "ci=gitlab")
    left = sorted(path.name for path in (project.path / ".github").rglob("*"))
    assert left == ["CODEOWNERS", "ci.yml", "dependabot.yml", "update.yml", "upgrade.yml", "workflows"]
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


def commands_after(command: str, project: Project, ci: str) -> str:
    """Return what the pipeline runs after `make upgrade`, or `make update`."""
    name = command.split()[1]
    if ci == "github":
        steps = yaml.safe_load(project.read(f".github/workflows/{name}.yml"))["jobs"][name]["steps"]
        assert any(step.get("run", "").startswith(command) for step in steps)
        return str(next(step["run"] for step in steps if "gh pr" in step.get("run", "")))
    script = yaml.safe_load(project.read(".gitlab-ci.yml"))[name]["script"]
    place = next(
        number for number, line in enumerate(script) if line.startswith(f"env --unset UPGRADE_TOKEN {command}")
    )
    return "\n".join(script[place + 1 :])


URLS = (
    "https://x-access-token:t@github.com/o/r",
    "https://upgrade:t@lab.example/o/r.git",
    "https://update:t@lab.example/o/r.git",
)


def host(project: Project, tmp_path: Path, ci: str, after: str) -> tuple[list[str], Path, Path]:
    """Return what a pipeline does after a command, where it pushes to, and what keeps the words that the host is told."""
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
    settings = {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path), "GH_TOKEN": "t",
        "GITHUB_REPOSITORY": "o/r", "UPGRADE_TOKEN": "t", "CI_SERVER_HOST": "lab.example", "CI_PROJECT_PATH": "o/r",
        "CI_DEFAULT_BRANCH": "main", "GIT_CONFIG_COUNT": "3", "UPDATE_TOKEN": "",
        **{f"GIT_CONFIG_KEY_{number}": f"url.{remote}.insteadOf" for number in range(3)},
        **{f"GIT_CONFIG_VALUE_{number}": url for number, url in enumerate(URLS)},
    }  # fmt: skip
    (project.path / ".cache").mkdir(exist_ok=True)
    given = [f"{name}={value}" for name, value in settings.items()]
    return ["env", *given, "bash", "-eo", "pipefail", "-c", commands_after(after, project, ci)], remote, told


@pytest.mark.parametrize("ci", PIPELINES)
def test_an_upgrade_becomes_one_request_that_tells_what_changes(bake: Bake, tmp_path: Path, ci: str) -> None:
    """git is real; `gh`, and the server behind GitLab's push options, are not: what they are told is looked at."""
    project = bake(ci=ci)
    command, remote, told = host(project, tmp_path, ci, "make upgrade COOLDOWN=7")

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


@pytest.mark.parametrize("ci", PIPELINES)
def test_an_update_of_the_template_becomes_one_request_unless_there_is_nothing(
    bake: Bake, tmp_path: Path, ci: str
) -> None:
    """As above; of the update itself there is what it leaves: an index, and words."""
    project = bake(ci=ci)
    command, remote, told = host(project, tmp_path, ci, "make update ARGS=--no-test")
    words = {"github": tmp_path, "gitlab": project.path / ".cache"}[ci] / "update.md"
    words.write_text("- Makefiles end otherwise.\n", encoding="utf-8")
    for name in (".cruft.json", "Makefile"):
        assert not told.exists()
        with (project.path / name).open("a", encoding="utf-8") as file:
            file.write("\n")
        git(project.path, "add", name)
        project.run(*command)
    assert git(remote, "diff", "--name-only", "template~1", "template").split() == [".cruft.json", "Makefile"]
    assert "- Makefiles end otherwise." in told.read_text(encoding="utf-8")


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
    assert main["cache-from"] == [f"type=registry,ref=flask-service:cache-{name}" for name in ("main", "main-test")]
    assert main["cache-to"] == ["type=registry,ref=flask-service:cache-main,mode=min,ignore-error=false"]
    branch = definition(project, CACHE="pr-7")
    names = ("main", "pr-7", "main-test", "pr-7-test")
    assert branch["cache-from"] == [f"type=registry,ref=flask-service:cache-{name}" for name in names]
    assert branch["cache-to"] == ["type=registry,ref=flask-service:cache-pr-7,mode=min,ignore-error=true"]


@pytest.mark.docker
def test_a_candidate_is_what_is_pushed_for_this_machine(bake: Bake) -> None:
    project = bake()
    settings = {"CACHE": "main", "PLATFORMS": "linux/arm64", "SOURCE": "https://lab.example/o/r", "REVISION": "1" * 40}
    pushed, candidate = (definition(project, target, **settings) for target in ("production", "candidate"))
    own = ("tags", "platforms", "output")
    assert {name: pushed[name] for name in pushed if name not in own} == {
        name: candidate[name] for name in candidate if name not in own
    }
    assert candidate["tags"] == ["flask-service:candidate"]
    assert "platforms" not in candidate


@pytest.mark.docker
def test_labels_say_where_an_image_is_from_and_change_no_layer(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    with built(project) as plain:
        tag = f"{plain}-labelled"
        command = ("docker", "buildx", "bake", "--file", "docker-bake.hcl", "--load", "--set", f"production.tags={tag}")
        project.run(*command, VERSION="1.2", SOURCE="https://lab.example/o/r", REVISION="1" * 40)
        try:
            assert layers(tag) == layers(plain)
            labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", tag))
        finally:
            docker("image", "rm", "--force", tag)
    assert labels == {
        "org.opencontainers.image.title": "flask-service",
        "org.opencontainers.image.version": "1.2",
        "org.opencontainers.image.source": "https://lab.example/o/r",
        "org.opencontainers.image.revision": "1" * 40,
    }


@pytest.mark.docker
def test_a_base_that_is_pinned_by_its_digest_makes_the_same_layers(bake: Bake) -> None:
    project = bake(python_version=PYTHON)
    digest = docker("image", "inspect", "--format", "{{index .RepoDigests 0}}", BASE).partition("@")[2]
    with built(project) as by_tag:
        text = project.read("Dockerfile")
        pinned = text.replace(f"FROM {BASE} AS python\n", f"FROM {BASE}@{digest} AS python\n")
        assert digest in pinned
        (project.path / "Dockerfile").write_text(pinned, encoding="utf-8")
        with built(project) as by_digest:
            assert layers(by_digest) == layers(by_tag)


@pytest.mark.docker
def test_smoke_tells_an_image_that_answers_from_one_that_does_not(bake: Bake) -> None:
    """With every option, and no server."""
    slug = f"smoke-{uuid4().hex[:8]}"
    answers = {"database": "postgresql", "background_jobs": "celery", "error_tracking": "sentry"}
    project = bake(python_version=PYTHON, project_slug=slug, package_name="flask_service", **answers)
    try:
        project.run("make", "smoke")
        with (project.path / "flask_service/core/openapi.py").open("a", encoding="utf-8") as module:
            module.write('\n\nraise RuntimeError("broken")\n')
        broken = project.run("make", "smoke", check=False)
        assert broken.returncode
        assert "RuntimeError: broken" in broken.stdout
        assert not docker("ps", "--all", "--quiet", "--filter", f"ancestor={slug}:candidate")
    finally:
        docker("image", "rm", "--force", f"{slug}:candidate")


def definition(project: Project, target: str = "production", **env: Any) -> dict[str, Any]:
    """Return what bake makes of a target."""
    output = project.run("docker", "buildx", "bake", "--file", "docker-bake.hcl", "--print", target, **env).stdout
    found: dict[str, Any] = json.loads(output[output.index("{\n") : output.rindex("}") + 1])
    return dict(found["target"][target])


# Deployment

SECRETS = {
    "SECRET_KEY": "k$y",
    "DATABASE_URL": "postgresql://a:p%25@d/s",
    "REDIS_URL": "redis://r",
    "SENTRY_DSN": "https://s",
}


def filled_in(text: str, facts: dict[str, str]) -> str:
    """Return a text whose expressions GitHub has replaced by what they mean."""
    return re.sub(r"\$\{\{ (.+?) \}\}", lambda found: facts[found[1]], text)


def deployment(project: Project, ci: str, job: str, version: str) -> tuple[str, dict[str, Any]]:
    """Return the commands of a job that deploys a version to staging, or goes back, and its environment."""
    if ci == "gitlab":
        script = yaml.safe_load(project.read(".gitlab-ci.yml"))[job]["script"]
        return "\n".join(script), {**SECRETS, "ENVIRONMENT": "staging", "VERSION": version}
    (step,) = (
        step
        for step in yaml.safe_load(project.read(".github/workflows/deploy.yml"))["jobs"]["deploy"]["steps"]
        if "run" in step
    )
    facts = {f"secrets.{name}": value for name, value in SECRETS.items()} | {
        "secrets.KUBECONFIG": "cluster",
        "inputs.environment": "staging",
        "inputs.version": version if job == "deploy" else "",
        "runner.temp": str(project.path.parent),
    }
    return step["run"], {name: filled_in(text, facts) for name, text in step["env"].items()}


@pytest.mark.parametrize("ci", PIPELINES)
def test_a_version_is_deployed_and_taken_back_by_hand(bake: Bake, tmp_path: Path, ci: str) -> None:
    """kustomize is real; of the cluster there is only what it is told."""
    options = {"database": "postgresql", "background_jobs": "celery", "error_tracking": "sentry"}
    project = bake(ci=ci, deployment="kubernetes", **options)
    bin_folder, told, applied = tmp_path / "bin", tmp_path / "told", tmp_path / "applied"
    bin_folder.mkdir()
    kubectl = f"""#!/bin/sh
        echo "$@" >>{told}
        if [ "$1 $2" = "apply --kustomize" ]; then exec {tool("kubectl")} kustomize "$3" >{applied}; fi
    """
    (bin_folder / "kubectl").write_text(kubectl, encoding="utf-8")
    (bin_folder / "kubectl").chmod(0o755)

    def run(job: str, version: str = "", check: bool = True) -> str:
        command, variables = deployment(project, ci, job, version)
        path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
        return project.run("bash", "-ec", command, check=check, **variables, PATH=path).stdout

    run("deploy", "3f2c1d0-9")
    manifests = [manifest for manifest in yaml.safe_load_all(applied.read_text(encoding="utf-8")) if manifest]
    secrets = next(manifest["data"] for manifest in manifests if manifest["kind"] == "Secret")
    assert {name.upper(): b64decode(value).decode() for name, value in secrets.items()} == SECRETS
    images = re.findall("(?m)^ +image: (.*)", applied.read_text(encoding="utf-8"))
    assert images == ["registry.example.com/flask-service:3f2c1d0-9"] * 3
    assert "rollout undo" not in told.read_text(encoding="utf-8")
    told.unlink()

    run("rollback", "3f2c1d0-9")
    undone = re.findall(r"(?m)^--namespace flask-service-staging rollout (\w+) (\S+)", told.read_text(encoding="utf-8"))
    assert undone == [("undo", "deployment/web"), ("undo", "deployment/worker"), ("status", "deployment/web")]
    told.unlink()

    if ci == "github":  # what is typed there may be anything
        assert "is no tag of an image" in run("deploy", "1; $(touch here)", check=False)
        assert not told.exists()


# Signatures and names


@pytest.mark.parametrize(
    ("settings", "signed"),
    [
        ({}, True),
        ({"CI_PROJECT_VISIBILITY": "private"}, False),
        ({"CI_PROJECT_VISIBILITY": "private", "SIGN": "1"}, True),
        ({"CI_SERVER_HOST": "lab.example", "SIGN": "1"}, False),
    ],
)
def test_gitlab_signs_what_is_public_or_shall_be(
    bake: Bake, tmp_path: Path, settings: dict[str, str], signed: bool
) -> None:
    """Docker is not real: what it tells of a push is."""
    project = bake(ci="gitlab")
    pushed = {"production": {"containerimage.config.digest": "sha256:0c", "containerimage.digest": "sha256:0f"}}
    (project.path / "pushed.json").write_text(json.dumps(pushed, indent=2), encoding="utf-8")
    (project.path / "tools/smoke.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    for name in ("docker", "apk", "cosign"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    ((command, variables),) = gitlab_commands(project, NOWHERE, None, "1" * 40)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    said = project.run("sh", "-ec", command, **{**variables, **settings, "PATH": path}).stdout
    assert ("sign --yes registry.example/team/orders@sha256:0f\n" in said) == signed


def test_a_weekly_build_does_not_take_the_name_of_another(bake: Bake) -> None:
    project = bake(ci="gitlab")
    names = [
        gitlab_commands(project, NOWHERE, None, "1" * 40, scheduled)[0][1]["VERSION"] for scheduled in (False, True)
    ]
    assert names == ["1" * 40, f"{'1' * 40}-9"]


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


NOWHERE = Registry("", "registry.example", "")


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
def images(shared: Path) -> Path:
    """The images that the builds of a pipeline pull, as a file, made once for all workers."""
    for image in ("docker:dind", "registry:2", BASE):
        if not can_get(image):
            pytest.skip(f"the engine has no {image}, and cannot pull it")

    def make(folder: Path) -> None:
        folder.mkdir()
        names = {SCANNER_IMAGE: SCANNER, TRIVY_IMAGE: TRIVY}
        try:
            for name, dockerfile in names.items():
                (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
                docker("build", "--quiet", "--tag", name, str(folder))
            docker("save", "--output", str(folder / "images.tar"), BASE, *names)
        finally:
            docker("image", "rm", *names, check=False)

    return once(shared / "images-of-pipelines", make) / "images.tar"


class Published(NamedTuple):
    """A project whose main has been built and pushed from an engine that is gone."""

    ci: str
    project: Project
    registry: Registry
    images: Path
    folder: Path
    """Where programs lie that stand for others, and what they are told."""

    def branch(self, folder: Path) -> Project:
        """Return a copy of the project, to be changed."""
        shutil.copytree(self.project.path, folder / "branch")
        return Project(folder / "branch")

    def build(self, project: Project, change: int | None = None, commit: str = "1" * 40, **env: Any) -> str:
        """Carry out the `build` job for a commit of main, or of a pull request, on an empty engine; return its log."""
        with empty_engine(self.registry, self.images) as host:
            return build(self, host, project, change, commit, **env)

    @property
    def signed(self) -> list[str]:
        """What was signed, oldest first."""
        file = self.folder / "signed"
        return file.read_text(encoding="utf-8").split() if file.exists() else []


@pytest.fixture(scope="module", params=one_of(PIPELINES, "github"))
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
    for test in project.path.glob("tests/**/test_*.py"):  # one stands for all
        if test.name != "test_greetings.py":
            test.unlink()
    with registry() as running:
        published = Published(request.param, project, running, images, folder)
        log = published.build(project, commit="0" * 40)
        assert {"tools 1/2", "baseline 1/1", "packages 1/1"} <= steps_that_ran(log)
        assert running.tags() == {"0" * 40, "latest", "cache-main", "cache-main-test"}
        assert published.signed == [f"{running.address}/team/orders@{running.ask('manifests/latest')[0]}"]
        yield published


def build(main: Published, host: str, project: Project, change: int | None, commit: str, **env: Any) -> str:
    """Carry out the `build` job of a project on an engine."""
    shell, commands = {"github": (["bash", "-e"], github_commands), "gitlab": (["sh", "-e"], gitlab_commands)}[main.ci]
    bin_folder = main.folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name, does in (
        ("cosign", f'[ "$1 $2" = "sign --yes" ] && echo "$3" >>{main.folder / "signed"}'),
        ("apk", "true"),
    ):
        (bin_folder / name).write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        (bin_folder / name).chmod(0o755)
    log = ""
    config = main.folder / "docker-config"
    try:
        for command, variables in commands(project, main.registry, change, commit):
            own: dict[str, Any] = {
                "DOCKER_HOST": host,
                "BUILDX_BUILDER": "default",
                "DOCKER_CONFIG": str(config),
                "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            }
            log += project.run(*shell, "-c", command, **variables, **own, **env).stdout
    finally:
        shutil.rmtree(config)
    assert "docker driver" in log
    return log


def github_commands(
    project: Project, registry: Registry, change: int | None, commit: str
) -> list[tuple[str, dict[str, Any]]]:
    """Return the commands of the job `build` with their environments, as GitHub would run them."""
    facts = {
        "github.repository": "Team/Orders",
        "github.server_url": "https://github.com",
        "github.sha": commit,
        "github.token": "token",
        "github.event_name == 'schedule' && format('-{0}', github.run_number) || ''": "",
        "github.ref == 'refs/heads/main' && 'main' || format('pr-{0}', github.event.number || github.ref_name)": (
            "main" if change is None else f"pr-{change}"
        ),
        "vars.PLATFORMS": "",
    }
    conditions = {
        "": True,
        "github.ref == 'refs/heads/main'": change is None,
        "github.ref == 'refs/heads/main' && (github.event.repository.visibility == 'public' || vars.SIGN)": (
            change is None
        ),
    }

    def fill_in(variables: dict[str, str]) -> dict[str, str]:
        return {name: filled_in(text.replace("ghcr.io", registry.address), facts) for name, text in variables.items()}

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
    project: Project, registry: Registry, change: int | None, commit: str, scheduled: bool = False
) -> list[tuple[str, dict[str, Any]]]:
    """Return the script of the job `build` with its environment, as GitLab would run it."""
    predefined = {
        "CI_REGISTRY": registry.address,
        "CI_REGISTRY_IMAGE": f"{registry.address}/team/orders",
        "CI_REGISTRY_USER": "somebody",
        "CI_REGISTRY_PASSWORD": "password",
        "CI_COMMIT_SHA": commit,
        "CI_MERGE_REQUEST_IID": str(change),
        "CI_PIPELINE_IID": "9",
        "CI_PROJECT_URL": "https://gitlab.com/team/orders",
        "CI_PROJECT_VISIBILITY": "public",
        "CI_SERVER_HOST": "gitlab.com",
    }
    of_main = "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"
    conditions = {
        "$CI_REGISTRY_IMAGE == null": False,
        '$CI_PIPELINE_SOURCE == "merge_request_event"': change is not None,
        f'$CI_PIPELINE_SOURCE == "schedule" && {of_main}': scheduled,
        of_main: change is None,
    }

    def of_rule(rules: list[dict[str, Any]]) -> dict[str, str]:
        return dict(next(rule for rule in rules if conditions[rule["if"]]).get("variables", {}))

    pipeline = yaml.safe_load(project.read(PIPELINES["gitlab"]))
    job = pipeline["build"]
    variables = of_rule(pipeline["workflow"]["rules"]) | job["variables"] | of_rule(job["rules"])
    filled_in = {name: string.Template(text).substitute(predefined) for name, text in variables.items()}
    return [("\n".join(job["before_script"] + job["script"]), predefined | filled_in)]


def steps_that_ran(log: str) -> set[str]:
    """Return the RUN steps of plain build logs that were not taken from a cache, like "packages 1/1".

    A step whose layers are fetched from a registry shows them instead of CACHED, or both. Tests and scan are no
    steps of the image.
    """
    steps, ran = set(), set()
    for one in re.split("(?m)^#0 ", log):
        labels = dict(re.findall(r"^#(\d+) \[(?:\w+ )?(\S+ \d+/\d+)\] RUN", one, re.MULTILINE))
        cached = re.findall(r"^#(\d+) (?:CACHED|sha256:)", one, re.MULTILINE)
        steps |= {*labels.values()}
        ran |= {label for number, label in labels.items() if number not in cached}
    assert {"baseline 1/1", "packages 1/1"} <= steps, log
    return {label for label in ran if not label.startswith(("test ", "scan "))}


def installed(log: str) -> set[tuple[str, str]]:
    """Return the packages that steps of plain build logs have installed, with the step.

    What ran is not taken as a proof: BuildKit shows a step that several targets have for each, and may say of one alone
    that it is cached.
    """
    found = set()
    for one in re.split("(?m)^#0 ", log):
        labels = dict(re.findall(r"^#(\d+) \[(?:\w+ )?(\S+ \d+/\d+)\] RUN", one, re.MULTILINE))
        packages = re.findall(r"^#(\d+) [\d.]+  \+ (\S+)==", one, re.MULTILINE)
        found |= {(labels[number], package) for number, package in packages if number in labels}
    return found


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
        assert " passed in " in log
        own = main.registry.tags() - {"0" * 40, "latest", "cache-main", "cache-main-test"}
        assert {tag[6:] for tag in own} == {"pr-1-test", "pr-1"} or own == {"cache-mr-1", "cache-mr-1-test"}  # no image
        assert (main.registry.ask("manifests/cache-main"), main.registry.ask("manifests/latest")) == before

    @only_github
    def test_a_new_package_is_all_that_is_installed_and_only_once(self, main: Published, tmp_path: Path) -> None:
        branch = main.branch(tmp_path)
        name, pin = a_new_package(branch)
        with (branch.path / "requirements" / "prod.txt").open("a", encoding="utf-8") as lock:
            lock.write(pin)
        log = main.build(branch, change=2)
        assert steps_that_ran(log) >= {"packages 1/1", "dev 1/2"}
        assert {package for step, package in installed(log) if not step.startswith("dev ")} == {name}
        change_code(branch)
        assert installed(main.build(branch, change=2, **UNREACHABLE)) == set()

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
            log = main._replace(registry=closed).build(branch, 3, "3" * 40, **UNREACHABLE)
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
        assert len(main.signed) == 2

    @only_github
    def test_what_fails_when_it_is_tried_is_not_pushed(self, main: Published, tmp_path: Path) -> None:
        """A test, the scan, the start: each of them alone."""
        before = main.registry.ask("manifests/latest"), main.registry.tags(), main.signed
        faults = {
            "def test_never() -> None": (
                "tests/resources/test_greetings.py",
                "\n\ndef test_never() -> None:\n    raise ValueError\n",
            ),
            "/bin/sh -c trivy rootfs": ("Dockerfile", "FROM base AS system\nRUN touch /vulnerable\n"),
            "smoke: the image does not answer": ("gunicorn.conf.py", "\nraise SystemExit(1)\n"),
        }
        with empty_engine(main.registry, main.images) as host:
            for number, (words, (name, text)) in enumerate(faults.items()):
                branch = main.branch(tmp_path / str(number))
                old = branch.read(name)
                first = text.partition("\n")[0]
                changed = old.replace(f"{first}\n", text) if first else old + text
                assert changed != old
                (branch.path / name).write_text(changed, encoding="utf-8")
                with pytest.raises(AssertionError, match=f"(?s)ended with .*{re.escape(words)}"):
                    build(main, host, branch, None, "5" * 40)
                assert (main.registry.ask("manifests/latest"), main.registry.tags(), main.signed) == before
