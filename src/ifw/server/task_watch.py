"""Waiting for what becomes of a task, without a thread for each who waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from anyio import to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from ifw.errors import TaskEndedError, TaskNotFoundError
from ifw.server.waiting import gone
from ifw.service.service import Service
from ifw.tasks import Task, Tasks

POLL_S: Final = 0.5
"""How soon a change is seen that another process made; those of this process are seen at once, and only they are
looked for where no other process can make any."""


class Changes:
    """Says when it is worth to look at a task again. Made by `changes_of`."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def note(self) -> None:
        """Something has changed. Only to be called in the event loop."""
        self._changed.set()

    async def wait(self, timeout_s: float | None) -> bool:
        """Return as soon as something has changed since the last call, or after some time; whether it has."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        is_changed = self._changed.is_set()
        self._changed.clear()
        return is_changed


@asynccontextmanager
async def changes_of(tasks: Tasks, task_id: str) -> AsyncIterator[Changes]:
    """Watch a task while the block lasts."""
    changes, loop = Changes(), asyncio.get_running_loop()

    def wake() -> None:
        loop.call_soon_threadsafe(changes.note)

    stop = tasks.listen(task_id, wake)
    try:
        yield changes
    finally:
        stop()


async def ended(request: Request, service: Service, task_id: str) -> Task:
    """Wait until a task has ended. Where the client goes away, the task is cancelled.

    Args:
        request: Its body must have been read.
        service: Has the task.
        task_id: Which one.

    Raises:
        ClientDisconnect: The client has gone away.
        TaskNotFoundError: It was removed meanwhile.
    """
    watch = asyncio.ensure_future(gone(request))
    try:
        async with changes_of(service.tasks, task_id) as changes:
            watch.add_done_callback(lambda done: changes.note())
            while not (task := await to_thread.run_sync(service.tasks.get, task_id)).has_ended:
                if watch.done():
                    await to_thread.run_sync(_cancel, service.tasks, task_id)
                    raise ClientDisconnect
                await changes.wait(POLL_S if service.tasks.is_shared else None)
            return task
    finally:
        watch.cancel()


def _cancel(tasks: Tasks, task_id: str) -> None:
    with contextlib.suppress(TaskEndedError, TaskNotFoundError):
        tasks.cancel(task_id)
