"""The native task routes, over real HTTP against a real server."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from neighbour import SAMPLE, SHORT


def test_a_url_becomes_a_transcript(api: Any) -> None:
    reply = api.client.post("/tasks", json={"url": api.url() + "?token=secret", "language": "English", "priority": 3})
    assert reply.status_code == 202
    task = reply.json()
    assert reply.headers["location"] == task["links"]["self"] == f"/tasks/{task['id']}"
    ended = api.ended(task["id"])
    assert ended["state"] == "succeeded"
    assert ended["source"] == {"url": api.url(), "name": None, "n_bytes": None, "sha256": None}
    assert ended["options"] == {"language": "English"}
    assert ended["priority"] == 3
    assert ended["error"] is None
    assert ended["created_at"] <= ended["started_at"] <= ended["ended_at"] < ended["expires_at"]
    assert ended["progress"]["transcribe"]["done"] > 1
    assert [ended["progress"][stage]["unit"] for stage in ("fetch", "transcribe")] == ["bytes", "seconds"]
    assert ended["timings"]["transcribe"] > 0
    assert "secret" not in json.dumps(ended)


def test_every_format(api: Any) -> None:
    task_id = api.submit(word_timestamps=True)
    api.ended(task_id)

    def take(**query: Any) -> Any:
        reply = api.client.get(f"/tasks/{task_id}/transcript", params=query)
        assert reply.status_code == 200, reply.text
        return reply

    whole = take().json()
    assert whole["text"]
    assert whole["segments"][0]["words"]
    assert take(format="txt").text.split() == whole["text"].split()
    assert take(format="srt").text.startswith("1\n00:00:0")
    assert take(format="vtt").text.startswith("WEBVTT\n\n")
    assert take(format="tsv").text.startswith("start\tend\ttext")
    verbose = take(format="verbose_json").json()
    assert (verbose["task"], verbose["language"], verbose["text"]) == ("transcribe", "english", whole["text"])
    assert [word["word"].strip() for word in verbose["words"]] == whole["text"].split()
    narrow = take(format="srt", max_line_width=12, max_line_count=1).text
    assert narrow.count("-->") > take(format="srt").text.count("-->")
    assert "<u>" in take(format="vtt", highlight_words="true").text
    refused = api.client.get(f"/tasks/{task_id}/transcript", params={"format": "diarized_json"})
    assert (refused.status_code, refused.json()["code"]) == (422, "diarization_unavailable")
    assert api.client.get(f"/tasks/{task_id}/transcript", params={"format": "docx"}).status_code == 422
    assert api.client.get(f"/tasks/{task_id}/transcript", params={"max_line_width": 0}).status_code == 422


def test_an_upload_says_the_same_as_the_url(api: Any) -> None:
    files = {"file": ("../../my talk.ogg", SHORT.read_bytes(), "audio/ogg")}
    data = {"word_timestamps": "true", "temperatures": ["0", "0.4"], "vad[onset]": "0.5"}
    reply = api.client.post("/tasks", files=files, data=data)
    assert reply.status_code == 202, reply.text
    task = api.ended(reply.json()["id"])
    assert task["state"] == "succeeded", task
    digest = hashlib.sha256(SHORT.read_bytes()).hexdigest()
    size = SHORT.stat().st_size
    assert task["source"] == {"url": None, "name": "my talk.ogg", "n_bytes": size, "sha256": digest}
    assert task["options"] == {"word_timestamps": True, "temperatures": [0, 0.4], "vad": {"onset": 0.5}}
    by_url = api.submit(word_timestamps=True)
    api.ended(by_url)
    texts = [api.client.get(f"/tasks/{one}/transcript").json()["text"] for one in (task["id"], by_url)]
    assert texts[0] == texts[1]


def test_a_form_may_name_a_url(api: Any) -> None:
    reply = api.client.post("/tasks", files={"url": (None, api.url())})
    assert reply.status_code == 202, reply.text
    assert api.ended(reply.json()["id"])["state"] == "succeeded"


def test_the_same_key_is_one_task(api: Any) -> None:
    def post(key: str, **more: Any) -> Any:
        return api.client.post("/tasks", json={"url": api.url(), **more}, headers={"Idempotency-Key": key})

    first, again = post("key-1"), post("key-1")
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert post("key-2").json()["id"] != first.json()["id"]
    other = post("key-1", language="de")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


def test_the_same_key_is_one_upload(api: Any) -> None:
    def post(audio: bytes) -> Any:
        return api.client.post("/tasks", files={"file": ("a", audio)}, headers={"Idempotency-Key": "upload-1"})

    first, again = post(SHORT.read_bytes()), post(SHORT.read_bytes())
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    assert api.ended(first.json()["id"])["state"] == "succeeded"
    assert post(SAMPLE.read_bytes()).json()["code"] == "idempotency_mismatch"


def test_uploads_that_become_no_task_leave_nothing_behind(api: Any) -> None:
    def post(audio: bytes, **data: str) -> int:
        headers = {"Idempotency-Key": "upload-2"}
        return int(api.client.post("/tasks", files={"file": ("a", audio)}, data=data, headers=headers).status_code)

    assert post(SHORT.read_bytes()) == 202
    before = set((api.data_dir / "spool").iterdir())
    assert post(SHORT.read_bytes()) == 200
    assert post(b"other") == 422
    assert post(b"") == 422
    assert post(b"other", langauge="en") == 422
    assert post(b"other", url=api.url()) == 422
    assert set((api.data_dir / "spool").iterdir()) <= before  # that of the task goes when it has ended


def test_the_list_serves_old_clients_and_new_ones(api: Any) -> None:
    made = [api.submit() for _ in range(3)]
    for task_id in made:
        api.ended(task_id)
    whole = api.client.get("/tasks").json()
    assert whole["tasks"][:3] == made[::-1]
    assert [item["id"] for item in whole["items"]] == whole["tasks"]
    first = api.client.get("/tasks", params={"limit": 2, "state": "succeeded"}).json()
    second = api.client.get("/tasks", params={"limit": 2, "state": "succeeded", "after": first["next"]}).json()
    assert first["tasks"] == made[:0:-1]
    assert second["tasks"][0] == made[0]
    assert api.client.get("/tasks", params={"after": "x"}).status_code == 422
    assert api.client.get("/tasks", params={"state": "lost"}).status_code == 422


def test_a_task_is_cancelled_and_then_removed(api: Any) -> None:
    with api.neighbour.holding():
        task_id = api.submit("/held/short.ogg")
        path = f"/tasks/{task_id}"
        unfinished = api.client.get(f"{path}/transcript")
        assert (unfinished.status_code, unfinished.json()["code"]) == (409, "task_unfinished")
        early = api.client.delete(path, params={"only": "remove"})
        assert (early.status_code, early.json()["code"]) == (409, "task_unfinished")
        assert api.client.delete(path).json()["state"] == "cancelled"
    late = api.client.delete(path, params={"only": "cancel"})
    assert (late.status_code, late.json()["code"]) == (409, "task_ended")
    assert api.client.get(f"{path}/transcript").status_code == 409
    gone = api.client.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    for one in (path, f"{path}/transcript", f"{path}/events"):
        assert api.client.get(one).json()["code"] == "task_not_found"
    assert api.client.delete(path).status_code == 404


@pytest.mark.parametrize(("path", "code"), [("/missing.mp3", "fetch_status"), ("/text.mp3", "audio_format")])
def test_a_failed_task_says_why(api: Any, path: str, code: str) -> None:
    task_id = api.submit(path)
    task = api.ended(task_id)
    assert (task["state"], task["error"]["code"]) == ("failed", code)
    assert api.client.get(f"/tasks/{task_id}/transcript").json()["code"] == "task_failed"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "request_invalid"),
        ({"url": "ftp://example.com/a"}, "url_invalid"),
        ({"url": "http://10.0.0.1/a"}, "url_forbidden"),
        ({"url": "http://[::1]/a"}, "url_forbidden"),
        ({"url": "https://example.com/a", "langauge": "en"}, "request_invalid"),
        ({"url": "https://example.com/a", "language": "klingon"}, "language_unknown"),
        ({"url": "https://example.com/a", "diarize": True}, "diarization_unavailable"),
        ({"url": "https://example.com/a", "beam_size": 99}, "request_invalid"),
        ({"url": "https://example.com/a", "clip": [[2, 1]]}, "config_invalid"),
        ({"url": "https://example.com/a", "webhook": {"url": "http://192.168.0.1/"}}, "url_forbidden"),
        (
            {"url": "https://example.com/a", "webhook": {"url": "https://a.b/", "headers": {"a b": "c"}}},
            "config_invalid",
        ),
        (
            {"url": "https://example.com/a", "webhook": {"url": "https://a.b/", "headers": {"a": "c\r\nd: e"}}},
            "config_invalid",
        ),
        ({"url": "https://example.com/a", "priority": 5000}, "request_invalid"),
        ([], "request_invalid"),
    ],
)
def test_what_is_not_allowed_is_refused_at_once(api: Any, body: Any, code: str) -> None:
    reply = api.client.post("/tasks", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, code), reply.text


def test_bodies_that_are_none(api: Any) -> None:
    def post(content: bytes, kind: str) -> tuple[int, str]:
        reply = api.client.post("/tasks", content=content, headers={"content-type": kind})
        return reply.status_code, reply.json()["code"]

    assert post(b"{", "application/json") == (422, "request_invalid")
    assert post(b"[" * 100_000, "application/json") == (422, "request_invalid")
    assert post(b'{"url": "\\ud800"}', "application/json") == (422, "request_invalid")
    assert post(b"url=x", "application/x-www-form-urlencoded") == (415, "media_type_unsupported")
    assert post(b"x", "") == (415, "media_type_unsupported")
    assert post(b"x", "multipart/form-data") == (422, "request_invalid")
    assert post(b"x", "multipart/form-data; boundary=b") == (422, "request_invalid")
    assert post(b"--b--\r\n", "multipart/form-data; boundary=b") == (422, "request_invalid")
    assert api.client.post("/tasks", files={"file": ("a.mp3", b"")}).json()["code"] == "audio_empty"
    both = api.client.post("/tasks", files={"file": ("a.mp3", b"x")}, data={"url": api.url()})
    assert (both.status_code, both.json()["code"]) == (422, "request_invalid")


@pytest.mark.parametrize("task_id", ["nothing", "a" * 129, "%2e%2e", "%2e%2e%2fetc", "a%00b", "ä", "a b"])
def test_ids_that_are_none(api: Any, task_id: str) -> None:
    for path in (f"/tasks/{task_id}", f"/tasks/{task_id}/transcript", f"/tasks/{task_id}/events", f"/status/{task_id}"):
        assert api.client.get(path).status_code in (404, 422), path


def test_a_webhook_is_told_and_told_again_on_demand(api: Any) -> None:
    headers = {"X-Mine": "secret-1"}
    task_id = api.submit(webhook={"url": api.url("/hook-native?key=secret-2"), "headers": headers})
    first = api.neighbour.told("/hook-native?key=secret-2")
    assert first.headers["x-mine"] == "secret-1"
    event = json.loads(first.body)
    assert event["type"] == "task.succeeded"
    assert event["data"]["id"] == task_id
    assert event["data"]["transcript"]["text"] == api.client.get(f"/tasks/{task_id}/transcript").json()["text"]
    path = f"/tasks/{task_id}"
    api.until(lambda: api.client.get(path).json()["delivery_state"] == "delivered", "it was never noted as delivered")
    task = api.client.get(path).json()
    assert task["webhook"] == api.url("/hook-native")
    assert [one["status"] for one in task["deliveries"]] == [200]
    assert "secret" not in json.dumps(task)
    again = api.client.post(f"{path}/redeliver")
    assert (again.status_code, again.json()["id"]) == (202, task_id)
    second = api.neighbour.told("/hook-native?key=secret-2")
    assert second.body == first.body
    assert second.headers["webhook-id"] == first.headers["webhook-id"]


def test_redelivery_needs_an_end_and_a_webhook(api: Any) -> None:
    with api.neighbour.holding():
        task_id = api.submit("/held/short.ogg", webhook={"url": api.url("/hook-early")})
        early = api.client.post(f"/tasks/{task_id}/redeliver")
        assert (early.status_code, early.json()["code"]) == (409, "task_unfinished")
    bare = api.submit()
    api.ended(bare)
    without = api.client.post(f"/tasks/{bare}/redeliver")
    assert (without.status_code, without.json()["code"]) == (409, "task_without_webhook")
    assert api.client.post("/tasks/nothing/redeliver").status_code == 404
