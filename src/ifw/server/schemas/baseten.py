"""Bodies of the routes that Baseten has in front of a model. Source: Baseten's inference API reference."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ifw.fetch.url import MAX_URL_BYTES
from ifw.server.schemas.predict import PredictBody

AsyncStatus = Literal["QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "EXPIRED", "CANCELED", "WEBHOOK_FAILED"]
WebhookStatus = Literal["PENDING", "SUCCEEDED", "FAILED", "CANCELED", "NO_WEBHOOK_PROVIDED"]


class RetryConfigBody(BaseModel):
    """How Baseten retries. Does not matter here: a task is resumed until it has ended."""

    max_attempts: int = Field(3, ge=1, le=10)
    initial_delay_ms: int = Field(1000, ge=0, le=10_000)
    max_delay_ms: int = Field(5000, ge=0, le=60_000)


class AsyncPredictBody(BaseModel):
    """A task, as it is sent to Baseten."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model_input: PredictBody
    webhook_endpoint: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_URL_BYTES,
        description="Is sent the result.",
        examples=["https://example.com/hook"],
    )
    priority: int = Field(0, ge=0, le=2, description="0 goes first.")
    max_time_in_queue_seconds: int = Field(
        600, ge=10, le=259_200, description="Accepted; tasks here wait until they run."
    )
    inference_retry_config: RetryConfigBody | None = None


class AsyncPredictReply(BaseModel):
    """The task was taken on."""

    request_id: str


class AsyncError(BaseModel):
    """What went wrong."""

    code: str
    message: str


class AsyncStatusReply(BaseModel):
    """How a task is; its output goes to the webhook, and `GET /tasks/{request_id}/transcript` has it too."""

    request_id: str
    model_id: str
    deployment_id: str
    status: AsyncStatus
    webhook_status: WebhookStatus
    created_at: datetime
    status_at: datetime
    errors: list[AsyncError]


class AsyncCancelReply(BaseModel):
    """Whether a task was cancelled."""

    request_id: str
    canceled: bool
    message: str


class AsyncQueueReply(BaseModel):
    """How busy the server is."""

    model_id: str
    deployment_id: str
    num_queued_requests: int
    num_in_progress_requests: int
