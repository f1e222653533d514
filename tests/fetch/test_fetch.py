from __future__ import annotations

import threading
from pathlib import Path

import pytest
from scripted_server import LOOPBACK, Asked, ScriptedServer, head

from ifw import __version__
from ifw.cancellation import CancelToken
from ifw.errors import CancelledError, ConfigError, FetchError, FetchStatusError, FetchTimeoutError, FetchTooLargeError
from ifw.fetch import FetchOptions, fetch

BODY = bytes(range(256)) * 1024  # 256 KiB
ETAG = '"v1"'


def options(**changes: object) -> FetchOptions:
    return FetchOptions(**{"allow_nets": LOOPBACK, "retry_wait_s": 0.01, **changes})


def ranged(asked: Asked, body: bytes = BODY, etag: str = ETAG, n_sent: int | None = None) -> None:
    """Answer as a good server does, but break off after `n_sent` bytes of the body."""
    start = asked.range_start() if asked.headers.get("if-range") == etag else 0
    status = 206 if start else 200
    headers = {"Content-Length": str(len(body) - start), "ETag": etag, "Accept-Ranges": "bytes"}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
    asked.send(head(status, headers) + body[start:][:n_sent])


def test_file_arrives_whole_with_what_the_server_tells(tmp_path: Path) -> None:
    heard: list[tuple[int, int | None]] = []

    def answer(asked: Asked) -> None:
        asked.answer(body=BODY, Content_Disposition='attachment; filename="../my talk.mp3"')

    with ScriptedServer(answer) as server:
        fetched = fetch(
            server.url("/a/b.mp3?sig=s%2F#f"), tmp_path / "f", options(), on_progress=lambda *now: heard.append(now)
        )
    assert (fetched.path, fetched.n_bytes) == (tmp_path / "f", len(BODY))
    assert fetched.name == "my talk.mp3"
    assert (tmp_path / "f").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert heard[-1] == (len(BODY), len(BODY))
    (asked,) = server.asked
    assert (asked.method, asked.target) == ("GET", "/a/b.mp3?sig=s%2F")
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"
    assert asked.headers["user-agent"] == f"ifw/{__version__}"
    assert asked.headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization", "range", "referer"} & set(asked.headers)


def test_name_of_the_path_stands_in(tmp_path: Path) -> None:
    with ScriptedServer(lambda asked: asked.answer(body=b"x", Content_Type="nonsense")) as server:
        fetched = fetch(server.url("/a/b%20c.mp3?x"), tmp_path / "f", options())
    assert fetched.name == "b c.mp3"


