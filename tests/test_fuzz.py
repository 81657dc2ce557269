"""Any answers: what is accepted renders, parses and reads back as it was; what is refused creates nothing.
Any bytes: a service answers or refuses them, and goes on.

`make fuzz` goes on where the fixed answers of `make test` end: EXAMPLES=10000 of them, or others, of a new seed each time.
What it finds it prints and keeps in .hypothesis/, to try it first the next time; an @example here keeps it for all.
"""

import json
import os
import re
import socket
import string
import tempfile
import tomllib
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, Phase, event, example, given, note, settings
from hypothesis import strategies as st

from layercake.answers import QUESTIONS
from tests.conftest import Bake
from tests.containers import KEY, PYTHON, built, docker, running, status
from tests.support import CHOICES, NASTY, ROOT, Project, read_back

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))

MARKS = [
    "{{",
    "}}",
    "{%",
    "{#",
    "${",
    "\\",
    "'",
    '"',
    "`",
    "<",
    "&",
    "#",
    ": ",
    "- ",
    "\n",
    "\x00",
    "\u2028",
    "\ud800",
    "é",
    "🚀",
    "ש",
]
free = st.one_of(
    st.sampled_from(sorted(NASTY.values())),
    st.text(max_size=40),
    st.lists(st.one_of(st.sampled_from(MARKS), st.text("ab 1", max_size=3)), max_size=12).map("".join),
    st.text(min_size=190, max_size=210),
)
names = st.one_of(
    st.text(string.ascii_lowercase + string.digits + "-_", max_size=42),
    st.sampled_from(["flask", "con", "class", "json"]),
    free,
)
emails = st.one_of(st.emails(), st.just("team@example.com"), free)
ANY = {"project_name": free, "project_slug": names, "package_name": names, "author_email": emails}
text = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=99)
GOOD = {
    "project_name": text.map(lambda text: f"a{text}b"),
    "project_slug": st.from_regex(r"[a-z][a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,3}", fullmatch=True),
    "package_name": st.from_regex(r"[a-z][a-z0-9_]{1,39}", fullmatch=True),
    "author_email": st.just("team@example.com"),
}


as_often_as_asked = settings(
    max_examples=EXAMPLES or 40,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=list(Phase) if EXAMPLES else [Phase.explicit, Phase.generate],
)


@st.composite
def some_answers(draw: st.DrawFn) -> dict[str, str]:
    """Return answers to some of the questions; good ones at first sight, or any."""
    good = draw(st.booleans())
    answers = {}
    for question in draw(st.sets(st.sampled_from(sorted(QUESTIONS)))):
        if question in CHOICES:
            strategy = st.sampled_from([*CHOICES[question], *([] if good else ["", "{{ 1 }}"])])
        else:
            strategy = GOOD.get(question, GOOD["project_name"]) if good else ANY.get(question, free)
        answers[question] = draw(strategy)
    return answers


@as_often_as_asked
@example(dict(NASTY))
@given(some_answers())
def test_any_answers(answers: dict[str, str]) -> None:
    note(ascii(answers))
    no_choice = any(answer not in CHOICES.get(question, [answer]) for question, answer in answers.items())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "work"
        folder.mkdir()
        own = Path(place) / "config"
        own.write_text(json.dumps({"cookiecutters_dir": place, "replay_dir": place}), encoding="utf-8")
        refused = ""
        try:
            cookiecutter(str(ROOT), no_input=True, extra_context=answers, output_dir=str(folder), config_file=str(own))
        except FailedHookException as error:
            refused = str(error)
        except ValueError as error:  # cookiecutter's own, of what is no choice
            refused = str(error) if no_choice else ""
        event("refused" if refused else "accepted")
        if refused:
            assert [*folder.iterdir()] == []
            first, *problems = refused.splitlines()
            assert no_choice or (first == "Nothing was generated. Please change:" and problems)
            assert no_choice or all(line.isascii() and len(line) < 400 for line in problems)
        else:
            (made,) = folder.iterdir()
            assert_whole(Project(made), answers)


def assert_whole(project: Project, answers: dict[str, str]) -> None:
    """Assert that every file can be read, and has the answers as they were given."""
    assert read_back(project).items() >= {(name, answer) for name, answer in answers.items() if name not in CHOICES}
    recorded = json.loads(project.read(".cruft.json"))["context"]["cookiecutter"]
    assert {name: recorded[name] for name in answers} == answers
    for path in project.files():
        data, text = (project.path / path).read_bytes(), project.read(str(path))
        match path.suffix:
            case ".py":
                compile(data, str(path), "exec")
            case ".toml":
                tomllib.loads(text)
            case ".json":
                json.loads(text)
            case ".yaml" | ".yml":
                list(yaml.safe_load_all(text))


paths = st.one_of(
    st.binary(max_size=60),
    st.tuples(
        st.sampled_from(
            [b"", b"livez", b"readyz", b"docs", b"static/", b"openapi.json", b"api/greetings/", b"api/greetings/en?"]
        ),
        st.one_of(st.binary(max_size=30), st.text(max_size=20).map(lambda text: quote(text, safe="/%?&=").encode())),
    ).map(b"".join),
)
NAMES = (
    "Accept", "Content-Length", "Transfer-Encoding", "Content-Type", "Cookie", "Expect", "Forwarded", "If-None-Match",
    "Origin", "Range", "Upgrade", "X-Forwarded-For", "X-Forwarded-Prefix", "X-Request-ID",
)  # fmt: skip
fields = st.tuples(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([name.encode() for name in NAMES]),
    ),
    st.sampled_from([b": ", b":", b" : ", b""]),
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"chunked", b"0", b"5", b"-1", b"*/*", b"text/html", b"application/json"]),
    ),
).map(b"".join)


@st.composite
def some_bytes(draw: st.DrawFn) -> bytes:
    """Return a request, more or less."""
    method = draw(st.one_of(st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS", b"TRACE"]), st.binary(max_size=8)))
    version = draw(
        st.one_of(st.just(b"HTTP/1.1"), st.sampled_from([b"HTTP/1.0", b"HTTP/2", b""]), st.binary(max_size=8))
    )
    lines = [
        b"/".join([method + b" ", draw(paths)]) + b" " + version,
        b"Host: localhost",
        *draw(st.lists(fields, max_size=6)),
    ]
    return draw(st.sampled_from([b"\r\n"] * 9 + [b"\n"])).join(
        [*lines, b"Connection: close", b"", draw(st.binary(max_size=20))]
    )


@pytest.mark.docker
@pytest.mark.slow
def test_any_bytes(bake: Bake) -> None:
    with built(bake(python_version=PYTHON)) as tag, running(tag, "--env", f"SECRET_KEY={KEY}") as (container, address):
        place = urlsplit(address)

        @as_often_as_asked
        @given(some_bytes())
        def send(request: bytes) -> None:
            with socket.create_connection((place.hostname, place.port), timeout=20) as client:
                client.sendall(request)
                client.shutdown(socket.SHUT_WR)
                answer = b""
                with suppress(ConnectionResetError):  # it did not read what follows what it refused
                    while data := client.recv(65_536):
                        answer += data
            assert re.match(rb"HTTP/1\.[01] ([1-4]\d\d|501) |$", answer), answer[:200]

        send()
        assert status(f"{address}/api/greetings/en") == 200
        log = docker("logs", container)
        assert "Traceback" not in log
        assert '"level": "ERROR"' not in log
