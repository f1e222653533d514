"""Speakers on every route: who asks for them in which words, and where they are in the replies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from neighbour import SHORT

SAID = "Julia drinks coffee every morning."


def task_of(api: Any, **options: Any) -> tuple[str, dict[str, Any]]:
    task_id = api.submit(diarize=True, **options)
    task = api.ended(task_id)
    assert task["state"] == "succeeded", task
    return task_id, task


def test_a_task_has_speakers_in_every_format_and_on_the_way(diarizing: Any) -> None:
    task_id, task = task_of(diarizing, num_speakers=1)
    client = diarizing.client
    assert task["options"] == {"diarize": True, "num_speakers": 1}
    assert task["progress"]["diarize"] == task["progress"]["transcribe"]
    assert task["timings"]["transcribe.diarize"] > 0
    whole = client.get(f"/tasks/{task_id}/transcript").json()
    (segment,) = whole["segments"]
    assert (segment["speaker"], segment["text"], segment["words"]) == ("SPEAKER_00", SAID, None)
    assert {turn["speaker"] for turn in whole["turns"]} == {"SPEAKER_00"} == set(whole["speaker_embeddings"])
    written = client.get(f"/tasks/{task_id}/transcript", params={"format": "diarized_json"}).json()
    assert written["text"] == f"A: {SAID}"
    assert [(one["type"], one["id"], one["speaker"]) for one in written["segments"]] == [
        ("transcript.text.segment", "seg_001", "A")
    ]
    for name in ("txt", "srt"):
        assert "[SPEAKER_00]: " in client.get(f"/tasks/{task_id}/transcript", params={"format": name}).text
    assert "<v SPEAKER_00>" in client.get(f"/tasks/{task_id}/transcript", params={"format": "vtt"}).text
    events = client.get(f"/tasks/{task_id}/events").text
    (told,) = [json.loads(line[6:]) for line in events.splitlines() if line.startswith('data: {"type":"segment"')]
    assert told["speaker"] == "SPEAKER_00"
    assert diarizing.server.metric("ifw_stage_seconds_count") >= 4
    assert 'ifw_stage_seconds_count{stage="diarize"}' in client.get("/metrics").text


def test_words_have_speakers_where_they_are_asked_for(diarizing: Any) -> None:
    task_id, _ = task_of(diarizing, word_timestamps=True)
    (segment,) = diarizing.client.get(f"/tasks/{task_id}/transcript").json()["segments"]
    assert {word["speaker"] for word in segment["words"]} == {segment["speaker"]} == {"SPEAKER_00"}


def test_an_upload_has_speakers_too(diarizing: Any) -> None:
    data = {"diarize": "true", "min_speakers": "1", "max_speakers": "2"}
    reply = diarizing.client.post("/tasks", files={"file": SHORT.read_bytes()}, data=data)
    assert reply.json()["options"] == {"diarize": True, "min_speakers": 1, "max_speakers": 2}
    assert diarizing.ended(reply.json()["id"])["state"] == "succeeded"
    assert diarizing.client.get(f"/tasks/{reply.json()['id']}/transcript").json()["turns"]


@pytest.mark.parametrize(
    ("options", "code", "part"),
    [
        ({"diarize": True, "num_speakers": 0}, "request_invalid", "num_speakers"),
        ({"diarize": True, "max_speakers": 101}, "request_invalid", "max_speakers"),
        ({"diarize": True, "num_speakers": "two"}, "request_invalid", "num_speakers"),
        ({"diarize": True, "num_speakers": 2, "min_speakers": 1}, "config_invalid", "num_speakers"),
        ({"diarize": True, "min_speakers": 3, "max_speakers": 2}, "config_invalid", "min_speakers"),
        ({"diarize": True, "channels": "split"}, "config_invalid", "channels"),
        ({"num_speakers": 2}, "config_invalid", "beside diarize true"),
    ],
)
def test_numbers_that_are_not_allowed(diarizing: Any, options: dict[str, Any], code: str, part: str) -> None:
    reply = diarizing.client.post("/tasks", json={"url": "https://example.com/a", **options})
    assert (reply.status_code, reply.json()["code"]) == (422, code)
    assert part in reply.json()["detail"]


def test_clients_of_the_predecessor_get_speakers(diarizing: Any) -> None:
    body = {"url": diarizing.url(), "diarise_audio": True}
    (chunk,) = diarizing.client.post("/", json=body).json()["output"]["speakers"]
    assert list(chunk) == ["speaker", "timestamp", "text"]
    assert (chunk["speaker"], chunk["text"]) == ("SPEAKER_00", f" {SAID}")
    words = diarizing.client.post("/predict", json={**body, "timestamp": "word", "num_speakers": 1}).json()["speakers"]
    assert "".join(word["text"] for word in words) == f" {SAID}"
    assert {word["speaker"] for word in words} == {"SPEAKER_00"}
    assert diarizing.client.post("/predict", json={"url": diarizing.url()}).json()["speakers"] == []
    assert diarizing.client.post("/predict", json={**body, "num_speakers": 0}).status_code == 422
    crossed = {"min_speakers": 3, "max_speakers": 2}
    assert diarizing.client.post("/predict", json={**body, **crossed}).json()["code"] == "config_invalid"
    assert diarizing.client.post("/predict", json={"url": diarizing.url(), **crossed}).status_code == 200


def test_webhooks_have_speakers(diarizing: Any) -> None:
    body = {"url": diarizing.url(), "diarise_audio": True, "is_async": True, "managed_task_id": "speakers-1"}
    webhook = {"url": f"{diarizing.neighbour.url}/speakers"}
    assert diarizing.client.post("/", json={**body, "webhook": webhook}).json()["status"] == "processing"
    told = json.loads(diarizing.neighbour.told("/speakers").body)
    assert [one["speaker"] for one in told["output"]["speakers"]] == ["SPEAKER_00"]


def test_clients_of_whisper_asr_webservice_get_speakers(diarizing: Any) -> None:
    def ask(**query: Any) -> Any:
        return diarizing.client.post("/asr", params=query, files={"audio_file": SHORT.read_bytes()})

    assert ask(diarize="true", max_speakers=2).text.startswith("[SPEAKER_00]: ")
    (segment,) = ask(diarize="true", output="json").json()["segments"]
    assert segment["speaker"] == "SPEAKER_00"
    assert ask(min_speakers=2, output="txt").text == f"{SAID}\n", "numbers count beside diarize only, as there"
    assert ask(diarize="true", min_speakers=2, max_speakers=1).json()["code"] == "config_invalid"
    assert ask(diarize="true", num_speakers=101).json()["code"] == "request_invalid"


def test_silence_has_nobody(diarizing: Any, tmp_path: Path) -> None:
    files = {"audio_file": b"\0" * 64_000}
    reply = diarizing.client.post("/asr", params={"diarize": "true", "encode": "false", "output": "json"}, files=files)
    assert (reply.status_code, reply.json()["segments"]) == (200, [])


def test_the_same_request_is_one_task_and_another_number_another_request(diarizing: Any) -> None:
    def ask(**options: Any) -> Any:
        body = {"url": diarizing.url(), "diarize": True, **options}
        return diarizing.client.post("/tasks", json=body, headers={"Idempotency-Key": "who"})

    first, again, other = ask(num_speakers=1), ask(num_speakers=1), ask(num_speakers=2)
    assert (first.status_code, again.status_code, other.status_code) == (202, 200, 422)
    assert first.json()["id"] == again.json()["id"]
