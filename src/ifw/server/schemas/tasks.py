"""Bodies of the native task routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from ifw.fetch.post import MAX_HEADERS
from ifw.fetch.url import MAX_URL_BYTES
from ifw.server.schemas.options import Body, OptionsBody
from ifw.tasks.records import DeliveryState, TaskState


class WebhookBody(Body):
    """Who is told when a task has ended."""

    url: str = Field(
        min_length=1, max_length=MAX_URL_BYTES, description="http or https.", examples=["https://example.com/hook"]
    )
    headers: dict[str, str] = Field({}, max_length=MAX_HEADERS, description="Sent along with every attempt.")


class TaskOptionsBody(OptionsBody):
    """All that is said about a task, but for its audio."""

    priority: int = Field(0, ge=-1000, le=1000, description="Higher goes first.")
    deadline_s: float | None = Field(
        None, gt=0, le=30 * 86400, description="Seconds after which a task that has not ended fails."
    )
    webhook: WebhookBody | None = None


class TaskBody(TaskOptionsBody):
    """A task whose audio is fetched."""

    url: str = Field(
        min_length=1, max_length=MAX_URL_BYTES, description="http or https.", examples=["https://example.com/talk.mp3"]
    )


class TaskFormBody(TaskOptionsBody):
    """A task whose audio is sent along, in the part `file`. What is no text is written as JSON, `true` or `1.5`."""

    file: str = Field(json_schema_extra={"format": "binary"}, description="The audio or video file.")


class ErrorBody(BaseModel):
    """What went wrong."""

    detail: str = Field(description="One sentence for a person.")
    code: str = Field(description="Stable name.", examples=["request_invalid"])


class ProgressReply(BaseModel):
    """How far a stage is."""

    done: float
    total: float | None = Field(description="Null while that is not known.")
    unit: Literal["seconds", "bytes"] = Field(description="Seconds of audio; bytes where the audio is fetched.")


class FailureReply(BaseModel):
    """Why a task failed."""

    code: str
    message: str


class DeliveryReply(BaseModel):
    """One attempt to deliver the webhook."""

    at: datetime
    status: int | None = Field(description="HTTP status of the receiver; null where it did not reply.")
    error: str | None
    duration_s: float


class SourceReply(BaseModel):
    """Where the audio comes from."""

    url: str | None = Field(description="Without query and password, which may be secret.")
    name: str | None = Field(description="What the client called the file that it sent.")
    n_bytes: int | None = Field(description="Of the file that was sent.")
    sha256: str | None = Field(description="Of the file that was sent.")


class LinksReply(BaseModel):
    """Paths of what belongs to a task."""

    self: str
    transcript: str
    events: str


class TaskReply(BaseModel):
    """A task as it stands."""

    id: str
    state: TaskState
    source: SourceReply
    options: dict[str, Any] = Field(description="As they were given.")
    priority: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None = Field(description="When it will be removed with its result.")
    deadline_at: datetime | None
    stage: str | None = Field(description="The one that is running.")
    progress: dict[str, ProgressReply] = Field(description="By stage.")
    timings: dict[str, float] = Field(description="Wall seconds by stage.")
    n_attempts: int = Field(description="How often a worker took it.")
    error: FailureReply | None
    webhook: str | None = Field(description="Its URL, without query.")
    delivery_state: DeliveryState
    deliveries: list[DeliveryReply]
    links: LinksReply


class TaskListReply(BaseModel):
    """A page of the list, newest first."""

    tasks: list[str] = Field(description="Ids, as clients of the predecessor read them.")
    items: list[TaskReply] = Field(description="The same tasks whole.")
    next: str | None = Field(description="Pass it as `after` for the next page; null on the last.")
