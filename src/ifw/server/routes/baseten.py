"""The routes that Baseten has in front of a model, so that a client can move between Baseten and its own machine."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response

from ifw.errors import TaskEndedError
from ifw.server.dependencies import ServiceOf
from ifw.server.json_route import JsonRoute
from ifw.server.routes.legacy import completed, task_request
from ifw.server.schemas.baseten import (
    AsyncCancelReply,
    AsyncError,
    AsyncPredictBody,
    AsyncPredictReply,
    AsyncQueueReply,
    AsyncStatus,
    AsyncStatusReply,
    WebhookStatus,
)
from ifw.server.schemas.legacy import LegacyOutput
from ifw.server.schemas.openapi import errors
from ifw.server.schemas.predict import PredictBody
from ifw.server.submission import checked_webhook, submitted
from ifw.service.sync_work import SYNC_PRIORITY
from ifw.tasks import Task

router = APIRouter(tags=["baseten"], route_class=JsonRoute, strict_content_type=False)

RequestId = Annotated[str, Path(max_length=128, description="As `/async_predict` replied.")]


@router.post(
    "/predict",
    summary="Transcribe (Baseten)",
    response_model=LegacyOutput,
    responses=errors(400, 408, 409, 415, 424, 429),
)
async def predict(request: Request, service: ServiceOf, body: PredictBody) -> Response:
    """Reply with the bare result. A client that goes away cancels the work."""
    task, _ = await submitted(service, task_request(service, body, "baseten", SYNC_PRIORITY, None))
    return await completed(request, service, task.id, lambda output: output)


@router.post(
    "/async_predict",
    status_code=201,
    summary="Submit a task (Baseten)",
    responses=errors(400, 408, 415, 429),
)
async def async_predict(service: ServiceOf, body: AsyncPredictBody) -> AsyncPredictReply:
    """Transcribe in the background and send the result to `webhook_endpoint`, in Baseten's words."""
    webhook = checked_webhook(service, body.webhook_endpoint, None)
    what = task_request(service, body.model_input, "baseten", -body.priority, webhook)
    task, _ = await submitted(service, what)
    return AsyncPredictReply(request_id=task.id)


@router.get("/async_request/{request_id}", summary="Look at a task (Baseten)", responses=errors(404))
async def async_status(service: ServiceOf, request_id: RequestId) -> AsyncStatusReply:
    """Its state; the result is not in it."""
    task = await to_thread.run_sync(service.tasks.get, request_id)
    return AsyncStatusReply(
        request_id=task.id,
        model_id=service.settings.model_name,
        deployment_id=service.settings.model_name,
        status=async_state(task),
        webhook_status=webhook_state(task),
        created_at=task.created_at,
        status_at=task.ended_at or task.started_at or task.created_at,
        errors=[] if task.error is None else [AsyncError(code=task.error.code, message=task.error.message)],
    )


@router.delete("/async_request/{request_id}", summary="Cancel a task (Baseten)", responses=errors(404))
async def async_cancel(service: ServiceOf, request_id: RequestId) -> AsyncCancelReply:
    """Also one that is running, which Baseten does not do."""

    def end() -> AsyncCancelReply:
        try:
            service.tasks.cancel(request_id)
        except TaskEndedError as error:
            return AsyncCancelReply(request_id=request_id, canceled=False, message=str(error))
        return AsyncCancelReply(request_id=request_id, canceled=True, message="The request was cancelled")

    return await to_thread.run_sync(end)


@router.get("/async_queue_status", summary="How much is waiting (Baseten)", responses=errors())
async def async_queue(service: ServiceOf) -> AsyncQueueReply:
    """Tasks that wait and that run, over all workers."""
    stats = await to_thread.run_sync(service.tasks.stats)
    return AsyncQueueReply(
        model_id=service.settings.model_name,
        deployment_id=service.settings.model_name,
        num_queued_requests=stats.n_queued,
        num_in_progress_requests=stats.n_running,
    )


def async_state(task: Task) -> AsyncStatus:
    """The state of a task in Baseten's words."""
    if task.state == "queued":
        return "QUEUED"
    if task.state == "running":
        return "IN_PROGRESS"
    if task.state == "cancelled":
        return "CANCELED"
    if task.state == "failed":
        return "EXPIRED" if task.error is not None and task.error.code == "task_deadline" else "FAILED"
    return "WEBHOOK_FAILED" if task.delivery_state == "failed" else "SUCCEEDED"


def webhook_state(task: Task) -> WebhookStatus:
    """How far the webhook of a task is, in Baseten's words."""
    if task.webhook is None:
        return "NO_WEBHOOK_PROVIDED"
    if task.delivery_state == "delivered":
        return "SUCCEEDED"
    return "FAILED" if task.delivery_state == "failed" else "PENDING"
