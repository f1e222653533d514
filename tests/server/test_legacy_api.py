"""The calls that the predecessor's documents show, over real HTTP, and each of its defects."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from server_process import PATIENCE_S

EVERYTHING = {
    "task": "transcribe",
    "language": "None",
    "batch_size": 64,
    "timestamp": "chunk",
    "diarise_audio": False,
    "is_async": False,
}


def check_output(output: dict[str, Any]) -> None:
    """The shape that its clients read."""
    assert set(output) == {"text", "chunks", "speakers"}
    assert output["speakers"] == []
    assert output["text"] == "".join(chunk["text"] for chunk in output["chunks"])
    assert output["text"].strip()
    for chunk in output["chunks"]:
        assert set(chunk) == {"timestamp", "text"}
        start_s, end_s = chunk["timestamp"]
        assert 0 <= start_s < end_s


def until_ended(api: Any, task_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while (status := api.client.get(f"/status/{task_id}").json()) == {"status": "processing"}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return dict(status)


def test_a_call_that_waits(api: Any) -> None:
    reply = api.client.post("/", json={"url": api.url(), **EVERYTHING})
    assert reply.status_code == 200, reply.text
    assert set(reply.json()) == {"output", "status", "task_id"}
    assert reply.json()["status"] == "completed"
    check_output(reply.json()["output"])


def test_only_the_url_is_required(api: Any) -> None:
    reply = api.client.post("/", content=json.dumps({"url": api.url()}))  # without a content type, as some clients
    assert reply.status_code == 200, reply.text
    check_output(reply.json()["output"])


@pytest.mark.parametrize("name", ["word", "work"])
def test_words(api: Any, name: str) -> None:
    whole = api.client.post("/", json={"url": api.url()}).json()["output"]
    words = api.client.post("/", json={"url": api.url(), "timestamp": name}).json()["output"]
    check_output(words)
    assert [chunk["text"].strip() for chunk in words["chunks"]] == whole["text"].split()


def test_nulls_count_as_left_out(api: Any) -> None:
    body = dict.fromkeys((*EVERYTHING, "webhook", "managed_task_id", "chunk_length_s"))
    assert api.client.post("/", json={**body, "url": api.url()}).status_code == 200


def test_a_call_that_does_not_wait(api: Any) -> None:
    hook = {"url": api.url("/hook-1"), "header": {"X-Secret": "k"}}
    reply = api.client.post(
        "/", json={"url": api.url(), "is_async": True, "webhook": hook, "managed_task_id": "mine-1"}
    )
    assert reply.status_code == 200, reply.text
    assert reply.json()["status"] == "processing"
    assert reply.json()["task_id"] == "mine-1"
    assert isinstance(reply.json()["detail"], str)
    assert "mine-1" in api.client.get("/tasks").json()["tasks"]
    status = until_ended(api, "mine-1")
    assert status["status"] == "completed"
    check_output(status["output"])
    assert api.client.get("/status/mine-1").json() == status, "a result stays, however often it is asked for"
    told = api.neighbour.told("/hook-1")
    assert told.headers["x-secret"] == "k"
    assert told.headers["content-type"].startswith("application/json")
    assert json.loads(told.body) == {"output": status["output"], "status": "completed", "task_id": "mine-1"}


def test_an_id_is_never_given_twice(api: Any) -> None:
    first = api.client.post("/", json={"url": api.url(), "is_async": True, "managed_task_id": "mine-2"})
    assert first.status_code == 200
    again = api.client.post("/", json={"url": api.url("/sample.mp3"), "is_async": True, "managed_task_id": "mine-2"})
    assert (again.status_code, again.json()["code"]) == (409, "task_exists")
    assert until_ended(api, "mine-2")["status"] == "completed"


def test_cancel(api: Any) -> None:
    with api.neighbour.holding():
        body = {"url": api.url("/held/short.ogg"), "is_async": True, "managed_task_id": "mine-3"}
        assert api.client.post("/", json=body).status_code == 200
        assert api.client.get("/status/mine-3").json() == {"status": "processing"}
        assert api.client.delete("/cancel/mine-3").json() == {"status": "cancelled"}
    assert api.client.get("/status/mine-3").json() == {"status": "cancelled"}
    assert api.client.delete("/cancel/mine-3").json() == {"status": "cancelled"}
    assert api.client.delete("/cancel/nothing").json()["code"] == "task_not_found"


def test_cancel_of_what_has_ended_says_how_it_ended(api: Any) -> None:
    task_id = api.submit()
    api.ended(task_id)
    reply = api.client.delete(f"/cancel/{task_id}").json()
    assert reply["status"] == "completed"
    check_output(reply["output"])


def test_a_failure_is_told_with_its_code(api: Any) -> None:
    reply = api.client.post("/", json={"url": api.url("/missing.mp3")})
    assert (reply.status_code, reply.json()["code"]) == (424, "fetch_status")
    assert isinstance(reply.json()["detail"], str)
    assert api.client.post("/", json={"url": api.url("/text.mp3")}).json()["code"] == "audio_format"
    body = {"url": api.url("/missing.mp3"), "is_async": True, "managed_task_id": "mine-4"}
    assert api.client.post("/", json=body).status_code == 200
    status = until_ended(api, "mine-4")
    assert (status["status"], status["code"]) == ("error", "fetch_status")
    assert set(status) == {"status", "error", "code"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"url": None}, "request_invalid"),
        ({"url": ""}, "request_invalid"),
        ({"url": "no url"}, "url_invalid"),
        ({"url": "http://169.254.169.254/latest"}, "url_forbidden"),
        ({"task": "sing"}, "request_invalid"),
        ({"timestamp": "page"}, "request_invalid"),
        ({"batch_size": 0}, "request_invalid"),
        ({"chunk_length_s": -1}, "request_invalid"),
        ({"language": "klingon"}, "language_unknown"),
        ({"diarise_audio": True}, "diarization_unavailable"),
        ({"managed_task_id": "../up"}, "request_invalid"),
        ({"managed_task_id": "a..b"}, "task_id_invalid"),
        ({"webhook": {"url": "http://10.0.0.1/"}}, "url_forbidden"),
        ({"webhook": {"url": "https://a.b/", "header": {"Host": "c"}}}, "config_invalid"),
    ],
)
def test_what_is_not_allowed(api: Any, change: dict[str, Any], code: str) -> None:
    reply = api.client.post("/", json={"url": "https://example.com/a.mp3", **change})
    assert (reply.status_code, reply.json()["code"]) == (422, code), reply.text


def test_a_client_that_goes_away_cancels_its_task(api: Any) -> None:
    body = json.dumps({"url": api.url("/held/short.ogg"), "managed_task_id": "mine-5"}).encode()
    head = (
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with api.neighbour.holding():
        port = int(api.server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head.encode() + body)
            deadline = time.monotonic() + PATIENCE_S
            while api.client.get("/status/mine-5").json() != {"status": "processing"}:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        assert until_ended(api, "mine-5") == {"status": "cancelled"}


def test_the_webhook_of_a_failed_and_of_a_cancelled_task_comes_too(api: Any) -> None:
    body = {"url": api.url("/missing.mp3"), "is_async": True, "managed_task_id": "mine-7"}
    assert api.client.post("/", json={**body, "webhook": {"url": api.url("/hook-7")}}).status_code == 200
    event = json.loads(api.neighbour.told("/hook-7").body)
    assert (set(event), event["status"], event["task_id"]) == ({"error", "status", "task_id"}, "error", "mine-7")
    with api.neighbour.holding():
        body = {"url": api.url("/held/short.ogg"), "is_async": True, "managed_task_id": "mine-8"}
        assert api.client.post("/", json={**body, "webhook": {"url": api.url("/hook-8")}}).status_code == 200
        api.client.delete("/cancel/mine-8")
        assert json.loads(api.neighbour.told("/hook-8").body)["task_id"] == "mine-8"


def test_a_call_that_waits_tells_its_webhook_too(api: Any) -> None:
    reply = api.client.post("/", json={"url": api.url(), "webhook": {"url": api.url("/hook-9")}})
    event = json.loads(api.neighbour.told("/hook-9").body)
    assert event == {**reply.json(), "status": "completed"}


def test_a_call_that_waits_does_not_wait_for_tasks_that_nobody_waits_for(api: Any) -> None:
    with api.neighbour.holding():
        tasks = [api.submit("/held/short.ogg") for _ in range(20)]
        api.until(lambda: api.client.get("/async_queue_status").json()["num_in_progress_requests"] >= 2, "none began")
        assert api.client.get("/async_queue_status").json()["num_queued_requests"] > 2, "all of them run: submit more"
        assert api.client.post("/", json={"url": api.url()}).status_code == 200
        assert api.client.post("/predict", json={"url": api.url()}).status_code == 200
        for task_id in tasks:
            api.client.delete(f"/tasks/{task_id}")


def test_somebody_else_cancels_a_task_that_is_waited_for(api: Any) -> None:
    with api.neighbour.holding(), ThreadPoolExecutor(1) as pool:
        body = {"url": api.url("/held/short.ogg"), "managed_task_id": "mine-6"}
        waiting = pool.submit(api.client.post, "/", json=body)
        deadline = time.monotonic() + PATIENCE_S
        while api.client.delete("/cancel/mine-6").status_code == 404:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        reply = waiting.result(PATIENCE_S)
    assert (reply.status_code, reply.json()["code"]) == (409, "task_cancelled")
