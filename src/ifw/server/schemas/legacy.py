"""Bodies of the routes that the predecessor had. Names are its own; what it did not know is ignored, as it did."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ifw.fetch.post import MAX_HEADERS
from ifw.fetch.url import MAX_URL_BYTES
from ifw.server.schemas.predict import PredictBody


class LegacyWebhookBody(BaseModel):
    """Who is told when the task has ended."""

    url: str = Field(min_length=1, max_length=MAX_URL_BYTES, examples=["https://example.com/hook"])
    header: dict[str, str] | None = Field(None, max_length=MAX_HEADERS, description="Headers sent along.")


class LegacyBody(PredictBody):
    """What to transcribe, and how the result comes back."""

    webhook: LegacyWebhookBody | None = None
    is_async: bool = Field(False, description="Reply at once; the result comes by webhook or from `/status`.")
    managed_task_id: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$",
        description="The id of the task, chosen by the client.",
    )

    @field_validator("is_async", mode="before")
    @classmethod
    def _null_is_false(cls, value: Any) -> Any:
        return False if value is None else value


class LegacyChunk(BaseModel):
    """A stretch of text, as `ifw.formats.legacy` writes it."""

    model_config = ConfigDict(extra="forbid")

    timestamp: tuple[float, float] = Field(description="Start and end in seconds.")
    text: str


class LegacySpeakerChunk(LegacyChunk):
    """A stretch of text of one speaker."""

    speaker: str


class LegacyOutput(BaseModel):
    """The result, as `ifw.formats.legacy` writes it."""

    model_config = ConfigDict(extra="forbid")

    text: str
    chunks: list[LegacyChunk]
    speakers: list[LegacySpeakerChunk]


class LegacyCompletedReply(BaseModel):
    """The result of a request that was waited for."""

    output: LegacyOutput
    status: Literal["completed"] = "completed"
    task_id: str


class LegacyAcceptedReply(BaseModel):
    """A task was taken on."""

    detail: str = "Task is being processed in the background"
    status: Literal["processing"] = "processing"
    task_id: str


class LegacyStatusReply(BaseModel):
    """How a task is."""

    status: Literal["processing", "completed", "error", "cancelled"]
    output: LegacyOutput | None = Field(default=None, description="Where it is completed.")
    error: str | None = Field(default=None, description="What went wrong, where it failed.")
    code: str | None = Field(default=None, description="Stable name of what went wrong, where it failed.")
