"""Following a task: server-sent events over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event as it came."""

    name: str
    id: str | None
    data: dict[str, Any]


def follow(api: Any, task_id: str, last_id: str | None = None) -> Iterator[Event]:
    """Events until the server ends the stream."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id.encode("latin-1")}
    with api.client.stream("GET", f"/tasks/{task_id}/events", headers=headers) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in reply.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                yield Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
                fields = {}


def test_a_task_is_followed_from_its_start_to_its_end(api: Any) -> None:
    with api.neighbour.holding():
        task_id = api.submit("/held/sample.mp3")
        stream = follow(api, task_id)
        first = next(stream)
        assert (first.name, first.data["state"]) in [("state", "queued"), ("state", "running")]
        # nobody hears a word of it yet
    events = [first, *stream]
    segments = [event for event in events if event.name == "segment"]
    assert [int(event.id or "") for event in segments] == list(range(len(segments)))
    transcript = api.client.get(f"/tasks/{task_id}/transcript").json()
    assert [event.data["text"] for event in segments] == [segment["text"] for segment in transcript["segments"]]
    assert [event.data["start_s"] for event in segments] == [one["start_s"] for one in transcript["segments"]]
    progress = [event.data["stages"]["transcribe"] for event in events if "transcribe" in event.data.get("stages", {})]
    assert [one["done"] for one in progress] == sorted(one["done"] for one in progress)
    assert progress[-1]["done"] == progress[-1]["total"]
    assert events[-1] == Event("done", "end", {"type": "done", "state": "succeeded", "error": None})
    assert [event.name for event in events].count("done") == 1


def test_a_stream_goes_on_where_it_broke(api: Any) -> None:
    task_id = api.submit("/sample.mp3")
    api.ended(task_id)
    whole = [event for event in follow(api, task_id) if event.name == "segment"]
    assert len(whole) > 2
    rest = list(follow(api, task_id, whole[1].id))
    assert [event for event in rest if event.name == "segment"] == whole[2:]
    assert rest[-1].name == "done"
    after_all = list(follow(api, task_id, whole[-1].id))
    assert [event.name for event in after_all if event.name == "segment"] == []
    assert after_all[-1].name == "done"


def test_a_browser_that_has_everything_is_told_not_to_come_back(api: Any) -> None:
    task_id = api.submit()
    api.ended(task_id)
    reply = api.client.get(f"/tasks/{task_id}/events", headers={"Last-Event-ID": "end"})
    assert (reply.status_code, reply.content) == (204, b"")


def test_ids_that_no_stream_gave_start_over(api: Any) -> None:
    task_id = api.submit()
    api.ended(task_id)
    whole = list(follow(api, task_id))
    for last_id in ("x", "-1", "1.5", "\xb2"):
        assert list(follow(api, task_id, last_id)) == whole
    assert [event.name for event in follow(api, task_id, "9" * 60)][-1] == "done"


def test_the_end_of_a_cancelled_and_of_a_failed_task(api: Any) -> None:
    with api.neighbour.holding():
        task_id = api.submit("/held/short.ogg")
        stream = follow(api, task_id)
        next(stream)
        api.client.delete(f"/tasks/{task_id}")
        assert list(stream)[-1].data == {"type": "done", "state": "cancelled", "error": None}
    failed = list(follow(api, api.submit("/missing.mp3")))[-1]
    assert (failed.data["state"], failed.data["error"]["code"]) == ("failed", "fetch_status")


def test_two_follow_the_same_task(api: Any) -> None:
    with api.neighbour.holding():
        task_id = api.submit("/held/short.ogg")
        streams = [follow(api, task_id) for _ in range(2)]
        heads = [next(stream) for stream in streams]
        assert {head.name for head in heads} == {"state"}
    texts = [[event.data["text"] for event in stream if event.name == "segment"] for stream in streams]
    assert texts[0] == texts[1] != []
