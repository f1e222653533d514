"""The bodies of webhooks, for each family of clients and each way a task ends."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from ifw.formats import from_json, to_json
from ifw.formats.legacy import to_legacy_dict
from ifw.server.schemas.legacy import LegacyOutput
from ifw.service import webhook_bodies
from ifw.service.payload import Source, make_payload
from ifw.service.webhook_bodies import EventBodies
from ifw.tasks import Task, TaskFailure
from ifw.types import Segment, Transcript, Word

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
WORDS = (Word("Good", 0.0, 0.5, 0.9), Word(" day.", 0.5, 1.0, 0.9))
SEGMENT = Segment(0, 0.0, 1.0, "Good day.", (1, 2), "en", 0.0, -0.1, 1.0, 0.0, words=WORDS)
RESULT = to_json(Transcript("Good day.", (SEGMENT,), "en", 1.0, 1.0, "transcribe", "demo"))
FAILED = TaskFailure("audio_format", "talk.mp3 is no audio")
URL = "https://me:pass@a.example/talk.mp3?sig=secret"


def task(state: str, dialect: str = "native", error: TaskFailure | None = None, **options: object) -> Task:
    times = {"created_at": AT, "started_at": AT, "ended_at": AT + timedelta(seconds=1), "expires_at": AT}
    payload = make_payload(Source(url=URL), options, dialect=dialect)
    rest = dict.fromkeys(("deadline_at", "stage", "webhook"))
    return Task(
        id="t1",
        state=state,
        payload=payload,
        priority=0,
        version=1,
        progress={},
        timings={},
        error=error,
        n_attempts=1,
        delivery_state="pending",
        deliveries=(),
        **times,
        **rest,
    )


def body(ended: Task, result: str = RESULT) -> dict:
    def result_of(task_id: str) -> str:
        assert (task_id, ended.state) == ("t1", "succeeded")
        return result

    return json.loads(EventBodies(result_of, "demo")(ended))


def test_a_native_event_has_type_timestamp_and_data():
    event = body(task("succeeded"))
    assert (event["type"], event["timestamp"]) == ("task.succeeded", "2026-01-02T03:04:06Z")
    assert event["data"]["id"] == "t1"
    assert event["data"]["transcript"] == json.loads(RESULT)
    assert event["data"]["error"] is None
    assert event["data"]["source"]["url"] == "https://a.example/talk.mp3"
    assert "secret" not in json.dumps(event)
    assert "pass" not in json.dumps(event)


@pytest.mark.parametrize(("state", "error"), [("failed", FAILED), ("cancelled", None)])
def test_a_native_event_of_a_task_without_result(state: str, error: TaskFailure | None):
    event = body(task(state, error=error))
    assert event["type"] == f"task.{state}"
    assert event["data"]["transcript"] is None
    assert event["data"]["error"] == (error and {"code": error.code, "message": error.message})


def test_a_very_long_transcript_is_left_out_and_that_is_said(monkeypatch):
    monkeypatch.setattr(webhook_bodies, "MAX_TRANSCRIPT_BYTES", len(RESULT) - 1)
    data = body(task("succeeded"))["data"]
    assert (data["transcript"], data["is_transcript_left_out"]) == (None, True)
    monkeypatch.setattr(webhook_bodies, "MAX_TRANSCRIPT_BYTES", len(RESULT))
    assert body(task("succeeded"))["data"]["is_transcript_left_out"] is False


@pytest.mark.parametrize("words", [False, True])
def test_a_legacy_body_is_that_of_the_predecessor(words: bool):
    output = to_legacy_dict(from_json(RESULT), words=words)
    assert body(task("succeeded", "legacy", word_timestamps=words)) == {
        "output": output,
        "status": "completed",
        "task_id": "t1",
    }
    assert len(output["chunks"]) == (2 if words else 1)


def test_a_legacy_body_of_a_task_without_result():
    assert body(task("failed", "legacy", FAILED)) == {
        "error": "talk.mp3 is no audio",
        "status": "error",
        "task_id": "t1",
    }
    assert body(task("cancelled", "legacy"))["error"] == "the task was cancelled"


def test_a_baseten_body():
    event = body(task("succeeded", "baseten"))
    assert (event["request_id"], event["type"], event["errors"]) == ("t1", "async_request_completed", [])
    assert event["data"] == to_legacy_dict(from_json(RESULT))
    event = body(task("failed", "baseten", FAILED))
    assert event["data"] is None
    assert event["errors"] == [{"code": "audio_format", "message": "talk.mp3 is no audio"}]


def test_the_same_task_gives_the_same_bytes():
    bodies = EventBodies(lambda task_id: RESULT, "demo")
    ended = task("succeeded")
    assert bodies(ended) == bodies(replace(ended))


def test_the_document_knows_all_of_the_legacy_output():
    spoken = replace(SEGMENT, speaker="SPEAKER_00")
    output = to_legacy_dict(Transcript("Good day.", (spoken,), "en", 1.0, 1.0, "transcribe", "demo"), words=True)
    assert len(output["speakers"]) == 2
    LegacyOutput.model_validate(output)  # refuses what it does not know
