"""What stands between gunicorn and the application: connections, limits, probes and metrics, in an event loop.

The application runs in threads. Nothing that it waits for in them, and nothing that a client does slowly, keeps the loop
from answering `/livez`, from turning away what would wait too long, or from noticing a request that does not end.
"""

import asyncio
import faulthandler
import gc
import json
import logging
import math
import mmap
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from io import BytesIO
from tempfile import SpooledTemporaryFile
from threading import get_ident
from typing import IO, Any, ClassVar
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from gunicorn.asgi.protocol import ASGIProtocol  # type: ignore[import-untyped]
from gunicorn.workers import gasgi  # type: ignore[import-untyped]
from werkzeug.wsgi import get_path_info

from {{ cookiecutter.package_name }} import create_app
from {{ cookiecutter.package_name }}.core import health, logs, metrics
from {{ cookiecutter.package_name }}.core.errors import Problem
from {{ cookiecutter.package_name }}.core.middleware import STARTED, around
from {{ cookiecutter.package_name }}.core.settings import METRICS_PORT, Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEAD_SECONDS = 30
"""How long a client may take to send the head of a request."""

PART = 16_384
"""Bytes of an answer that are given to a client at a time."""

PART_SECONDS = 10
"""How long a client may take to take in some of them."""

GRACE_SECONDS = 25
"""How long requests have to end when the service stops; then gunicorn ends its processes."""

PROBE_SECONDS = 5
"""How long `/readyz` and the metrics may take, whatever they wait for."""

IN_MEMORY = 65_536
"""Bytes of a body that are kept in memory; the rest waits in a file until the body is there."""

RECEIVING = 33_554_432
"""Bytes of all bodies that are not there yet; above it, who began first is refused."""

BUSY = HTTPStatus.SERVICE_UNAVAILABLE
logger = logging.getLogger(__name__)
draining = mmap.mmap(-1, 1)
"""Not zero, in all processes, from when the service has been told to stop."""


class Refused(Exception):
    """Why a request is answered here, and not by the application."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Connection(ASGIProtocol):  # type: ignore[misc]
    """A client, who has to send the head of each request, and to take the answer, in time: others would hold all there is."""

    idle: ClassVar[set[ASGIProtocol]] = set()
    """Those that wait for a next request."""

    head: asyncio.TimerHandle
    part: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Give a new client its time."""
        self.head = asyncio.get_running_loop().call_later(HEAD_SECONDS, transport.abort)
        super().connection_made(transport)
        # What a client does not take stays here once, and not in the system as well, which would keep megabytes of it.
        transport.set_write_buffer_limits(PART)
        with suppress(OSError):  # a socket of Unix keeps little anyway
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, PART)

    def pause_writing(self) -> None:
        """Wait until the client takes what it has been sent."""
        super().pause_writing()
        self.part = asyncio.get_running_loop().call_later(PART_SECONDS, self.cut)

    def cut(self) -> None:
        """Leave a client that takes nothing, with what the system still keeps for it."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def resume_writing(self) -> None:
        """Go on: the client has taken it."""
        super().resume_writing()
        if self.part:
            self.part.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client, and let what waits for it go on."""
        self.head.cancel()
        self.idle.discard(self)
        super().connection_lost(exc)
        self.resume_writing()

    def _send_error_response(self, status: int, message: str, extra_headers: Iterable[tuple[str, str]] = ()) -> None:
        super()._send_error_response(status, message, extra_headers)
        metrics.count("", "", status)
        logger.info("what a client sent is no request: %s %s", status, message)

    def _on_headers_complete(self) -> bool:
        self.head.cancel()
        self.idle.discard(self)
        return bool(super()._on_headers_complete())

    def _arm_keepalive_timer(self) -> None:
        super()._arm_keepalive_timer()
        self.head.cancel()
        self.idle.add(self)
        seconds = self.cfg.keepalive + HEAD_SECONDS
        self.head = asyncio.get_running_loop().call_later(seconds, self.transport.abort)


