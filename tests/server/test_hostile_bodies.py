"""Bodies made to break a server: each is refused with a stable code, and the server goes on."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

ROUTES = ("/", "/predict", "/async_predict", "/tasks")
URL = '"url": "https://example.com/a.mp3"'
BODIES = {
    "nothing": b"",
    "a scalar": b"1",
    "a string": b'"https://example.com/a.mp3"',
    "null": b"null",
    "an unfinished object": b'{"url": ',
    "two objects": b"{}{}",
    "no UTF-8": b'{"url": "\xff\xfe"}',
    "UTF-16": '{"url": "https://example.com/a.mp3"}'.encode("utf-16"),
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"url":' * 100_000,
    "deep value": b'{"url": "https://example.com/a", "webhook": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a long number": f'{{{URL}, "batch_size": {"9" * 10_000}, "priority": {"9" * 10_000}}}'.encode(),
    "a large exponent": f'{{{URL}, "batch_size": 1e999999, "priority": 1e999999}}'.encode(),
    "not a number": f'{{{URL}, "batch_size": NaN, "priority": NaN}}'.encode(),
    "half a character": b'{"url": "https://example.com/\\ud800"}',
    "a null character": b'{"url": "https://example.com/\\u0000"}',
    "a line break in a URL": b'{"url": "https://example.com/a\\r\\nX: y"}',
    "a long URL": b'{"url": "https://example.com/' + b"a" * 9000 + b'"}',
    "the wrong type": b'{"url": {"$gt": ""}}',
    "a file URL": b'{"url": "file:///etc/passwd"}',
    "a path": b'{"url": "/etc/passwd"}',
    "an inner address": b'{"url": "http://0x7f000001:8000@169.254.169.254/"}',
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", BODIES)
def test_bodies(api: Any, route: str, name: str) -> None:
    body = BODIES[name]
    if route == "/async_predict":
        body = b'{"model_input": ' + body + b"}"
    reply = api.client.post(route, content=body, headers={"content-type": "application/json"})
    assert 400 <= reply.status_code < 500, reply.text
    assert set(reply.json()) == {"detail", "code"}
    assert len(reply.text) < 2000
    assert api.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        "POST /tasks HTTP/1.1\r\nContent-Length: -1\r\n",
        "POST /tasks HTTP/1.1\r\nContent-Length: x\r\n",
        "POST /tasks HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        "POST /tasks HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "POST /tasks HTTP/1.1\r\nX-Large: " + "a" * 100_000 + "\r\n",
        "GET /tasks/" + "a" * 100_000 + " HTTP/1.1\r\n",
        "GET /tasks/../../etc/passwd HTTP/1.1\r\n",
        "GET /tasks/%2e%2e%2f%2e%2e%2fetc%2fpasswd/transcript HTTP/1.1\r\n",
        "DELETE /tasks/..%00 HTTP/1.1\r\n",
        "DELETE /cancel/..%2f.. HTTP/1.1\r\n",
    ],
)
def test_heads(api: Any, head: str) -> None:
    port = int(api.server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode() + b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n0\r\n\r\n")
        reply = b""
        try:
            while more := connection.recv(65536):
                reply += more
        except ConnectionResetError:
            assert reply, "the connection was cut without a reply"
    assert reply.split(b" ", 2)[1][:1] == b"4", reply[:200]
    assert b"root:" not in reply
    assert api.client.get("/health/ready").status_code == 200


def test_a_form_with_ten_thousand_parts(api: Any) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    reply = api.client.post("/tasks", content=part * 10_000 + b"--b--\r\n", headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (413, "request_too_large")


def test_a_stolen_name_is_only_a_name(api: Any) -> None:
    for name in ("../../../evil", "/tmp/evil", "a\x00b", "..", "C:\\evil", "nul"):
        body = json.dumps(name).encode()[1:-1]
        content = b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + body + b'"\r\n\r\nx\r\n--b--\r\n'
        headers = {"content-type": "multipart/form-data; boundary=b"}
        reply = api.client.post("/tasks", content=content, headers=headers)
        assert reply.status_code == 202, reply.text
        assert "/" not in reply.json()["source"]["name"]
        with contextlib.suppress(FileNotFoundError):  # the task has failed already, and its files are gone
            assert set(os.listdir(api.data_dir / "spool" / reply.json()["id"])) <= {"upload"}
        assert not Path("/tmp/evil").exists()
