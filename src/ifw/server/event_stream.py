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
from ifw.server.task_replies import failure_reply, progress_reply
from ifw.server.task_watch import POLL_S, changes_of
from ifw.service.service import Service
from ifw.tasks import Task

KEEP_ALIVE_S: Final = 15.0
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
    state: tuple[Any, ...] = ()
    version, progress = -1, None
    last_sent = time.monotonic()
    async with changes_of(service.tasks, task.id) as changes:
        while True:
            frames: list[bytes] = []
            if task.version != version:
                version = task.version
                while events := await to_thread.run_sync(service.tasks.events, task.id, after):
                    frames += [frame(event, str(event.get("type", "message")), str(number)) for number, event in events]
                    after = events[-1][0]
                if (task.state, task.stage) != state:
                    state = (task.state, task.stage)
                    frames.append(frame({"type": "state", "state": task.state, "stage": task.stage}, "state"))
                if task.progress != progress:
                    progress = task.progress
                    stages = {name: one.model_dump() for name, one in progress_reply(task).items()}
                    frames.append(frame({"type": "progress", "stages": stages}, "progress"))
            if task.has_ended:
                frames.append(_done(task))
            if frames or time.monotonic() - last_sent >= keep_alive_s:
                last_sent = time.monotonic()
                yield b"".join(frames) or b": keep-alive\n\n"
            if task.has_ended or service.is_draining:
                return
            await changes.wait(min(POLL_S, keep_alive_s))
            try:
                task = await to_thread.run_sync(service.tasks.get, task.id)
            except TaskNotFoundError:
                return


def frame(event: Mapping[str, Any], name: str, event_id: str | None = None) -> bytes:
    """One event; JSON has no line breaks, so that its data is one line."""
    id_line = "" if event_id is None else f"id: {event_id}\n"
    return f"event: {name}\n{id_line}data: {json.dumps(event, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


def _done(task: Task) -> bytes:
    failure = failure_reply(task)
    error = None if failure is None else failure.model_dump()
    return frame({"type": "done", "state": task.state, "error": error}, "done", LAST_ID)