gasgi.ASGIProtocol = Connection  # what gunicorn makes for each client


class File:
    """A file that is the rest of an answer (`wsgi.file_wrapper` of PEP 3333): it leaves the thread that has opened it."""

    def __init__(self, file: IO[bytes], _size: int = 0) -> None:
        self.file = file

    def __iter__(self) -> Iterator[bytes]:
        """Yield the parts of the file, for an application that wants some of them alone."""
        while part := self.file.read(PART):
            yield part

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class Request:
    """A request whose answer a thread makes."""

    def __init__(self, environ: WSGIEnvironment, receive: Receive, send: Send) -> None:
        self.environ = environ
        self.receive, self.send = receive, send
        self.since = time.monotonic()
        self.loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[list[Message]] = self.loop.create_future()
        self.thread: int | None = None
        self.gone: asyncio.Task[Message] | None = None
        """Done when the client of a stream has gone; None as long as nothing is streamed."""

    def run(self, application: WSGIApplication, ended: Callable[[Any], object]) -> None:
        """Have the application answer. In a thread."""
        messages: list[Message] | None = None
        self.thread = get_ident()
        try:
            if not self.answered.done():  # it may have waited for too long
                messages = self.answer(application)
        except ConnectionAbortedError:
            messages = []
        except Exception:
            logger.exception("the application failed")

        def tell() -> None:
            ended(self)
            logs.write_waiting()
            if not self.answered.done():
                if messages is None:
                    failure = Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed.")
                    self.answered.set_exception(failure)
                else:
                    self.answered.set_result(messages)

        self.loop.call_soon_threadsafe(tell)

    def answer(self, application: WSGIApplication) -> list[Message]:
        """Return what is left to send when the application has ended: a short answer, or the end of a stream."""
        left: list[Message] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
            encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            left[:] = [{"type": "http.response.start", "status": int(status[:3]), "headers": encoded}]

        chunks = application(self.environ, start_response)
        if isinstance(chunks, File):
            return [*left, {"type": "http.response.body", "file": chunks}]
        try:
            for chunk in chunks:
                if left and (b"content-length", b"%d" % len(chunk)) in left[0]["headers"]:
                    return [*left, {"type": "http.response.body", "body": chunk}]
                for message in (*left, {"type": "http.response.body", "body": chunk, "more_body": True}):
                    asyncio.run_coroutine_threadsafe(self.pass_on(message), self.loop).result()
                left.clear()
        finally:
            getattr(chunks, "close", lambda: None)()
        return [*left, {"type": "http.response.body", "body": b""}]

    async def pass_on(self, message: Message) -> None:
        """Send a part of a stream, once there is room for it. Raises ConnectionAbortedError when the client has gone."""
        if self.gone is None:
            self.gone = asyncio.ensure_future(self.receive())
        if self.gone.done() or self.answered.done():
            raise ConnectionAbortedError
        await send_parts(self.send, message)

    def give_up(self, seconds: float) -> None:
        """Answer without the thread, and log what it is doing."""
        self.log(f"has no answer after {seconds} seconds")
        self.answered.set_exception(Refused(BUSY, f"There was no answer within {seconds} seconds."))

    def log(self, what: str) -> None:
        """Log what becomes of the request, and where its thread is."""
        frame = sys._current_frames().get(self.thread or 0)
        doing = "".join(traceback.format_stack(frame)) if frame else "no thread was free"
        method, path = self.environ["REQUEST_METHOD"], self.environ["PATH_INFO"]
        logs.request_id.set(self.environ.get(logs.ID))
        logger.error("%s %s %s: %s", method, path, what, doing)
        logs.request_id.set(None)


