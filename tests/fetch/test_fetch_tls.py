from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_server import LOOPBACK, Asked, ScriptedServer, head

from ifw.cancellation import CancelToken
from ifw.errors import CancelledError, FetchError, FetchTimeoutError
from ifw.fetch import FetchOptions, fetch, post

MakeTls = Callable[..., ssl.SSLContext]
OPTIONS = FetchOptions(allow_nets=LOOPBACK, max_retries=1, retry_wait_s=0.01)


def test_file_arrives_over_tls_and_the_name_is_told(make_tls: MakeTls, target: Path) -> None:
    names: list[str | None] = []
    tls = make_tls()
    tls.sni_callback = lambda _sock, name, _context: names.append(name)
    body = bytes(300_000)
    with ScriptedServer(lambda asked: asked.answer(body=body), tls=tls) as server:
        fetch(server.url(host="localhost"), target, OPTIONS)
        assert server.asked[0].headers["host"] == f"localhost:{server.port}"
        assert post(server.url(), b"x", {}, allow_nets=LOOPBACK).status == 200
    assert names[0] == "localhost"
    assert target.read_bytes() == body


@pytest.mark.parametrize(
    ("names", "trusted", "reason"),
    [("DNS:localhost", False, "self.signed"), ("DNS:example.com", True, "match")],
    ids=["unknown authority", "another name"],
)
def test_server_that_is_not_who_it_says_is_refused(
    make_tls: MakeTls, target: Path, names: str, trusted: bool, reason: str
) -> None:
    with ScriptedServer(lambda asked: asked.answer(body=b"x"), tls=make_tls(names, trusted=trusted)) as server:
        for call in (
            lambda: fetch(server.url(host="localhost"), target, OPTIONS),
            lambda: post(server.url(host="localhost"), b"x", {}, allow_nets=LOOPBACK),
        ):
            with pytest.raises(FetchError, match=f"(?i)certificate is not valid.*{reason}"):
                call()
        assert server.asked == []


def test_server_without_tls_is_said(target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_plainly() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        server = threading.Thread(target=answer_plainly)
        server.start()
        with pytest.raises(FetchError, match="no TLS with this server"):
            fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/", target, OPTIONS)
        server.join()


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_tls_that_never_starts(target: Path, is_cancelled: bool) -> None:
    cancel = CancelToken()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections: list[socket.socket] = []

        def accept_and_hang() -> None:
            connection, _ = listener.accept()
            connections.append(connection)
            connection.recv(1)  # of the greeting, which is in flight
            if is_cancelled:
                cancel.cancel()

        server = threading.Thread(target=accept_and_hang)
        server.start()
        options = FetchOptions(allow_nets=LOOPBACK, max_retries=0, connect_timeout_s=600 if is_cancelled else 0.3)
        with pytest.raises(CancelledError if is_cancelled else FetchTimeoutError):
            fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/", target, options, cancel=cancel)
        server.join()
        connections[0].close()


def test_cancel_ends_a_body_over_tls(make_tls: MakeTls, target: Path) -> None:
    cancel = CancelToken()

    def answer(asked: Asked) -> None:
        asked.send(head(200, {"Content-Length": "100000"}) + b"begin")
        cancel.cancel()
        asked.hang()

    with ScriptedServer(answer, tls=make_tls()) as server, pytest.raises(CancelledError):
        fetch(server.url(), target, FetchOptions(allow_nets=LOOPBACK, idle_timeout_s=600), cancel=cancel)


def test_body_that_is_cut_without_a_word_is_not_whole(make_tls: MakeTls, target: Path) -> None:
    def answer(asked: Asked) -> None:
        asked.send(head(200, {}) + b"the first half")  # no length: only the end of TLS tells that it is whole
        socket.socket(fileno=asked.connection.detach()).close()

    with ScriptedServer(answer, tls=make_tls()) as server, pytest.raises(FetchError, match="the connection broke"):
        fetch(server.url(), target, OPTIONS)
    assert not target.exists()
