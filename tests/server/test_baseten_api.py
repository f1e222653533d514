"""What a client of Baseten sends, over real HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest


def test_predict_replies_the_bare_output(api: Any) -> None:
    reply = api.client.post("/predict", json={"url": api.url(), "timestamp": "word", "chunk_length_s": 30})
    assert reply.status_code == 200, reply.text
    assert set(reply.json()) == {"text", "chunks", "speakers"}
    assert len(reply.json()["chunks"]) == len(reply.json()["text"].split())


def test_errors_have_a_status_of_their_own(api: Any) -> None:
    reply = api.client.post("/predict", json={"url": api.url("/text.mp3")})
    assert (reply.status_code, reply.json()["code"]) == (415, "audio_format")
    assert api.client.post("/predict", json={}).status_code == 422


def test_async_predict(api: Any) -> None:
    body = {
        "model_input": {"url": api.url()},
        "webhook_endpoint": api.url("/hook-baseten"),
        "priority": 1,
        "max_time_in_queue_seconds": 100,
        "inference_retry_config": {"max_attempts": 3, "initial_delay_ms": 1000, "max_delay_ms": 5000},
    }
    reply = api.client.post("/async_predict", json=body)
    assert reply.status_code == 201, reply.text
    request_id = reply.json()["request_id"]
    path = f"/async_request/{request_id}"
    assert api.client.get(path).json()["status"] in ("QUEUED", "IN_PROGRESS", "SUCCEEDED")
    assert api.ended(request_id)["state"] == "succeeded"
    status = api.client.get(path).json()
    assert (status["request_id"], status["status"], status["errors"]) == (request_id, "SUCCEEDED", [])
    assert status["webhook_status"] in ("PENDING", "SUCCEEDED")
    event = json.loads(api.neighbour.told("/hook-baseten").body)
    assert (event["request_id"], event["type"]) == (request_id, "async_request_completed")
    assert (set(event["data"]), event["errors"]) == ({"text", "chunks", "speakers"}, [])
    cancel = api.client.delete(path).json()
    assert (cancel["request_id"], cancel["canceled"]) == (request_id, False)
    assert api.client.get(f"/tasks/{request_id}/transcript").json()["text"]


def test_cancel(api: Any) -> None:
    with api.neighbour.holding():
        body = {"model_input": {"url": api.url("/held/short.ogg")}}
        path = f"/async_request/{api.client.post('/async_predict', json=body).json()['request_id']}"
        waiting = api.client.get("/async_queue_status").json()
        assert waiting["num_queued_requests"] + waiting["num_in_progress_requests"] >= 1
        assert api.client.delete(path).json()["canceled"] is True
    status = api.client.get(path).json()
    assert (status["status"], status["webhook_status"]) == ("CANCELED", "NO_WEBHOOK_PROVIDED")
    assert api.client.get("/async_request/nothing").status_code == 404
    assert api.client.delete("/async_request/nothing").status_code == 404


def test_a_failure(api: Any) -> None:
    body = {"model_input": {"url": api.url("/missing.mp3")}}
    request_id = api.client.post("/async_predict", json=body).json()["request_id"]
    api.ended(request_id)
    status = api.client.get(f"/async_request/{request_id}").json()
    assert (status["status"], status["errors"][0]["code"]) == ("FAILED", "fetch_status")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model_input": {}},
        {"model_input": []},
        {"model_input": {"url": "https://example.com/a"}, "priority": 3},
        {"model_input": {"url": "https://example.com/a"}, "max_time_in_queue_seconds": 1},
        {"model_input": {"url": "https://example.com/a"}, "inference_retry_config": {"max_attempts": 11}},
        {"model_input": {"url": "https://example.com/a"}, "webhook_endpoint": "http://127.1:80@10.0.0.1/"},
    ],
)
def test_what_is_not_allowed(api: Any, body: dict[str, Any]) -> None:
    assert api.client.post("/async_predict", json=body).status_code == 422


def test_json_is_read_as_curl_sends_it(api: Any) -> None:
    body = json.dumps({"url": api.url()}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    reply = api.client.post("/predict", content=body, headers=headers)
    assert (reply.status_code, set(reply.json())) == (200, {"text", "chunks", "speakers"}), reply.text
    assert api.client.post("/", content=body, headers=headers).json()["status"] == "completed"
    refused = api.client.post("/predict", content=b"url=x", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")