class Front:
    """The service as gunicorn's event loop sees it: the application behind its limits."""

    def __init__(self, flask: Flask) -> None:
        self.settings: Settings = flask.config["SETTINGS"]
        self.application, self.metrics = flask.wsgi_app, metrics.application()
        self.threads = ThreadPoolExecutor(self.settings.web_threads)
        self.for_probes, self.for_metrics = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self.at_work: set[Request] = set()
        """What threads are at, or are to do; also what its client has been answered to without them."""
        self.receiving: dict[asyncio.Timeout, int] = {}
        """The bytes of each body that is not there yet; first stands who began first."""
        self.received = 0
        self.turned_away = 0
        self.lost = False
        """Whether no thread comes back."""
        self.watch: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":  # a WebSocket
            await send({"type": "websocket.close"})
            return
        self.watch = self.watch or asyncio.ensure_future(self.watch_over_requests())
        since, environ = time.perf_counter(), environ_of(scope, self.settings.script_name)
        try:
            messages = await self.messages(environ, receive, send)
        except Refused as error:
            environ[STARTED] = since
            messages = Request(environ, receive, send).answer(around(partial(refuse, error), self.settings))
            logs.write_waiting()
        if draining[0] and len(messages) > 1:
            messages[0]["headers"].append((b"connection", b"close"))  # the client's next request goes elsewhere
        for message in messages:
            await send_parts(send, message)

    async def messages(self, environ: WSGIEnvironment, receive: Receive, send: Send) -> list[Message]:
        """Return what is left to send of the answer. Raises Refused."""
        path = environ["PATH_INFO"]
        if path == "/livez" and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return live(environ)
        if environ["SERVER_PROTOCOL"] == "HTTP/1.1" and "HTTP_HOST" not in environ:
            raise Refused(HTTPStatus.BAD_REQUEST, "The request has no Host.")
        if path == "/readyz" and draining[0]:
            raise Refused(BUSY, "The service is stopping.")
        with SpooledTemporaryFile(IN_MEMORY) as body:
            await self.read(receive, body)
            environ["wsgi.input"] = body
            request = Request(environ, receive, send)
            try:
                if environ["SERVER_PORT"] == str(METRICS_PORT):
                    return await self.soon(request, self.for_metrics, self.metrics)
                if path == "/readyz":
                    return await self.soon(request, self.for_probes, self.application)
                if self.lost or len(self.at_work) >= self.settings.web_threads + self.settings.web_queue:
                    self.turned_away += 1
                    raise Refused(BUSY, "The service is busy; try again later.")
                self.at_work.add(request)
                self.threads.submit(request.run, self.application, self.at_work.discard)
                return await request.answered
            finally:
                if request.gone:
                    request.gone.cancel()

    async def soon(self, request: Request, thread: ThreadPoolExecutor, application: WSGIApplication) -> list[Message]:
        """Return the answer that a thread makes which no other request holds. Raises Refused when it takes too long."""
        thread.submit(request.run, application, self.at_work.discard)
        try:
            return await asyncio.wait_for(request.answered, PROBE_SECONDS)
        except TimeoutError:
            raise Refused(BUSY, f"There was no answer within {PROBE_SECONDS} seconds.") from None

    async def read(self, receive: Receive, body: Any) -> None:
        """Take in the body of a request, as fast as the client sends it."""
        message = await receive()
        try:
            async with asyncio.timeout(self.settings.request_timeout) as patience:
                while message["type"] == "http.request":
                    body.write(message["body"])
                    if body.tell() > self.settings.max_content_length:
                        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body of the request is too large.")
                    if not message["more_body"]:
                        body.seek(0)
                        return
                    self.make_room(patience, len(message["body"]))
                    message = await receive()
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "The body of the request did not come in time.") from None
        except OSError as error:
            logger.error("there is no room for the body of a request: %s", error)
            raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, "There is no room for the body of the request.") from None
        finally:
            self.received -= self.receiving.pop(patience, 0)
        raise Refused(HTTPStatus.BAD_REQUEST, "The request was given up.")  # nobody is there to read it

    def make_room(self, patience: asyncio.Timeout, size: int) -> None:
        """Count that more of a body has come, and refuse those that are the slowest when all together are too much."""
        if patience.when() == 0:  # it is one of them: `wait_for` of Python 3.11 may have kept that from it
            raise TimeoutError
        self.receiving[patience] = self.receiving.get(patience, 0) + size
        self.received += size
        while self.received > max(RECEIVING, self.settings.max_content_length):
            slowest = next(iter(self.receiving))
            self.received -= self.receiving.pop(slowest)
            slowest.reschedule(0)

    async def watch_over_requests(self) -> None:
        """Give up what takes too long, and the process when none of its threads comes back."""
        limit, end = self.settings.request_timeout, 0.0
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            logs.write_waiting()
            if draining[0] and not end:
                end = now + self.settings.drain_seconds + GRACE_SECONDS - 3  # gunicorn counts from elsewhere
            if end and now > end:
                end = math.inf
                for request in self.at_work:
                    request.log("is cut, since the service stops")
            for connection in [*Connection.idle]:
                if not connection.worker.alive:  # it takes in no more, but would wait for them
                    connection.transport.close()
            if self.turned_away:
                logger.warning("%d requests were turned away: all threads are busy", self.turned_away)
                self.turned_away = 0
            if self.lost:  # all have been answered, a second ago
                logger.critical("no thread comes back: this process ends, and another takes its place")
                os._exit(1)
            given_up = sum(request.thread is not None and request.answered.done() for request in self.at_work)
            self.lost = given_up >= self.settings.web_threads
            for request in self.at_work:
                seconds = now - request.since
                if not request.answered.done() and request.gone is None and (self.lost or seconds > limit):
                    request.give_up(min(limit, round(seconds)))


