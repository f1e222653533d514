"""From a task of the store to what a client is shown of it: no path, no secret part of a URL, no header."""

from __future__ import annotations

from fastapi import Request

from ifw.errors import IfwError
from ifw.fetch import shown_url
from ifw.server.schemas.tasks import (
    DeliveryReply,
    FailureReply,
    LinksReply,
    ProgressReply,
    SourceReply,
    TaskReply,
)
from ifw.service.payload import source_of
from ifw.service.stages import FETCH
from ifw.tasks import Task


def task_reply(request: Request, task: Task) -> TaskReply:
    """The whole of a task."""
    path = task_path(request, task.id)
    return TaskReply(
        id=task.id,
        state=task.state,
        source=_source(task),
        options=dict(task.payload["options"]),
        priority=task.priority,
        created_at=task.created_at,
        started_at=task.started_at,
        ended_at=task.ended_at,
        expires_at=task.expires_at,
        deadline_at=task.deadline_at,
        stage=task.stage,
        progress=progress_reply(task),
        timings=dict(task.timings),
        n_attempts=task.n_attempts,
        error=failure_reply(task),
        webhook=None if task.webhook is None else shown_url(task.webhook.url),
        delivery_state=task.delivery_state,
        deliveries=[
            DeliveryReply(at=one.at, status=one.status, error=one.error, duration_s=one.duration_s)
            for one in task.deliveries
        ],
        links=LinksReply(self=path, transcript=f"{path}/transcript", events=f"{path}/events"),
    )


def task_path(request: Request, task_id: str) -> str:
    """Where a task is found, as seen by the client."""
    return f"{request.scope.get('root_path', '')}/tasks/{task_id}"


def progress_reply(task: Task) -> dict[str, ProgressReply]:
    """How far each stage is."""
    return {
        name: ProgressReply(done=one.done_s, total=one.total_s, unit="bytes" if name == FETCH else "seconds")
        for name, one in task.progress.items()
    }


def failure_reply(task: Task) -> FailureReply | None:
    """Why a task failed; None where it did not."""
    return None if task.error is None else FailureReply(code=task.error.code, message=task.error.message)


def failure_of(task: Task) -> IfwError:
    """The error that a task failed with, to be raised where somebody waits for the task."""
    assert task.error is not None
    error = IfwError(task.error.message)
    error.code = task.error.code
    return error


def _source(task: Task) -> SourceReply:
    source = source_of(task.payload)
    url = None if source.url is None else shown_url(source.url)
    return SourceReply(url=url, name=source.name, n_bytes=source.n_bytes, sha256=source.sha256)
