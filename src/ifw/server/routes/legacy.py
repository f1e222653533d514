"""The routes of the predecessor: same bodies, same replies. Its `GET /tasks` is that of the native tasks."""

from __future__ import annotations

from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response

from ifw.errors import TaskCancelledError, TaskEndedError
from ifw.server.dependencies import ServiceOf
from ifw.server.json_route import JsonRoute
from ifw.server.schemas.legacy import (
    LegacyAcceptedReply,
    LegacyBody,
    LegacyCompletedReply,
    LegacyOutput,
    LegacyStatusReply,
    PredictBody,
)
from ifw.server.schemas.openapi import errors
from ifw.server.submission import check_reachable, checked_webhook, submitted
from ifw.server.task_replies import failure_of
from ifw.server.task_watch import ended
from ifw.server.transcripts import legacy_output
from ifw.service.payload import Dialect, Source, make_payload
from ifw.service.service import LIVE_PRIORITY, Service
from ifw.tasks import Task, TaskRequest, Webhook

router = APIRouter(tags=["legacy"], route_class=JsonRoute, strict_content_type=False)

CLIENT_LEFT: Final = 499  # nobody reads it; as nginx logs it

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
        webhook = checked_webhook(service, body.webhook.url, body.webhook.header, "legacy")
    what = task_request(service, body, "legacy", 0 if body.is_async else LIVE_PRIORITY, webhook)
    task, _ = await submitted(service, what, task_id=body.managed_task_id)
    if body.is_async:
        return LegacyAcceptedReply(task_id=task.id)
    output = await output_of(request, service, task.id)
    return Response(status_code=CLIENT_LEFT) if output is None else LegacyCompletedReply(output=output, task_id=task.id)


@router.get(
    "/status/{task_id}",
    summary="Look at a task (predecessor)",
    responses=errors(404),
    response_model_exclude_none=True,
)
async def status(service: ServiceOf, task_id: TaskId) -> LegacyStatusReply:
    """`processing`, `completed` with the result, `error` with the reason, or `cancelled`."""
    return await to_thread.run_sync(_status, service, task_id)


@router.delete(
    "/cancel/{task_id}",
    summary="Cancel a task (predecessor)",
    responses=errors(404),
    response_model_exclude_none=True,
)
async def cancel(service: ServiceOf, task_id: TaskId) -> LegacyStatusReply:
    """The work on it stops. A task that has ended stays as it is, and the reply says how."""

    def end() -> LegacyStatusReply:
        try:
            service.tasks.cancel(task_id)
        except TaskEndedError:
            return _status(service, task_id)
        return LegacyStatusReply(status="cancelled")

    return await to_thread.run_sync(end)


def task_request(
    service: Service, body: PredictBody, dialect: Dialect, priority: int, webhook: Webhook | None
) -> TaskRequest:
    """What a client of the predecessor asks for.

    Raises:
        IfwError: Something in it is not allowed.
    """
    check_reachable(service, body.url)
    options = {
        "language": body.language,
        "mode": body.task,
        "word_timestamps": body.has_words or None,
        "diarize": body.diarise_audio or None,
    }
    return TaskRequest(make_payload(Source(url=body.url), options, dialect=dialect), priority, None, webhook)


async def output_of(request: Request, service: Service, task_id: str) -> LegacyOutput | None:
    """Wait for a task and take its result; None where the client has gone away, which cancels the task.

    Raises:
        IfwError: What the task failed with.
        TaskCancelledError: Somebody cancelled it.
    """
    task = await ended(request, service, task_id)
    if task is None:
        return None
    if task.state == "failed":
        raise failure_of(task)
    if task.state == "cancelled":
        raise TaskCancelledError(f"task {task_id!r} was cancelled while it was waited for")
    return await to_thread.run_sync(_output, service, task)


def _output(service: Service, task: Task) -> LegacyOutput:
    return legacy_output(task, service.tasks.result(task.id))


def _status(service: Service, task_id: str) -> LegacyStatusReply:
    task = service.tasks.get(task_id)
    if task.state == "succeeded":
        return LegacyStatusReply(status="completed", output=_output(service, task))
    if task.state == "failed" and task.error is not None:
        return LegacyStatusReply(status="error", error=task.error.message, code=task.error.code)
    return LegacyStatusReply(status="cancelled" if task.state == "cancelled" else "processing")
