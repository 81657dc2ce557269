"""tools/lock.py when it cannot succeed: what it says, and that everything is left as it was."""

import contextlib
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import Bake, install_tools
from tests.locking import lock, module, pins, requirements, scratch, write
from tests.package_index import PASSWORD, USER, WHEELS, PackageIndex, serving
from tests.support import CHOICES, HERE, ROOT, Project
from tests.test_managers import ask_for, name_index, use_index

FAILURES = {
    "impossible pin": ("layer-alpha==99", {}, "No matching distribution found for layer-alpha==99"),
    "conflict": (
        "layer-alpha==1.1\nlayer-delta",
        {},
        "conflicting dependencies: layer-alpha==1.1 against layer-alpha<1.1",
    ),
    "no such package": ("layer-nowhere", {}, "No matching distribution found for layer-nowhere"),
    "not a requirement": ("layer-alpha=1", {}, "Invalid requirement: 'layer-alpha=1'"),
    "no such file": ("-r other.in", {}, "Could not open requirements file: .*No such file.*'requirements/other.in'"),
    "network gone": ("layer-delta", {"PIP_INDEX_URL": "http://u:{password}@127.0.0.1:9/simple"}, "Connection refused"),
    "index that hangs": ("layer-delta", {"PIP_INDEX_URL": "{hang}", "PIP_TIMEOUT": "1"}, "timed out"),
    "wrong password": (
        "layer-delta",
        {"PIP_INDEX_URL": "{wrong}"},
        r"the package index 127.0.0.1:\d+/simple refuses the login \(401\); check the user",
    ),
    "credential in a URL": ("layer-beta @ {wheel}", {}, "would hold an option, a credential or a path"),
    "path of this machine": ("layer-beta @ file://{wheels}/{name}", {}, "would hold an option, a credential or a path"),
    "included by a path of this machine": ("-r {wheels}/all.in", {}, "would hold an option, a credential or a path"),
    "editable": ("-e file://{source}#egg=here", {}, "prod.in has the option -e, which a lock cannot keep"),
    "option": (
        "--find-links={wheels}\nlayer-beta",
        {},
        r"prod.in has the option --find-links, .*in requirements/wheels/",
    ),
    "broken pip.conf": (
        "layer-beta",
        {"PIP_CONFIG_FILE": "{wheels}/all.in"},
        r"all.in is no configuration .* \(line 1\)",
    ),
    "token in a path": (
        "layer-nowhere",
        {"PIP_INDEX_URL": "http://127.0.0.1:9/{password}-0123456789/simple"},
        r"http://127.0.0.1:9/\*\*\*\*/simple|Connection refused",
    ),
    "password with a slash": ("layer-beta", {"PIP_INDEX_URL": "http://u:/{password}#@127.0.0.1:9/simple"}, "."),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_line_and_leaves_every_file(
    small: Project, index: PackageIndex, tmp_path: Path, name: str
) -> None:
    wanted, settings, reason = FAILURES[name]
    file = next(file for file in WHEELS if file.startswith("layer_beta"))
    (tmp_path / file).write_bytes(WHEELS[file])
    (tmp_path / "all.in").write_text("layer-beta\n", encoding="utf-8")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "setup.py").write_text(
        "import setuptools\nsetuptools.setup(name='here', version='1')\n", encoding="utf-8"
    )
    values = {
        "password": PASSWORD, "hang": index.url("hang"), "wrong": index.url(password=f"not-{PASSWORD}"),
        "wheel": index.url(f"files/{file}"), "wheels": tmp_path, "name": file, "source": tmp_path / "source",
    }  # fmt: skip
    write(small, "prod.in", wanted.format(**values) + "\n")
    before = requirements(small)
    result = lock(small, "compile", "rebaseline", check=False, **{k: v.format(**values) for k, v in settings.items()})
    assert result.returncode == 1, result.stdout
    assert requirements(small) == before
    assert not scratch(small)
    assert "Traceback" not in result.stdout
    assert PASSWORD not in result.stdout
    last = result.stdout.splitlines()[-1]
    steps = ("lock: resolving ", "lock: finding ", "lock: keeping ", "lock: completing ", "lock: what fits was left")
    assert all(line.startswith(steps) for line in result.stdout.splitlines()[:-1]), result.stdout
    assert re.search(reason, last), last
    assert last.endswith("; every lock is as it was.")


