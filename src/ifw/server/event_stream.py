"""What happens to a task, as server-sent events.

Source: HTML Living Standard, section 9.2 (the format; 204 tells a browser not to connect again).
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from anyio import to_thread

from ifw.errors import TaskNotFoundError
from ifw.server.running_items import KEEP_ALIVE_S
from ifw.server.task_replies import failure_reply, progress_reply
from ifw.server.task_watch import POLL_S, changes_of
from ifw.service.segment_event import SEGMENT
from ifw.service.service import Service
from ifw.tasks import Task

BATCH: Final = 1000
LAST_ID: Final = "end"
"""The id of the last event of every stream."""


async def task_events(
    service: Service, task: Task, after: int, *, keep_alive_s: float = KEEP_ALIVE_S
) -> AsyncIterator[bytes]:
    """Write what happens until the task has ended, its worker being in this process or elsewhere.

    Events that stages emit (`segment`) come once and in order, each with its number as id; `progress` and `state` say
    how it stands when that changes, and have none; `done` is the last. A stream that ends without it, because the
    server does, may be continued with the id of its last event.

    Args:
        service: Has the task.
        task: As it stands.
        after: Number of the last event that the client has; -1 for none.
        keep_alive_s: A comment is sent after so much silence.
    """
    shown, last_sent, last_read = _Shown(after), time.monotonic(), 0.0
    async with changes_of(service.tasks, task.id) as changes:
        may_differ = True  # it may have changed before anybody listened
        while True:
            try:
                if may_differ or time.monotonic() - last_read >= keep_alive_s:
                    task, last_read = await to_thread.run_sync(service.tasks.get, task.id), time.monotonic()
                async for frames in shown.news(service, task):
                    last_sent = time.monotonic()
                    yield frames
            except TaskNotFoundError:
                return
            if task.has_ended or service.is_draining:
                return
            if time.monotonic() - last_sent >= keep_alive_s:
                last_sent = time.monotonic()
                yield b": keep-alive\n\n"
            may_differ = await changes.wait(min(POLL_S, keep_alive_s)) or service.tasks.is_shared


class _Shown:
    """What the client of a stream knows.

    Args:
        after: Number of the last event that it has.
    """

    def __init__(self, after: int) -> None:
        self._after = after
        self._version = -1
        self._state: tuple[Any, ...] = ()
        self._progress: Any = None

    async def news(self, service: Service, task: Task) -> AsyncIterator[bytes]:
        """What it does not know yet, some thousand events at a time."""
        if task.version != self._version:
            self._version, is_more = task.version, True
            while is_more:
                events = await to_thread.run_sync(service.tasks.event_texts, task.id, self._after, BATCH)
                is_more = len(events) == BATCH
                if events:
                    self._after = events[-1][0]
                    yield b"".join(_frame_of(text, SEGMENT, str(number)) for number, text in events)
            if changes := self._changes(task):
                yield changes
        if task.has_ended:
            yield _done(task)

    def _changes(self, task: Task) -> bytes:
        frames = b""
        if (task.state, task.stage) != self._state:
            self._state = (task.state, task.stage)
            frames += frame({"type": "state", "state": task.state, "stage": task.stage}, "state")
        if task.progress != self._progress:
            self._progress = task.progress
            stages = {name: one.model_dump() for name, one in progress_reply(task).items()}
            frames += frame({"type": "progress", "stages": stages}, "progress")
        return frames


def frame(event: Mapping[str, Any], name: str, event_id: str | None = None) -> bytes:
    """One event; JSON has no line breaks, so that its data is one line."""
    return _frame_of(json.dumps(event, ensure_ascii=False), name, event_id)


def _frame_of(text: str, name: str, event_id: str | None) -> bytes:
    id_line = "" if event_id is None else f"id: {event_id}\n"
    return f"event: {name}\n{id_line}data: {text}\n\n".encode("utf-8", "replace")


def _done(task: Task) -> bytes:
    failure = failure_reply(task)
    error = None if failure is None else failure.model_dump()
    return frame({"type": "done", "state": task.state, "error": error}, "done", LAST_ID)