def test_chunked_and_unframed_bodies_arrive(tmp_path: Path) -> None:
    def answer(asked: Asked) -> None:
        if asked.target == "/chunked":
            asked.send(head(200, {"Transfer-Encoding": "chunked"}) + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n")
        else:
            asked.send(head(200, {}, version="1.0") + b"abcde")

    with ScriptedServer(answer) as server:
        for path in ("/chunked", "/unframed"):
            fetch(server.url(path), tmp_path / "f", options())
            assert (tmp_path / "f").read_bytes() == b"abcde"


def test_name_that_leads_to_the_server_and_ipv6(tmp_path: Path) -> None:
    with ScriptedServer(lambda asked: asked.answer(body=b"x"), host="::1") as server:
        fetch(server.url(host="[::1]"), tmp_path / "f", options())
        assert server.asked[0].headers["host"] == f"[::1]:{server.port}"
    with ScriptedServer(lambda asked: asked.answer(body=b"x")) as server:
        fetch(server.url(host="localhost"), tmp_path / "f", options())  # ::1 is tried too where it exists
        assert server.asked[0].headers["host"] == f"localhost:{server.port}"


def test_redirects_are_followed_and_passwords_stay_with_their_host(tmp_path: Path) -> None:
    def answer(asked: Asked) -> None:
        asked.answer(302, Location=f"http://other:pw@127.0.0.1:{second.port}/b", Set_Cookie="a=b")

    def answer_last(asked: Asked) -> None:
        if asked.target == "/b":
            asked.answer(307, Location="../c?d", Set_Cookie="a=b")
        else:
            asked.answer(body=b"there")

    with ScriptedServer(answer) as first, ScriptedServer(answer_last) as second:
        url = f"http://me:pw@127.0.0.1:{first.port}/a/talk.mp3"
        fetched = fetch(url, tmp_path / "f", options())
    assert (tmp_path / "f").read_bytes() == b"there"
    assert fetched.name == "talk.mp3"
    assert "authorization" in first.asked[0].headers
    assert [asked.target for asked in second.asked] == ["/b", "/c?d"]
    assert not any({"authorization", "cookie"} & set(asked.headers) for asked in second.asked)


def test_broken_connection_goes_on_where_it_was(tmp_path: Path) -> None:
    starts: list[int] = []

    def answer(asked: Asked) -> None:
        starts.append(asked.range_start())
        ranged(asked, n_sent=70_000)  # breaks off three times

    with ScriptedServer(answer) as server:
        fetched = fetch(server.url(), tmp_path / "f", options(max_retries=1))
    assert starts == [0, 70_000, 140_000, 210_000]
    assert fetched.n_bytes == len(BODY)
    assert (tmp_path / "f").read_bytes() == BODY


def test_next_call_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    target = tmp_path / "f"
    with ScriptedServer(lambda asked: ranged(asked, n_sent=100_000 if not asked.range_start() else 0)) as server:
        with pytest.raises(FetchError, match="broke off"):
            fetch(server.url(), target, options(max_retries=1))
        assert not target.exists()
        server.answerer = ranged
        fetch(server.url(), target, options())
        assert [asked.range_start() for asked in server.asked] == [0, 100_000, 100_000]
    assert target.read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("change", ["url", "sidecar", "no sidecar", "no validator", "too much"])
def test_what_may_be_of_another_file_is_not_continued(tmp_path: Path, change: str) -> None:
    target, sidecar, part = tmp_path / "f", tmp_path / "f.part.json", tmp_path / "f.part"
    etag = 'W/"weak"' if change == "no validator" else ETAG
    with ScriptedServer(lambda asked: ranged(asked, etag=etag, n_sent=100_000)) as server:
        with pytest.raises(FetchError):
            fetch(server.url(), target, options(max_retries=0))
        if change == "sidecar":
            sidecar.write_text("[1")
        elif change == "no sidecar":
            sidecar.unlink()
        elif change == "too much":
            part.write_bytes(BODY + b"more")
        server.answerer = ranged
        fetch(server.url("/other" if change == "url" else "/talk.mp3"), target, options())
        assert "range" not in server.asked[-1].headers
    assert target.read_bytes() == BODY


def test_changed_file_starts_over(tmp_path: Path) -> None:
    other = BODY[::-1]

    def answer(asked: Asked) -> None:
        if asked.headers.get("range"):
            ranged(asked, other, '"v2"')  # If-Range does not match: 200 and all of the new file
        else:
            ranged(asked, n_sent=100_000)

    with ScriptedServer(answer) as server:
        fetch(server.url(), tmp_path / "f", options())
    assert (tmp_path / "f").read_bytes() == other


@pytest.mark.parametrize(
    "lie",
    [
        {"ETag": '"v2"'},
        {"Content-Range": "bytes 0-262143/262144"},
        {"Content-Range": "bytes 0-162143/262144"},
        {"Content-Range": "bytes 100000-262143/999999"},
        {"Content-Range": "bytes 100000-99/262144"},
        {"Content-Range": "bytes 100000-262143/200000"},
        {"Content-Range": "bytes 100001-262143/262144"},
        {"Content-Range": "pages 1-2/3"},
        {"Content-Range": ""},
    ],
)
def test_part_that_does_not_fit_is_thrown_away(tmp_path: Path, lie: dict[str, str]) -> None:
    def answer(asked: Asked) -> None:
        if not asked.headers.get("range"):
            ranged(asked, n_sent=100_000 if len(server.asked) == 1 else None)
            return
        rest = BODY[100_000:]
        fitting = {"Content-Range": "bytes 100000-262143/262144", "ETag": ETAG, "Content-Length": str(len(rest))}
        asked.send(head(206, {**fitting, **lie}) + rest)

    with ScriptedServer(answer) as server:
        fetch(server.url(), tmp_path / "f", options())
        assert [asked.range_start() for asked in server.asked] == [0, 100_000, 0]
    assert (tmp_path / "f").read_bytes() == BODY


def test_part_beyond_the_end_is_thrown_away(tmp_path: Path) -> None:
    def answer(asked: Asked) -> None:
        if asked.headers.get("range"):
            asked.send(head(206, {"Content-Range": "bytes 5-9/7", "ETag": ETAG, "Content-Length": "5"}) + b"56789")
        elif len(server.asked) == 1:
            asked.send(head(200, {"Transfer-Encoding": "chunked", "ETag": ETAG}) + b"5\r\n01234\r\n")
        else:
            asked.answer(body=b"whole")

    with ScriptedServer(answer) as server:
        fetch(server.url(), tmp_path / "f", options())
    assert (tmp_path / "f").read_bytes() == b"whole"


def test_range_that_the_server_cannot_give_starts_over(tmp_path: Path) -> None:
    def answer(asked: Asked) -> None:
        if asked.headers.get("range"):
            asked.answer(416, Content_Range=f"bytes */{len(BODY)}")
        else:
            ranged(asked, n_sent=100_000 if len(server.asked) == 1 else None)

    with ScriptedServer(answer) as server:
        fetch(server.url(), tmp_path / "f", options())
    assert (tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_failure_is_tried_again(tmp_path: Path, status: int) -> None:
    def answer(asked: Asked) -> None:
        if len(server.asked) < 3:
            asked.answer(status, Retry_After="0")
        else:
            asked.answer(body=b"x")

    with ScriptedServer(answer) as server:
        fetch(server.url(), tmp_path / "f", options(retry_wait_s=30))
        assert len(server.asked) == 3


@pytest.mark.parametrize(("status", "n_asked"), [(400, 1), (401, 1), (403, 1), (404, 1), (410, 1), (304, 1), (503, 3)])
def test_status_is_reported(tmp_path: Path, status: int, n_asked: int) -> None:
    with ScriptedServer(lambda asked: asked.answer(status, b"a page with secrets")) as server:
        with pytest.raises(FetchStatusError, match=f"talk.mp3: the server answered {status}") as caught:
            fetch(server.url("/talk.mp3?sig=secret"), tmp_path / "f", options(max_retries=2))
        assert len(server.asked) == n_asked
    assert caught.value.status == status
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "f").exists()


def test_too_large_file_is_refused_before_its_first_byte_and_on_the_way(tmp_path: Path) -> None:
    def answer(asked: Asked) -> None:
        if asked.target == "/told":
            asked.send(head(200, {"Content-Length": "1001"}))
            asked.hang()
        else:
            asked.send(head(200, {"Transfer-Encoding": "chunked", "ETag": ETAG}) + b"3e8\r\n" + bytes(1000) + b"\r\n")
            asked.send(b"1\r\nx\r\n")
            asked.hang()

    with ScriptedServer(answer) as server:
        for path in ("/told", "/untold"):
            with pytest.raises(FetchTooLargeError, match="allowed: at most 1000"):
                fetch(server.url(path), tmp_path / "f", options(max_bytes=1000))
            assert list(tmp_path.iterdir()) == []
        server.answerer = lambda asked: asked.answer(body=bytes(1000))
        assert fetch(server.url(), tmp_path / "f", options(max_bytes=1000)).n_bytes == 1000


@pytest.mark.parametrize("where", ["head", "drip in the head", "body", "drip in the body", "informational"])
def test_slow_server_is_left(tmp_path: Path, where: str) -> None:
    def drip(asked: Asked, piece: bytes) -> None:
        while not asked.closing.wait(0.02):
            asked.send(piece)

    def answer(asked: Asked) -> None:
        if where == "drip in the head":
            asked.send(b"HTTP/1.1 200 OK\r\nX: ")
            drip(asked, b"x")
        elif where == "informational":
            drip(asked, b"HTTP/1.1 103 Early\r\n\r\n")
        elif where != "head":
            asked.send(head(200, {"Content-Length": "100000", "ETag": ETAG}) + b"beginning")
            if where == "drip in the body":
                drip(asked, b"x")
        asked.hang()

    with ScriptedServer(answer) as server, pytest.raises(FetchTimeoutError, match="too little for too long"):
        fetch(server.url(), tmp_path / "f", options(idle_timeout_s=0.2, max_retries=1))


def test_all_of_it_has_a_time(tmp_path: Path) -> None:
    def answer(asked: Asked) -> None:
        asked.send(head(200, {"Content-Length": "100000000"}))
        while not asked.closing.wait(0.01):
            asked.send(bytes(8192))

    with ScriptedServer(answer) as server, pytest.raises(FetchTimeoutError, match=r"longer than 0\.3 s in all"):
        fetch(server.url(), tmp_path / "f", options(total_timeout_s=0.3))


@pytest.mark.parametrize("where", ["head", "body"])
def test_cancel_ends_it_while_the_server_hangs(tmp_path: Path, where: str) -> None:
    cancel, is_there = CancelToken(), threading.Event()

    def answer(asked: Asked) -> None:
        if where == "body":
            asked.send(head(200, {"Content-Length": "100000"}) + bytes(5000))
        is_there.set()
        asked.hang()

    def cancel_there() -> None:
        is_there.wait(30)
        cancel.cancel()

    with ScriptedServer(answer) as server:
        canceller = threading.Thread(target=cancel_there)
        canceller.start()
        with pytest.raises(CancelledError):
            fetch(server.url(), tmp_path / "f", options(retry_wait_s=600, idle_timeout_s=600), cancel=cancel)
        canceller.join()
        with pytest.raises(CancelledError):
            fetch(server.url(), tmp_path / "f", options(), cancel=cancel)
        assert len(server.asked) == 1


def test_cancel_ends_the_wait_before_another_attempt(tmp_path: Path) -> None:
    cancel, ended = CancelToken(), threading.Event()

    def run() -> None:
        with pytest.raises(CancelledError):
            fetch(server.url(), tmp_path / "f", options(), cancel=cancel)
        ended.set()

    with ScriptedServer(lambda asked: asked.answer(503, Retry_After="30")) as server:
        running = threading.Thread(target=run)
        running.start()
        threading.Timer(0.2, cancel.cancel).start()
        assert ended.wait(10)  # of the 30 s that it would wait otherwise
        running.join()


def test_two_downloads_into_one_target_do_not_mix(tmp_path: Path) -> None:
    target, is_there, may_go = tmp_path / "f", threading.Event(), threading.Event()

    def answer(asked: Asked) -> None:
        body = BODY if asked.target == "/slow" else BODY[::-1]
        asked.send(head(200, {"Content-Length": str(len(body)), "ETag": ETAG}) + body[:100_000])
        if asked.target == "/slow":
            is_there.set()
            may_go.wait(30)
        asked.send(body[100_000:])

    with ScriptedServer(answer) as server:
        slow = threading.Thread(target=fetch, args=(server.url("/slow"), target, options()))
        slow.start()
        assert is_there.wait(30)
        fetch(server.url("/fast"), target, options())
        assert target.read_bytes() == BODY[::-1]
        may_go.set()
        slow.join()
    assert target.read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_environment_proxies_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(lambda asked: asked.answer(body=b"proxy")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        with ScriptedServer(lambda asked: asked.answer(body=b"server")) as server:
            fetch(server.url(), tmp_path / "f", options())
        assert proxy.asked == []
    assert (tmp_path / "f").read_bytes() == b"server"


def test_folder_that_cannot_be_written_is_said_without_its_path(tmp_path: Path) -> None:
    with ScriptedServer(lambda asked: asked.answer(body=b"x")) as server:
        with pytest.raises(FetchError, match="cannot be written: No such file") as caught:
            fetch(server.url(), tmp_path / "none" / "f", options())
        assert server.asked == []
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_bytes": 0},
        {"max_bytes": 1.5},
        {"max_bytes": True},
        {"connect_timeout_s": 0},
        {"idle_timeout_s": -1},
        {"total_timeout_s": float("nan")},
        {"max_redirects": -1},
        {"max_retries": None},
        {"retry_wait_s": "1"},
        {"allow_nets": ("x",)},
    ],
)
def test_wrong_options_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        FetchOptions(**changes)