CAUSES = {
    "a fault of the server": ("status/500/simple", r"has a fault of its own \(500\); try again later"),
    "no right": ("status/403/simple", r"refuses the login \(403\); check the user name and password"),
    "a wrong password": ("simple", r"refuses the login \(401\); check the user name and password"),
    "nobody there": ("", "does not answer: Connection refused; check the network and the address"),
    "no answer": ("hang", "does not answer: timed out; check the network and the address"),
    "a wrong certificate": ("https", "has a certificate that is not trusted here; name its authority in SSL_CERT_FILE"),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("manager", CHOICES["dependency_manager"])
def test_each_trouble_with_an_index_has_its_words_with_each_manager(
    bake: Bake, index: PackageIndex, no_pip_settings: None, monkeypatch: pytest.MonkeyPatch, manager: str, cause: str
) -> None:
    place, words = CAUSES[cause]
    project = bake(dependency_manager=manager)
    with with_certificate(project.path.parent) if place == "https" else contextlib.nullcontext("") as secure:
        url = {"": "http://u:p@127.0.0.1:9/simple", "https": secure}.get(place) or index.url(place, "wrong")
        if manager == "poetry" or manager == "pipenv":
            name_index(project, re.sub("(?<=://).*@", "", url))
        monkeypatch.setenv({"pip-tools": "PIP_INDEX_URL", "uv": "UV_DEFAULT_INDEX"}.get(manager, "NONE"), url)
        for name in ("LOGIN", "SECRET", "POETRY_HTTP_BASIC_INDEX_USERNAME", "POETRY_HTTP_BASIC_INDEX_PASSWORD"):
            monkeypatch.setenv(name, "wrong")
        monkeypatch.setenv("PIP_TIMEOUT", "1")
        tool = module(project.path / "tools" / "lock.py")
        monkeypatch.delenv("PIP_CERT", raising=False)
        assert re.match(
            r"the package index 127\.0\.0\.1:\d+/\S+ " + words, tool.trouble_with_indexes(sys.executable, project.path)
        )


@pytest.mark.parametrize(
    ("url", "hidden", "shown"),
    [
        ("https://build@index.example/simple", (), ("build", "index.example")),  # is the name of a package, too
        ("https://long-login-1@index.example/simple", ("long-login-1",), ("index.example",)),
        ("https://user:pa/ss#word@index.example/simple", ("pa/ss#word",), ("user", "index.example")),
        ("https://index.example/e7a91c3b5d2f4608/simple", ("e7a91c3b5d2f4608",), ("index.example",)),
        ("https://index.example/simple?token=abcdefgh", ("abcdefgh",), ("index.example",)),
        ("https://index.example/artifactory/api/pypi/pypi-remote/simple", (), ("artifactory/api/pypi/pypi-remote",)),
        ("https://index.example/our-project1-123456/simple", (), ("our-project1-123456",)),
        ("https://index.example/550e8400-e29b-41d4-a716-446655440000/", ("550e8400-e29b-41d4-a716-446655440000",), ()),
    ],
)
def test_the_secrets_of_an_index_are_known_and_words_are_none(
    bake: Bake, monkeypatch: pytest.MonkeyPatch, no_pip_settings: None, url: str, hidden: list[str], shown: list[str]
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", url)
    project = bake()
    tool = module(project.path / "tools" / "lock.py")
    said = tool.indexes.masked(f"{' '.join([*hidden, *shown])} {url}")
    assert not [secret for secret in hidden if secret in said], said
    assert all(word in said for word in shown), said
    for text in [f"{secret}==1 \\\n    --hash=sha256:aa\n" for secret in hidden]:
        write(project, "prod.txt", text)
        with pytest.raises(tool.LockError, match=r"would hold (a secret|an option)"):
            tool.verified(project.path / "requirements/prod.txt")
    write(project, "prod.txt", "build==1 \\\n    --hash=sha256:aa\n")
    assert tool.verified(project.path / "requirements/prod.txt")


def test_the_login_of_an_index_goes_to_no_other_host(
    bake: Bake, monkeypatch: pytest.MonkeyPatch, no_pip_settings: None
) -> None:
    asked: list[tuple[str, str | None]] = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(302 if self.path.startswith("/simple") else 404)
            self.send_header("Location", f"http://localhost:{server.server_port}/elsewhere")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://user:password@127.0.0.1:{server.server_port}/simple")
        project = bake()
        assert not module(project.path / "tools" / "lock.py").trouble_with_indexes(sys.executable, project.path)
        server.shutdown()
    assert asked == [("/simple/pip/", "Basic dXNlcjpwYXNzd29yZA=="), ("/elsewhere", None)]


def test_no_trouble_is_found_with_an_index_that_pip_can_ask(
    bake: Bake, index: PackageIndex, monkeypatch: pytest.MonkeyPatch, no_pip_settings: None, tmp_path: Path
) -> None:
    project = bake()
    fault = r"the package index index\.example/status/500 has a fault of its own"

    def trouble(**settings: str) -> str:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            tool = module(project.path / "tools" / "lock.py")
            return str(tool.trouble_with_indexes(sys.executable, project.path))

    proxy = {"PIP_PROXY": f"http://127.0.0.1:{index.server_port}", "no_proxy": ""}
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.example/status/500")
    assert re.match(fault, trouble(**proxy))
    refused = {"PIP_INDEX_URL": index.url("status/401").replace(f"{USER}:{PASSWORD}@", "")}
    assert "refuses the login" in trouble(**refused)
    assert not trouble(**refused, PIP_KEYRING_PROVIDER="subprocess")  # has the login
    monkeypatch.delenv("PIP_CERT", raising=False)
    with with_certificate(tmp_path) as url:
        assert "is not trusted here" in trouble(PIP_INDEX_URL=url)
        assert "a fault of its own (501)" in trouble(PIP_INDEX_URL=url, PIP_TRUSTED_HOST="127.0.0.1")
        indexes = module(project.path / "tools" / "indexes.py")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PIP_TRUSTED_HOST", "localhost")
            trusted = index.url("status/404").replace("127.0.0.1", "localhost")  # the next one is not
            said = indexes.trouble([trusted, url])
        assert "is not trusted here" in said
    assert "PIP_CERT or PIP_CLIENT_CERT name cannot be read: " in trouble(PIP_CERT="/nowhere")
    words = r"does not answer through the proxy \*+@127\.0\.0\.1:9: Connection refused"
    assert re.search(words, trouble(PIP_PROXY="u:p4ssw0rd@127.0.0.1:9"))
    settings = tmp_path / "pip" / "pip.conf"
    settings.parent.mkdir()
    settings.write_text("[global]\nindex-url = http://index.example/status/500\n", encoding="utf-8")
    for name in ("PIP_CONFIG_FILE", "PIP_INDEX_URL"):
        monkeypatch.delenv(name)
    first = tmp_path / "first" / "pip" / "pip.conf"
    first.parent.mkdir(parents=True)
    first.write_text("[global]\nindex-url = http://index.example/first\n", encoding="utf-8")
    assert re.match(fault, trouble(**proxy, XDG_CONFIG_DIRS=f"{first.parent.parent}:{tmp_path}"))  # as pip has it


@pytest.mark.slow
def test_where_pip_needs_a_proxy_uv_asks_through_it_too(small: Project, index: PackageIndex) -> None:
    write(small, "prod.in", "layer-alpha\nlayer-beta\nlayer-wide\n")
    url = index.url().replace(f"127.0.0.1:{index.server_port}", "index.example")
    said = lock(
        small,
        "compile",
        PIP_INDEX_URL=url,
        PIP_TRUSTED_HOST="index.example",
        PIP_PROXY=f"http://127.0.0.1:{index.server_port}",
        no_proxy="",
    ).stdout
    assert "was left to" not in said
    assert "is not known" not in said
    assert "layer-arm==2.0" in pins(small)


def test_a_wheel_of_the_project_that_is_not_the_only_file_of_its_version_gets_advice(bake: Bake) -> None:
    project = bake()
    (project.path / "requirements/wheels").mkdir()
    (project.path / "requirements/wheels/ours-1.0-py3-none-any.whl").write_bytes(b"new")
    old = 'ours==1.0 ; platform_machine == "aarch64" \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n'
    write(project, "prod.txt", old)
    tool = module(project.path / "tools" / "lock.py")
    with pytest.raises(
        tool.LockError, match=r"files of ours==1\.0 that the locks do not have, and they have others; give"
    ):
        tool.follow_own_wheels(project.path, check=False)


@contextlib.contextmanager
def with_certificate(folder: Path) -> Iterator[str]:
    """Yield the URL of a server whose certificate nobody has signed."""
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=127.0.0.1",
        *files,
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://u:p@127.0.0.1:{server.server_port}/simple"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("manager", CHOICES["dependency_manager"])
def test_trouble_with_an_index_is_named_and_no_pin_moves(
    bake: Bake, shared: Path, index: PackageIndex, no_pip_settings: None, monkeypatch: pytest.MonkeyPatch, manager: str
) -> None:
    project = bake(dependency_manager=manager)
    install_tools(project, shared, manager)
    if manager == "pip-tools":
        write(project, "prod.in", "layer-alpha\n")
        monkeypatch.setenv("PIP_INDEX_URL", index.url("status/403/simple"))
    else:
        ask_for(project, ["layer-alpha"], [])
        use_index(project, manager, index, monkeypatch, "status/403/simple")
    before = requirements(project)
    result = lock(project, "compile", check=False)
    assert re.search(
        r"failed: .+; the package index \S+ refuses the login \(403\); .*; every lock is as it was\.$", result.stdout
    )
    assert requirements(project) == before


@pytest.mark.parametrize("manager", CHOICES["dependency_manager"])
def test_a_conflict_of_a_merge_is_named_with_its_file_and_line(bake: Bake, manager: str) -> None:
    project = bake(dependency_manager=manager)
    tool = module(project.path / "tools" / "manager.py")
    for name in filter(None, (*tool.MANIFESTS, tool.LOCK, "requirements/prod.txt")):
        text = (project.path / name).read_text("utf-8") if (project.path / name).exists() else "\n"
        first, _, rest = text.partition("\n")
        (project.path / name).write_text(f"{first}\n<<<<<<< ours\n=======\n>>>>>>> theirs\n{rest}", encoding="utf-8")
        said = lock(project, "compile", check=False).stdout.splitlines()
        assert len(said) == 1
        assert re.match(
            f"lock: {name} has (a conflict of a merge in line 2; resolve|a line that pins nothing: '<<<<)", said[0]
        )
        (project.path / name).write_text(text, encoding="utf-8")


def test_words_of_a_failing_docker_build_are_those_of_the_lock_inside(bake: Bake) -> None:
    tool = module(bake().path / "tools" / "lock.py")
    output = """\
#11 [lock-compile 4/4] RUN python tools/lock.py "compile"
#11 1.201 lock: installing pip-tools ... 3.1 s
#11 9.107 lock: resolving prod.in failed: No matching distribution found for x; every lock is as it was.
#11 ERROR: process "/bin/sh -c python tools/lock.py" did not complete successfully: exit code: 1
ERROR: failed to solve: process "/bin/sh -c python tools/lock.py" did not complete successfully: exit code: 1
"""
    assert tool.last_words(output) == "resolving prod.in failed: No matching distribution found for x"
    assert tool.last_words("ERROR: Cannot connect to the engine.\n") == "Cannot connect to the engine"
    assert tool.last_words("") == "it said nothing"


@contextlib.contextmanager
def mounted(target: Path, *options: str) -> Iterator[None]:
    """Mount something on a path for a while; only root may."""
    result = subprocess.run(["mount", *options, str(target)], capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"mounting is not allowed here: {result.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["requirements", ".cache"])
def test_a_full_disk_is_named_and_leaves_every_lock(small: Project, place: str) -> None:
    folder = small.path / place
    write(small, "prod.in", "layer-delta\nlayer-heavy\n")
    before = requirements(small)
    shutil.copytree(small.path / "requirements", small.path / "copy")
    size = sum(-(-len(data) // 4096) * 4096 for data in before.values()) + 4096 if place == "requirements" else 1 << 20
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "none"):
        if place == "requirements":
            shutil.copytree(small.path / "copy", folder, dirs_exist_ok=True)
            with contextlib.suppress(OSError), (folder / "ballast").open("wb") as file:
                file.write(b"x" * size)
            before = requirements(small)
        result = lock(small, "compile", check=False)
        assert result.returncode == 1
        assert requirements(small) == before
    assert "No space left on device" in result.stdout.splitlines()[-1]
    assert "Traceback" not in result.stdout


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_named(small: Project) -> None:
    write(small, "prod.in", "layer-delta\n")
    before = requirements(small)
    folder = small.path / "requirements"
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        result = lock(small, "compile", check=False)
    assert result.returncode == 1
    assert re.search(r"Read-only file system: '.*/requirements/\.prod\.txt\.\d+'; every lock", result.stdout)
    assert requirements(small) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements/dev.txt", "new==1\n"),
        ("uv.lock", "new==1\n"),
        ("Dockerfile", "FROM new\n"),
        ("requirements/layers/last.lock", None),
    ],
)
def test_when_one_file_cannot_be_replaced_or_removed_none_is(bake: Bake, name: str, text: str | None) -> None:
    project = bake(dependency_manager="uv")
    tool = module(project.path / "tools" / "lock.py")
    target = project.path / name
    target.write_text("old==1\n", encoding="utf-8")
    before = requirements(project)
    texts = {
        "requirements/prod.txt": "new==1\n",
        tool.LAYER_LOCK.format("new"): "new==1\n",
        tool.LAYER_LOCK.format("pydantic-core"): None,
    }
    texts[name] = text
    with mounted(target, "--bind", str(target)), pytest.raises(OSError, match="busy"):  # nothing can be renamed onto it
        tool.publish(texts)
    assert requirements(project) == before
    assert target.read_text(encoding="utf-8") == "old==1\n"


# Interruptions


def started(project: Project, *command: str, **env: str) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        command or [sys.executable, "tools/lock.py", "compile"], cwd=project.path, env={**os.environ, "LAYERCAKE_LOCK": "require", **env},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["resolving", "installing the tools", "asking for sizes"])
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGKILL"])
def test_stopping_leaves_every_lock_and_the_next_run_works(small: Project, how: str, moment: str) -> None:
    if moment == "installing the tools":
        (small.path / ".cache").rename(small.path / "kept")
    write(small, "prod.in", "layer-delta\n")
    before = requirements(small)
    with serving() as silent:
        asked = "UV_DEFAULT_INDEX" if moment == "asking for sizes" else "PIP_INDEX_URL"
        settings = {"PIP_TIMEOUT": "600", "UV_HTTP_TIMEOUT": "600", "PIP_NO_CACHE_DIR": "1"}
        process = started(small, **settings, **{asked: silent.url("hang")})
        assert silent.hangs.wait(60)
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM if how == "SIGTERM" else signal.SIGKILL)
        output, _ = process.communicate(timeout=60) if how != "SIGKILL" else (killed(process), "")
    assert requirements(small) == before
    if how == "SIGKILL":
        assert len(scratch(small)) == (2 if moment == "installing the tools" else 1)
        for left in (small.path / ".cache").iterdir():
            os.utime(left, (0, 0))  # long ago
        for name in (".prod.txt.99", "layers/.baseline.lock.99", "../.Dockerfile.99"):
            write(small, name, "half of it")
            os.utime(small.path / "requirements" / name, (0, 0))
    else:
        assert process.returncode == 130
        assert output.splitlines()[-1] == "lock: interrupted; every lock is as it was."
        assert "Traceback" not in output
    if moment == "installing the tools":
        for kept in (small.path / "kept").iterdir():
            kept.rename(small.path / ".cache" / kept.name)
    lock(small, "compile")
    assert pins(small) == {"layer-alpha==1.0", "layer-delta==4.0"}
    assert not scratch(small)
    assert requirements(small).keys() == before.keys()
    assert not list(small.path.glob(".Dockerfile.*"))


