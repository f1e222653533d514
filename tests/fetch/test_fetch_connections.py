"""Looking names up and connecting: addresses that do not answer, and waits that nothing but a cancellation ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_server import LOOPBACK, ScriptedServer

from ifw.cancellation import CancelToken
from ifw.errors import CancelledError, FetchError, FetchTimeoutError
from ifw.fetch import FetchOptions, fetch

OPTIONS = FetchOptions(allow_nets=LOOPBACK, max_retries=1, retry_wait_s=0.01)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of 127.0.0.3 that answers no greeting, as a machine behind a firewall: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.3", 0))
        listener.listen(0)
        waiting = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        yield listener.getsockname()[1]
        for sock in waiting:
            sock.close()


def test_next_address_is_tried(target: Path, answers: Callable[..., list[str]]) -> None:
    with ScriptedServer(lambda asked: asked.answer(body=b"x")) as server:
        answers("two.test", ["127.0.0.3", "127.0.0.1"])
        fetch(f"http://two.test:{server.port}/", target, OPTIONS)
        assert len(server.asked) == 1


def test_each_address_has_a_share_of_the_time(target: Path, silent: int, answers: Callable[..., list[str]]) -> None:
    with socket.create_server(("127.0.0.1", silent)):
        answers("two.test", ["127.0.0.3", "127.0.0.1"])
        options = FetchOptions(allow_nets=LOOPBACK, connect_timeout_s=0.6, idle_timeout_s=0.2, max_retries=0)
        with pytest.raises(FetchTimeoutError, match="too little"):  # connected to the second, which says nothing
            fetch(f"http://two.test:{silent}/", target, options)


def test_nobody_listens(target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchError, match="no connection: Connection refused"):
        fetch(f"http://127.0.0.1:{port}/", target, OPTIONS)
    assert list(target.parent.iterdir()) == []


def test_address_that_cannot_be_connected_to(target: Path) -> None:
    options = FetchOptions(block_private=False, max_retries=0)
    with pytest.raises(FetchError, match="no connection: "):
        fetch("http://255.255.255.255:9/", target, options)


def test_address_that_does_not_answer(target: Path, silent: int) -> None:
    options = FetchOptions(allow_nets=LOOPBACK, connect_timeout_s=0.2, max_retries=0)
    with pytest.raises(FetchTimeoutError, match=r"no connection within 0\.2 s"):
        fetch(f"http://127.0.0.3:{silent}/", target, options)


def test_cancel_ends_a_connection_that_is_not_answered(target: Path, silent: int) -> None:
    cancel = CancelToken()
    timer = threading.Timer(0.1, cancel.cancel)
    timer.start()
    with pytest.raises(CancelledError):
        fetch(
            f"http://127.0.0.3:{silent}/",
            target,
            FetchOptions(allow_nets=LOOPBACK, connect_timeout_s=600),
            cancel=cancel,
        )
    timer.join()


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_look_up_that_hangs(target: Path, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool) -> None:
    cancel, is_over = CancelToken(), threading.Event()
    timer = threading.Timer(0.1, cancel.cancel)

    def getaddrinfo(*_: object, **__: object) -> list[tuple]:
        if is_cancelled:
            timer.start()
        assert is_over.wait(60)  # set below: nobody waits for the answer
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    options = FetchOptions(connect_timeout_s=600 if is_cancelled else 0.1, max_retries=0)
    with pytest.raises(CancelledError if is_cancelled else FetchTimeoutError):
        fetch("http://slow.test/", target, options, cancel=cancel)
    is_over.set()


@pytest.mark.parametrize(("number", "n_asked"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 2)])
def test_name_that_cannot_be_looked_up(
    target: Path, monkeypatch: pytest.MonkeyPatch, number: int, n_asked: int
) -> None:
    asked: list[str] = []

    def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple]:
        asked.append(host)
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(FetchError, match="the name of its host"):
        fetch("http://none.test/", target, OPTIONS)
    assert asked == ["none.test"] * n_asked
