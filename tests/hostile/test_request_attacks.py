"""Requests that are no requests, and requests for what is not there: heads, methods, ids, keys."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
from urllib.parse import quote

import httpx2
import pytest
from siege import KEY, SHORT, Siege, form, keyed

FILE = {"Content-Disposition": 'form-data; name="file"; filename="talk.ogg"'}
POST = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\n%b\r\nConnection: close\r\n\r\n"

IDS = {
    "dots": "..",
    "escaped dots": "%2e%2e",
    "escaped path": "..%2f..%2fetc%2fpasswd",
    "twice escaped path": "%252e%252e%252fetc",
    "backslashes": "..%5c..%5cwindows",
    "absolute": "%2fetc%2fpasswd",
    "NUL": "a%00b",
    "line end": "a%0d%0aX-Injected:%20yes",
    "unicode": quote("ä\N{SNOWMAN}\N{RIGHT-TO-LEFT OVERRIDE}"),
    "wide dots": quote("\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}\N{FULLWIDTH SOLIDUS}"),
    "no UTF-8": "%ff%fe",
    "half a pair": "%ed%a0%80",
    "SQL": quote("' OR 1=1 --"),
    "format": quote("{0.__class__}%s${jndi:ldap://127.0.0.1}"),
    "star": "*",
    "hidden": ".hidden",
    "long": "a" * 10_000,
    "database": "tasks.sqlite",
    "NaN": "NaN",
}
PLACES = (
    ("GET", "/tasks/{}"),
    ("GET", "/tasks/{}/transcript"),
    ("GET", "/tasks/{}/events"),
    ("POST", "/tasks/{}/redeliver"),
    ("DELETE", "/tasks/{}"),
    ("GET", "/status/{}"),
    ("DELETE", "/cancel/{}"),
    ("GET", "/async_request/{}"),
    ("DELETE", "/async_request/{}"),
    ("GET", "/v1/models/{}"),
)


@pytest.mark.parametrize("kind", IDS)
def test_ids_that_are_more_than_ids(siege: Siege, kind: str) -> None:
    for method, place in PLACES:
        line = f"{method} {place.format(IDS[kind])} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        (answer,) = siege.raw(line.encode())
        assert answer.status in (404, 405, 422), (place, answer)
        assert answer.code in (
            "task_not_found",
            "not_found",
            "model_not_found",
            "request_invalid",
            "method_not_allowed",
        )


@pytest.mark.parametrize("kind", [*IDS, "empty"])
def test_ids_that_a_client_may_choose(siege: Siege, kind: str) -> None:
    from urllib.parse import unquote

    chosen = "" if kind == "empty" else unquote(IDS[kind], errors="surrogateescape")
    body = json.dumps({"url": siege.site.url("/none"), "is_async": True, "managed_task_id": chosen})
    answer = siege.ask("POST", "/", content=body, headers={"content-type": "application/json"})
    if kind in ("database", "NaN"):
        assert answer.status == 200
        siege.ended(chosen)
        assert siege.ask("DELETE", f"/tasks/{chosen}").status == 204
    else:
        assert (answer.status, answer.code in ("request_invalid", "task_id_invalid")) == (422, True), answer
    siege.ask("DELETE", f"/tasks/{quote(chosen, safe='', errors='replace')}")
    assert not (siege.server.data_dir.parent / "etc").exists()


ODD_KEYS = {
    "none": {},
    "empty": {"x-api-key": ""},
    "blank": {"x-api-key": b"\xa0"},
    "half": {"x-api-key": KEY[:-1]},
    "longer": {"x-api-key": KEY + "x"},
    "other case": {"x-api-key": KEY.upper()},
    "all allowed": {"x-api-key": "*"},
    "list": {"x-api-key": f"a,{KEY}"},
    "long": {"x-api-key": "a" * 30_000},
    "no ASCII": {"x-api-key": b"\xe4\xff\xfe"},
    "basic": {"authorization": f"Basic {KEY}"},
    "no scheme": {"authorization": KEY},
    "bearer without": {"authorization": "Bearer"},
    "cookie": {"cookie": f"x-api-key={KEY}"},
    "path of a proxy": {"x-original-url": "/health/live", "x-rewrite-url": "/health/live"},
    "from inside": {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "forwarded": "for=127.0.0.1"},
}
CLOSED = (
    "/tasks",
    "/metrics",
    "/docs/x",
    "/docs//",
    "/openapi.json/",
    "/v1/models",
    "/tasks/x",
    "/nothing",
    "/%2ftasks",
    "/health/",
)
CLOSED += (
    "/health/live/../../tasks",
    "/health/live%2f..%2f..%2ftasks",
    "/health/ready/",
    "/HEALTH/LIVE",
    "/tasks;/health/live",
)


@pytest.mark.parametrize("kind", ODD_KEYS)
def test_no_other_key_opens(siege: Siege, kind: str) -> None:
    with httpx2.Client(base_url=siege.server.url, trust_env=False) as stranger:
        for path in CLOSED:
            answer = siege.checked(stranger.get(path, headers=ODD_KEYS[kind]))
            assert (answer.status, answer.code) == (401, "unauthorized"), path
        reply = stranger.post("/v1/audio/transcriptions", headers=ODD_KEYS[kind], files={"file": SHORT.read_bytes()})
        assert (reply.status_code, set(reply.json()["error"])) == (401, {"message", "type", "param", "code"})


def test_a_key_in_the_query_opens_nothing_and_is_not_logged(siege: Siege) -> None:
    for path in ("/tasks", "//tasks", "/docs/../tasks", "/v1/models", "/metrics"):
        for name in ("api_key", "x-api-key", "key", "access_token", "token"):
            (answer,) = siege.raw(
                f"GET {path}?{name}={KEY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(), with_key=False
            )
            assert (answer.status, answer.code) == (401, "unauthorized")


def test_a_body_without_a_key_is_not_read(siege: Siege) -> None:
    head = POST % (b"/tasks", b"multipart/form-data; boundary=b", b"Content-Length: 7000000")
    answers = siege.raw(head, with_key=False)
    assert [(one.status, one.code) for one in answers] == [(401, "unauthorized")]


SMUGGLED = b"GET /tasks HTTP/1.1\r\nHost: x\r\n\r\n"
NO_HTTP = {
    "two lengths": b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a list of lengths": b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\n",
    "a length with a sign": b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
    "a length below 0": b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "a length with an underscore": b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n\r\n",
    "a length of many digits": b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "another encoding": b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "two encodings": POST % (b"/tasks", b"", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    "a space before the colon": b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n",
    "a folded header": b"POST /tasks HTTP/1.1\r\nHost: x\r\n \xfffolded\x00\r\n\r\n",
    "no host": b"GET /tasks HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /tasks HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "NUL in a header": b"GET /tasks HTTP/1.1\r\nHost: x\r\nX-A: \x00\r\n\r\n",
    "NUL in the path": b"GET /tasks\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "no ASCII in the path": b"GET /t\xe4sks HTTP/1.1\r\nHost: x\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /tasks\r\n\r\n",
    "a head without end": b"GET /tasks HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"a" * 200_000,
    "headers without end": b"GET /tasks HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(20_000)),
    "a path without end": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("kind", NO_HTTP)
def test_what_is_no_request_is_refused_whole(siege: Siege, kind: str) -> None:
    answers = siege.raw(NO_HTTP[kind] + SMUGGLED, with_key=False)
    assert len([answer for answer in answers if answer.status != 400]) <= 1, "what stood behind it was answered too"
    for answer in answers:  # some of what was sent is unread: the connection may be reset before the answer is read
        assert 400 <= answer.status < 500
        assert answer.code in ("request_invalid", "unauthorized", "request_too_large")


def test_chunked_and_a_length_are_one_request_at_most(siege: Siege) -> None:
    """The length does not count where there are chunks, and the connection ends, as RFC 9112 6.3 wants it."""
    head = POST % (b"/tasks", b"application/json", b"Content-Length: 4\r\nTransfer-Encoding: chunked")
    answers = siege.raw(head + b"0\r\n\r\n" + SMUGGLED)
    assert [answer.status for answer in answers][:1] in ([400], [422])
    assert all(answer.status != 200 for answer in answers)


@pytest.mark.parametrize(
    "chunk", [b"zz\r\nab\r\n", b"-1\r\nab\r\n", b"5;" + b"e" * 99_999 + b"\r\nabcde\r\n", b"2\r\nabcd\r\n"]
)
@pytest.mark.parametrize("path", ["/tasks", "/", "/v1/audio/transcriptions"])
def test_chunks_that_are_none(siege: Siege, path: str, chunk: bytes) -> None:
    kind = b"application/json" if path != "/v1/audio/transcriptions" else b"multipart/form-data; boundary=b"
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % (
        path.encode(),
        kind,
    )
    for answer in siege.raw(head + chunk + SMUGGLED):
        assert 400 <= answer.status < 500


def test_clients_that_leave_at_once(siege: Siege) -> None:
    bodies = (b"", b"x" * 10, b"--b\r\n", form((FILE, b"abc"))[:-9])
    kinds = (b"application/json", b"multipart/form-data; boundary=b")
    for path, kind, body in itertools.product((b"/tasks", b"/", b"/v1/audio/transcriptions"), kinds, bodies):
        for with_key, way in itertools.product((True, False), (socket.SHUT_WR, socket.SHUT_RDWR, None)):
            siege.cut_off(POST % (path, kind, b"Content-Length: 999") + body, way, with_key=with_key)
    siege.quiet()


def test_a_chunk_that_is_none_while_the_answer_is_on_its_way(siege: Siege) -> None:
    with siege.site.holding() as page, siege.connect() as connection:
        head = f"GET /tasks/{siege.submit(page)}/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(keyed(head.encode()))
        reply = b""
        while b"event: state" not in reply:
            reply += connection.recv(65536)
        connection.sendall(b"zz\r\n")
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                reply += piece
    assert reply.count(b"HTTP/1.1 ") == 1


METHODS = ("PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "GETT", "A" * 5000)


@pytest.mark.parametrize("method", METHODS)
def test_methods_that_no_route_knows(siege: Siege, method: str) -> None:
    for path in ("/tasks", "/", "/v1/audio/transcriptions", "/v1/models", "/predict"):
        (answer,) = siege.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert answer.status in (400, 405)
        assert method == "HEAD" or answer.code in ("method_not_allowed", "request_invalid")


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:1/tasks", "//127.0.0.1/tasks", "*", "127.0.0.1:80", "/tasks/../tasks"]
)
def test_the_server_is_no_proxy(siege: Siege, target: str) -> None:
    for answer in siege.raw(f"GET {target} HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n".encode()):
        assert answer.status in (400, 404, 422)


@pytest.mark.parametrize(
    "value", ["bytes=0-", "bytes=-1", "bytes=5-2,9-1", "lines=1-", "bytes=" + "0-1," * 9000, "\xff"]
)
def test_ranges_that_make_no_sense_do_not_matter(siege: Siege, value: str) -> None:
    for path in ("/tasks", "/openapi.json", "/docs"):
        assert siege.ask("GET", path, headers={"range": value.encode("latin-1")}).status == 200


@pytest.mark.parametrize("value", ["-1", "1e9", "NaN", "9" * 64, "9" * 65, "\xb2", "end", "0x10", " ", "end\x00"])
def test_last_event_ids_that_nobody_gave(siege: Siege, value: str) -> None:
    task_id = siege.submit(siege.site.url("/none"))
    siege.ended(task_id)
    reply = siege.raw(
        b"GET /tasks/%b/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\nLast-Event-ID: %b\r\n\r\n"
        % (task_id.encode(), value.encode("latin-1"))
    )
    assert [answer.status for answer in reply] in ([200], [204], [400], [422])
    if reply[0].status == 200:
        assert "event: done" in reply[0].text


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1e9", "limit=-1", "limit=", "after=%00", "after=" + "a" * 999, "state=all", "after=../x"],
)
def test_queries_that_make_no_sense(siege: Siege, query: str) -> None:
    answer = siege.ask("GET", f"/tasks?{query}")
    assert (answer.status, answer.code in ("request_invalid", "task_cursor_invalid")) == (422, True)


def test_ids_of_requests_do_not_write_into_the_log(siege: Siege) -> None:
    for value in ("a b", "a" * 500, "\xe4", "{}", "a\tb"):
        reply = siege.client.get("/tasks", headers={"x-request-id": value.encode("latin-1")})
        assert reply.headers["x-request-id"].encode("latin-1") != value.encode("latin-1")


def test_heads_that_do_not_come_are_not_waited_for(siege: Siege) -> None:
    """A hundred clients that say nothing, or never all of it."""
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(siege.connect()) for _ in range(100)]
        for n, connection in enumerate(silent):
            connection.sendall(b"GET /tasks HTTP/1.1\r\nHost: x\r\nX-A: "[:n])
        assert siege.ask("GET", "/tasks").status == 200
        for connection in silent:
            reply = connection.makefile("rb").read()
            assert b" 408 " in reply.splitlines()[0]
            assert json.loads(reply.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"


def test_a_head_that_drips_is_not_waited_for(siege: Siege) -> None:
    with siege.connect() as connection:
        connection.settimeout(0.2)
        connection.sendall(b"GET /tasks HTTP/1.1\r\nX-A: ")
        for _ in range(50):
            try:
                reply = connection.recv(65536)
            except TimeoutError:
                connection.sendall(b"a")
            else:
                assert b" 408 " in reply
                break
        else:
            raise AssertionError("each byte gave it more time")


@pytest.mark.parametrize("path", ["/tasks", "/", "/predict", "/v1/audio/transcriptions"])
@pytest.mark.parametrize("framing", ["Content-Length: 500", "Transfer-Encoding: chunked"])
def test_bodies_that_do_not_come_are_not_waited_for(siege: Siege, path: str, framing: str) -> None:
    kind = "multipart/form-data; boundary=b" if path.startswith("/v1") else "application/json"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{framing}\r\nConnection: close\r\n\r\n"
    (answer,) = siege.raw(head.encode())
    assert (answer.status, answer.code) == (408, "request_timeout")


def test_a_stream_goes_on_though_the_body_of_its_request_does_not_come(siege: Siege) -> None:
    """The route reads no body; nobody waits for it."""
    with siege.site.holding() as page:
        task_id = siege.submit(page)
        head = f"GET /tasks/{task_id}/events HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\nContent-Length: 9\r\n\r\n"
        with siege.connect() as connection:
            connection.sendall(head.encode())
            with siege.connect() as other:  # as long as a client may take
                assert b" 408 " in other.recv(4096)
            siege.ask("DELETE", f"/tasks/{task_id}")
            reply = b""
            while b"event: done" not in reply:
                piece = connection.recv(65536)
                assert piece, reply
                reply += piece