def killed(process: subprocess.Popen[str]) -> str:
    """Wait for a process, and end the children that its sudden death has orphaned."""
    process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


@pytest.mark.slow
def test_ctrl_c_while_generating_leaves_a_whole_project(bake: Bake, tmp_path: Path, no_pip_settings: None) -> None:
    baked = bake()
    expected = {name: (baked.path / name).read_bytes() for name in baked.files()}
    cookiecutter = [sys.executable, "-m", "cookiecutter", "--no-input", str(ROOT), f"python_version={HERE}"]
    with serving() as silent:
        where = {"PIP_INDEX_URL": silent.url("hang"), "PIP_NO_CACHE_DIR": "1", "LAYERCAKE_LOCK": "auto"}
        process = started(Project(tmp_path), *cookiecutter, "-o", str(tmp_path), **where)
        assert silent.hangs.wait(60)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    project = Project(tmp_path / "flask-service")
    assert {name: (project.path / name).read_bytes() for name in project.files()} == expected
    assert "lock: interrupted; every lock is as it was." in output


# Two at once


@pytest.mark.slow
def test_two_at_once_make_each_venv_once_and_the_same_locks(small: Project) -> None:
    shutil.rmtree(small.path / ".cache")
    write(small, "prod.in", "layer-delta\n")
    both = [started(small), started(small)]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert pins(small) == {"layer-alpha==1.0", "layer-delta==4.0"}
    assert len(list((small.path / ".cache").iterdir())) == 2  # that of pip-tools and that of uv
    lock(small, "check")
