"""Bodies over real HTTP: what is refused, when it is refused, and what is left on disk."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ifw.errors import IfwError, MediaTypeError, RequestTooLargeError
from ifw.server.body_limit import BodyLimit
from ifw.server.uploads import FormLimits, read_form, read_json

LIMITS = FormLimits(max_file_bytes=100_000, max_fields=4, max_field_bytes=100, max_fields_bytes=100)
STATUS = {RequestTooLargeError: 413, MediaTypeError: 415}
BODY = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n%s\r\n'
    b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
)


class Answers:
    """A server with one route for forms and one for JSON, and what became of each request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ended = threading.Semaphore(0)
        self.raised: list[Exception] = []
        app = Starlette(
            routes=[Route("/form", self.form, methods=["POST"]), Route("/json", self.json, methods=["POST"])]
        )
        limited = BodyLimit(app, ["/form"], max_body_bytes=1000, max_upload_bytes=100_000, idle_timeout_s=0.3)
        self.server = uvicorn.Server(
            uvicorn.Config(self.noted(limited), host="127.0.0.1", port=0, log_level="error", lifespan="off")
        )
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    def noted(self, app: ASGIApp) -> ASGIApp:
        """Keeps what the app raises."""

        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            except ClientDisconnect as error:
                self.raised.append(error)
            finally:
                self.ended.release()

        return call

    async def form(self, request: Request) -> Response:
        try:
            form = await read_form(request, self.folder / "upload", LIMITS)
        except IfwError as error:
            return JSONResponse({"detail": str(error)}, STATUS.get(type(error), 400))
        return JSONResponse({"fields": form.fields, "n_bytes": form.upload.n_bytes if form.upload else None})

    async def json(self, request: Request) -> Response:
        try:
            return Response(await read_json(request))
        except IfwError as error:
            return JSONResponse({"detail": str(error)}, STATUS.get(type(error), 400))

    def ask(self, head: str, *pieces: bytes) -> tuple[int, bytes]:
        """Send the head of a request and pieces of its body, and read the reply; sending stops where it is refused."""
        with socket.create_connection(self.socket.getsockname()) as connection:
            connection.settimeout(20)
            connection.sendall(head.replace("\n", "\r\n").encode() + b"Host: x\r\nConnection: close\r\n\r\n")
            for piece in pieces:
                connection.sendall(piece)
            reply = b""
            with contextlib.suppress(ConnectionResetError):  # what a refused body left unread resets the connection
                while more := connection.recv(65536):
                    reply += more
        return int(reply.split(b" ", 2)[1]), reply.partition(b"\r\n\r\n")[2]


@pytest.fixture
def answers(tmp_path: Path) -> Iterator[Answers]:
    running = Answers(tmp_path)
    running.thread.start()
    yield running
    running.server.should_exit = True
    running.thread.join()
    running.socket.close()


def form_head(length: int | None = None, kind: str = "multipart/form-data; boundary=b") -> str:
    size = "Transfer-Encoding: chunked\n" if length is None else f"Content-Length: {length}\n"
    return f"POST /form HTTP/1.1\nContent-Type: {kind}\n{size}"


def test_a_form_arrives(answers: Answers) -> None:
    body = BODY % (b"z" * 90_000)
    status, reply = answers.ask(form_head(len(body)), body[:30], body[30:5000], body[5000:])
    assert (status, json.loads(reply)) == (200, {"fields": [["a", "1"]], "n_bytes": 90_000})
    assert (answers.folder / "upload").read_bytes() == b"z" * 90_000


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(answers: Answers) -> None:
    status, reply = answers.ask(form_head(10_000_000))
    assert status == 413
    assert b"larger than 100000 bytes" in reply


def test_a_chunked_file_that_is_too_long_is_refused_on_the_way(answers: Answers) -> None:
    body = BODY % (b"z" * 100_001)
    status, reply = answers.ask(form_head(), b"%x\r\n%s\r\n" % (len(body), body), b"0\r\n\r\n")
    assert status == 413
    assert b"larger than 100000 bytes" in reply
    assert list(answers.folder.iterdir()) == []


def test_a_body_behind_the_form_is_counted_too(answers: Answers) -> None:
    body = (BODY % b"z") + b"e" * 101_001
    status, _ = answers.ask(form_head(), b"%x\r\n%s\r\n" % (len(body), body), b"0\r\n\r\n")
    assert status == 413
    assert list(answers.folder.iterdir()) == []


def test_a_silent_client_is_let_go(answers: Answers) -> None:
    status, reply = answers.ask(form_head(5000), (BODY % b"z")[:90])
    assert status == 408
    assert b"no bytes came for 0.3 s" in reply
    assert list(answers.folder.iterdir()) == []


def test_a_client_that_leaves_leaves_nothing_behind(answers: Answers) -> None:
    with socket.create_connection(answers.socket.getsockname()) as connection:
        connection.sendall(form_head(90_000).replace("\n", "\r\n").encode() + b"Host: x\r\n\r\n" + (BODY % b"z")[:90])
    assert answers.ended.acquire(timeout=20)
    assert list(answers.folder.iterdir()) == []
    assert len(answers.raised) == 1


def test_a_form_may_be_named_in_capitals(answers: Answers) -> None:
    body = BODY % (b"z" * 90_000)
    assert answers.ask(form_head(len(body), "Multipart/Form-Data; boundary=b"), body)[0] == 200


@pytest.mark.parametrize("kind", ["application/json", "multipart/mixed; boundary=b", "text/plain", ""])
def test_other_kinds_of_body(answers: Answers, kind: str) -> None:
    assert answers.ask(form_head(2, kind), b"{}")[0] == 415


def test_compressed_bodies(answers: Answers) -> None:
    assert answers.ask(form_head(2) + "Content-Encoding: gzip\n", b"{}")[0] == 415
    assert answers.ask("POST /json HTTP/1.1\nContent-Length: 2\nContent-Encoding: br\n", b"{}")[0] == 415


def test_json_bodies(answers: Answers) -> None:
    assert answers.ask("POST /json HTTP/1.1\nContent-Length: 2\n", b"{}") == (200, b"{}")
    assert answers.ask("POST /json HTTP/1.1\nContent-Length: 1001\n")[0] == 413
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (1001, b"x" * 1001)
    assert answers.ask("POST /json HTTP/1.1\nTransfer-Encoding: chunked\n", chunk)[0] == 413
    assert answers.ask("POST /json HTTP/1.1\nContent-Length: 9\n", b"{}")[0] == 408


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/json"])
@pytest.mark.parametrize("path", ["/tasks", "/"])
def test_a_client_that_leaves_while_it_sends_is_no_error_of_its_request(api: Any, path: str, kind: str) -> None:
    name = f"left-{'form' if 'form' in kind else 'json'}-{len(path)}"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nX-Request-Id: {name}\r\n"
    with socket.create_connection(("127.0.0.1", int(api.server.url.rpartition(":")[2]))) as connection:
        connection.sendall(head.encode() + b"Content-Length: 90000\r\n\r\n" + (BODY % b"z")[:90])
    lines: list[dict[str, Any]] = []

    def is_logged() -> bool:
        lines[:] = [line for line in api.server.lines() if line.get("request_id") == name and "status" in line]
        return bool(lines)

    api.until(is_logged, "the request never ended")
    assert [line["status"] for line in lines] == [499]
