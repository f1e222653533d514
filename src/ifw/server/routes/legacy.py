"""The routes of the predecessor: same bodies, same replies. Its `GET /tasks` is that of the native tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response

from ifw.errors import TaskCancelledError, TaskEndedError
from ifw.server.dependencies import ServiceOf
from ifw.server.json_route import JsonRoute
from ifw.server.schemas.legacy import (
    LegacyAcceptedReply,
    LegacyBody,
    LegacyCompletedReply,
    LegacyStatusReply,
)
from ifw.server.schemas.openapi import errors
from ifw.server.schemas.predict import PredictBody
from ifw.server.submission import check_reachable, checked_webhook, submitted
from ifw.server.task_replies import failure_of
from ifw.server.task_watch import ended
from ifw.server.transcripts import json_bytes, legacy_output
from ifw.service.payload import Dialect, Source, make_payload
from ifw.service.service import Service
from ifw.service.sync_work import SYNC_PRIORITY
from ifw.tasks import Task, TaskRequest, Webhook

router = APIRouter(tags=["legacy"], route_class=JsonRoute, strict_content_type=False)

TaskId = Annotated[str, Path(max_length=128, description="Of the task.")]


@router.post(
    "/",
    summary="Transcribe (predecessor)",
    response_model=LegacyCompletedReply | LegacyAcceptedReply,
    responses=errors(400, 408, 409, 415, 424, 429),
)
async def transcribe(request: Request, service: ServiceOf, body: LegacyBody) -> Any:
    """Reply with the result, or with `is_async` at once. A client that goes away while it waits cancels its task."""
    webhook = None
    if body.webhook is not None:
        webhook = checked_webhook(service, body.webhook.url, body.webhook.header)
    what = task_request(service, body, "legacy", 0 if body.is_async else SYNC_PRIORITY, webhook)
    task, _ = await submitted(service, what, task_id=body.managed_task_id)
    if body.is_async:
        return LegacyAcceptedReply(task_id=task.id)
    return await completed(
        request, service, task.id, lambda output: {"output": output, "status": "completed", "task_id": task.id}
    )


@router.get(
    "/status/{task_id}",
    summary="Look at a task (predecessor)",
    response_model=LegacyStatusReply,
    responses=errors(404),
)
async def status(service: ServiceOf, task_id: TaskId) -> Response:
    """`processing`, `completed` with the result, `error` with the reason, or `cancelled`."""
    return _reply(await to_thread.run_sync(_status, service, task_id))


@router.delete(
    "/cancel/{task_id}",
    summary="Cancel a task (predecessor)",
    response_model=LegacyStatusReply,
    responses=errors(404),
)
async def cancel(service: ServiceOf, task_id: TaskId) -> Response:
    """The work on it stops. A task that has ended stays as it is, and the reply says how."""

    def end() -> bytes:
        try:
            service.tasks.cancel(task_id)
        except TaskEndedError:
            return _status(service, task_id)
        return json_bytes({"status": "cancelled"})

    return _reply(await to_thread.run_sync(end))


def task_request(
    service: Service, body: PredictBody, dialect: Dialect, priority: int, webhook: Webhook | None
) -> TaskRequest:
    """What a client of the predecessor asks for.

    Raises:
        IfwError: Something in it is not allowed.
    """
    check_reachable(service, body.url)
    return TaskRequest(make_payload(Source(url=body.url), body.options(), dialect=dialect), priority, None, webhook)


async def completed(
    request: Request, service: Service, task_id: str, body_of: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> Response:
    """Wait for a task and reply with its result.

    Args:
        request: Where its client goes away, the task is cancelled.
        service: Has the task.
        task_id: Which one.
        body_of: What to reply, from the result as clients of the predecessor read it.

    Raises:
        IfwError: What the task failed with.
        TaskCancelledError: Somebody cancelled it.
        ClientDisconnect: The client has gone away.
    """
    task = await ended(request, service, task_id)
    if task.state == "failed":
        raise failure_of(task)
    if task.state == "cancelled":
        raise TaskCancelledError(f"task {task_id!r} was cancelled while it was waited for")
    return _reply(await to_thread.run_sync(lambda: json_bytes(body_of(_output(service, task)))))


def _reply(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _output(service: Service, task: Task) -> dict[str, Any]:
    return legacy_output(task, service.tasks.result(task.id))


def _status(service: Service, task_id: str) -> bytes:
    task = service.tasks.get(task_id)
    if task.state == "succeeded":
        return json_bytes({"status": "completed", "output": _output(service, task)})
    if task.state == "failed" and task.error is not None:
        return json_bytes({"status": "error", "error": task.error.message, "code": task.error.code})
    return json_bytes({"status": "cancelled" if task.state == "cancelled" else "processing"})
