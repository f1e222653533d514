from __future__ import annotations

import threading

import pytest
from scripted_server import LOOPBACK, Asked, ScriptedServer, head

from ifw import __version__
from ifw.cancellation import CancelToken
from ifw.errors import CancelledError, ConfigError, FetchError, FetchTimeoutError, UrlForbiddenError
from ifw.fetch import check_headers, post

BODY = '{"type": "task.succeeded", "text": "grüße"}'.encode()


def test_bytes_arrive_as_they_are() -> None:
    with ScriptedServer(lambda asked: asked.answer(202, b"thanks")) as server:
        headers = {"Content-Type": "application/json", "webhook-id": "msg_1", "X-Key": "ä", "user-agent": "mine"}
        reply = post(server.url("/hook?token=x"), BODY, headers, allow_nets=LOOPBACK)
    assert (reply.status, reply.is_success) == (202, True)
    (asked,) = server.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/hook?token=x", BODY)
    assert asked.headers["content-length"] == str(len(BODY))
    assert asked.headers["webhook-id"] == "msg_1"
    assert asked.headers["x-key"] == "ä"
    assert asked.headers["user-agent"] == "mine"
    with ScriptedServer(lambda asked: asked.answer()) as server:
        post(f"http://me:pw@127.0.0.1:{server.port}/", b"", {}, allow_nets=LOOPBACK)
    assert server.asked[0].headers["user-agent"] == f"ifw/{__version__}"
    assert server.asked[0].headers["authorization"] == "Basic bWU6cHc="
    assert server.asked[0].headers["content-length"] == "0"


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 308, 400, 404, 410, 500, 503])
def test_any_answer_is_told_once_and_none_followed(status: int) -> None:
    with ScriptedServer(lambda asked: asked.answer(200)) as elsewhere:
        location = elsewhere.url()
        with ScriptedServer(
            lambda asked: asked.send(head(status, {"Location": location, "Content-Length": "0"}))
        ) as server:
            reply = post(server.url(), BODY, {}, allow_nets=LOOPBACK)
        assert (reply.status, reply.is_success) == (status, status < 300)
        assert len(server.asked) == 1
        assert elsewhere.asked == []


def test_reply_without_end_is_left_after_a_kibibyte() -> None:
    def answer(asked: Asked) -> None:
        asked.send(head(200, {}))
        while not asked.closing.is_set():
            asked.send(b"x" * 1000)

    with ScriptedServer(answer) as server:
        assert post(server.url(), BODY, {}, allow_nets=LOOPBACK).status == 200


@pytest.mark.parametrize("rest", ["hangs", "breaks off"])
def test_status_counts_though_the_rest_never_comes(rest: str) -> None:
    def answer(asked: Asked) -> None:
        asked.send(head(200, {"Content-Length": "100"}) + b"begin")
        if rest == "hangs":
            asked.hang()

    with ScriptedServer(answer) as server:
        reply = post(server.url(), BODY, {}, timeout_s=1, allow_nets=LOOPBACK)
    assert reply.status == 200


@pytest.mark.parametrize("way", ["hangs", "drips"])
def test_slow_receiver_is_left(way: str) -> None:
    def answer(asked: Asked) -> None:
        asked.send(b"HTTP/1.1 200 OK\r\nX: ")
        while way == "drips" and not asked.closing.wait(0.02):
            asked.send(b"x")
        asked.hang()

    with ScriptedServer(answer) as server, pytest.raises(FetchTimeoutError):
        post(server.url("/hook?token=secret"), BODY, {}, timeout_s=0.3, allow_nets=LOOPBACK)


def test_receiver_that_is_down_or_speaks_no_http() -> None:
    with ScriptedServer(lambda asked: asked.send(b"220 mail ready secret\r\n\r\n")) as server:
        with pytest.raises(FetchError, match="no HTTP") as caught:
            post(server.url(), BODY, {}, allow_nets=LOOPBACK)
        assert "secret" not in str(caught.value)
        url = server.url()
    with pytest.raises(FetchError, match="Connection refused"):
        post(url, BODY, {}, allow_nets=LOOPBACK)


def test_private_receiver_is_never_asked() -> None:
    with ScriptedServer(lambda asked: asked.answer()) as server:
        with pytest.raises(UrlForbiddenError):
            post(server.url(), BODY, {})
        assert server.asked == []


def test_cancel_ends_it() -> None:
    cancel, is_there = CancelToken(), threading.Event()

    def answer(asked: Asked) -> None:
        is_there.set()
        asked.hang()

    def cancel_there() -> None:
        is_there.wait(30)
        cancel.cancel()

    with ScriptedServer(answer) as server:
        canceller = threading.Thread(target=cancel_there)
        canceller.start()
        with pytest.raises(CancelledError):
            post(server.url(), BODY, {}, timeout_s=600, allow_nets=LOOPBACK, cancel=cancel)
        canceller.join()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "inner"},
        {"Content-Length": "0"},
        {"transfer-encoding": "chunked"},
        {"Connection": "keep-alive"},
        {"X": "SECRET\r\nHost: inner"},
        {"X": "SECRET\n"},
        {"X": "SECRET\0"},
        {"X": " SECRET"},
        {"X": "SECRET€"},
        {"X": 7},
        {"X\r\nY": "SECRET"},
        {"X Y": "SECRET"},
        {"": "SECRET"},
        {"X:": "SECRET"},
        {"X": "SECRET" * 2000},
        {f"X-{number}": "SECRET" for number in range(65)},
    ],
)
def test_headers_that_would_change_the_request_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="headers: got") as caught:
        check_headers(headers)
    assert "SECRET" not in str(caught.value)
    with ScriptedServer(lambda asked: asked.answer()) as server:
        with pytest.raises(ConfigError):
            post(server.url(), BODY, headers, allow_nets=LOOPBACK)
        assert server.asked == []


def test_ordinary_headers_are_taken() -> None:
    check_headers({"Authorization": "Bearer a.b-c_d", "X-Empty": "", "X-Tab": "a\tb", "Content-Type": "text/plain"})