def front() -> Front:
    """Return what gunicorn serves."""
    served = Front(create_app())
    logs.StandardError.later = 1000
    faulthandler.enable()  # so that a process which gunicorn ends, since its loop stands still, says where it stands
    gc.collect()
    gc.freeze()  # what is here stays: looking for garbage in it again and again would cost much of each request
    return served


def environ_of(scope: Scope, prefix: str) -> WSGIEnvironment:
    """Return what the application gets to know of a request (PEP 3333), which may be below a prefix."""
    address, port = scope["client"] or ("", 0)
    path = scope["path"]
    script = prefix if f"{path}/".startswith(f"{prefix}/") else ""
    result: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": script,
        "PATH_INFO": (path.removeprefix(script) or "/").encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "RAW_URI": scope["raw_path"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "REMOTE_ADDR": address.removeprefix("::ffff:"),
        "REMOTE_PORT": str(port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": BytesIO(),
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": File,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").upper().replace("-", "_")
        if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = f"HTTP_{name}"
        text = value.decode("latin-1")
        result[name] = f"{result[name]},{text}" if name in result else text
    return result


def refuse(error: Refused, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer what is refused here (RFC 9457)."""
    status, path = error.status, environ["SCRIPT_NAME"] + get_path_info(environ)
    identity = logs.request_id.get()
    problem = Problem(title=status.phrase, status=status, detail=str(error), instance=path, request_id=identity)
    body = problem.model_dump_json(exclude_none=True).encode()
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    if status == BUSY:
        headers.append(("Retry-After", "5"))
    start_response(f"{status.value} {status.phrase}", headers)
    return [body] if environ["REQUEST_METHOD"] != "HEAD" else []


async def send_parts(send: Send, message: Message) -> None:
    """Send a message, of a long body a part at a time, for which the client has `PART_SECONDS`."""
    if file := message.pop("file", None):
        try:
            while part := await asyncio.to_thread(file.file.read, PART):
                await send({**message, "body": part, "more_body": True})
        finally:
            file.close()
    body = message.get("body", b"")
    while len(body) > PART:
        await send({**message, "body": body[:PART], "more_body": True})
        body = body[PART:]
    await send({**message, "body": body} if body else message)


def live(environ: WSGIEnvironment) -> list[Message]:
    """Return the answer to whoever asks whether this process lives."""
    body = json.dumps(health.livez()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return [
        {"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers},
        {"type": "http.response.body", "body": body if environ["REQUEST_METHOD"] == "GET" else b""},
    ]
