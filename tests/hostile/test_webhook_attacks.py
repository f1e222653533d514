"""Webhooks that would have the server say what it must not, and keys that are used again and again."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripted_server import Asked
from siege import SECRET, SHORT, Siege

HEADERS = {
    "line end": {"x-a": "b\r\nx-injected: yes"},
    "line feed": {"x-a": "b\nx-injected: yes"},
    "NUL": {"x-a": "b\0"},
    "line end in a name": {"x-a\r\nx-b": "c"},
    "colon in a name": {"x-a:": "b"},
    "empty name": {"": "b"},
    "blank name": {" ": "b"},
    "no Latin": {"x-a": "\N{SNOWMAN}"},
    "host": {"Host": "127.0.0.1"},
    "length": {"Content-Length": "0"},
    "encoding": {"transfer-encoding": "chunked"},
    "connection": {"CONNECTION": "upgrade"},
    "upgrade": {"upgrade": "h2c"},
    "expect": {"expect": "100-continue"},
    "proxy": {"proxy-authorization": "Basic eA=="},
    "too many": {f"x-{n}": "a" for n in range(99)},
    "too long": {"x-a": "a" * 99_999},
    "no text": {"x-a": 5},
    "nothing": {"x-a": None},
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_would_change_the_request_are_refused(siege: Siege, kind: str) -> None:
    url = siege.site.url("/hook")
    bodies = {
        "/tasks": {"url": siege.site.url("/none"), "webhook": {"url": url, "headers": HEADERS[kind]}},
        "/": {"url": siege.site.url("/none"), "is_async": True, "webhook": {"url": url, "header": HEADERS[kind]}},
    }
    for path, body in bodies.items():
        answer = siege.ask("POST", path, json=body)
        assert (answer.status, answer.code in ("config_invalid", "request_invalid")) == (422, True), answer


def test_what_a_client_sends_along_is_told_to_nobody_else(siege: Siege) -> None:
    told: list[Asked] = []
    has_come = threading.Event()

    def hook(asked: Asked) -> None:
        told.append(asked)
        asked.answer(500, SECRET.encode())
        has_come.set()

    siege.site.pages["/hook"] = hook
    headers = {
        "authorization": f"Bearer {SECRET}",
        "x-token": SECRET,
        "webhook-signature": "v1,forged",
        "cookie": SECRET,
    }
    url = siege.site.url(f"/hook?token={SECRET}").replace("http://", f"http://user:{SECRET}@")
    task_id = siege.submit(siege.site.url(f"/none?key={SECRET}"), webhook={"url": url, "headers": headers})
    assert has_come.wait(60)
    task = siege.when(task_id, lambda task: task["deliveries"])
    assert task["deliveries"][0]["status"] == 500
    assert told[0].headers["host"] == siege.site.url("").removeprefix("http://")
    for path in (
        f"/tasks/{task_id}",
        f"/tasks/{task_id}/events",
        f"/status/{task_id}",
        f"/async_request/{task_id}",
        "/tasks",
    ):
        siege.ask("GET", path)  # looks for the secret
    siege.ask("DELETE", f"/tasks/{task_id}")


@pytest.mark.parametrize("key", ["a" * 256, "a" * 30_000])
def test_idempotency_keys_that_are_none(siege: Siege, key: str) -> None:
    answer = siege.ask("POST", "/tasks", json={"url": siege.site.url("/none")}, headers={"idempotency-key": key})
    assert (answer.status, answer.code) == (422, "request_invalid")


@pytest.mark.parametrize("key", [b"\xe4\xf6", b"'; DROP TABLE tasks; --", b"../../x", b"a" * 255, b"{}"])
def test_idempotency_keys_are_only_compared(siege: Siege, key: bytes) -> None:
    page = siege.site.url("/none")
    first = siege.ask("POST", "/tasks", json={"url": page}, headers={"idempotency-key": key})
    again = siege.ask("POST", "/tasks", json={"url": page}, headers={"idempotency-key": key})
    assert (first.status, again.status) == (202, 200)
    assert json.loads(first.text)["id"] == json.loads(again.text)["id"]
    other = siege.ask("POST", "/tasks", json={"url": page, "language": "en"}, headers={"idempotency-key": key})
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    sent = siege.ask("POST", "/tasks", files={"file": SHORT.read_bytes()}, headers={"idempotency-key": key})
    assert (sent.status, sent.code) == (422, "idempotency_mismatch")
    siege.quiet()


def test_one_key_at_the_same_time_is_one_task(siege: Siege) -> None:
    def submit(n: int) -> tuple[int, str]:
        answer = siege.ask("POST", "/tasks", files={"file": b"no audio"}, headers={"idempotency-key": "at once"})
        return answer.status, json.loads(answer.text)["id"]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(submit, range(32)))
    assert sorted({status for status, _ in answers}) == [200, 202]
    assert len({task_id for _, task_id in answers}) == 1
    assert sum(status == 202 for status, _ in answers) == 1
    siege.quiet()


def test_one_id_at_the_same_time_is_one_task(siege: Siege) -> None:
    body = {"url": siege.site.url("/none"), "is_async": True, "managed_task_id": "taken-by-one"}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: siege.ask("POST", "/", json=body), range(32)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 31
    assert {answer.code for answer in answers if answer.status == 409} == {"task_exists"}
