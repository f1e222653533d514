"""Bodies of the routes that the predecessor had. Names are its own; what it did not know is ignored, as it did."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ifw.fetch.post import MAX_HEADERS
from ifw.fetch.url import MAX_URL_BYTES


class LegacyWebhookBody(BaseModel):
    """Who is told when the task has ended."""

    url: str = Field(min_length=1, max_length=MAX_URL_BYTES, examples=["https://example.com/hook"])
    header: dict[str, str] | None = Field(None, max_length=MAX_HEADERS, description="Headers sent along.")


class PredictBody(BaseModel):
    """What to transcribe, as it is sent to Baseten."""

    model_config = ConfigDict(extra="ignore")

    url: str = Field(
        min_length=1, max_length=MAX_URL_BYTES, description="http or https.", examples=["https://example.com/talk.mp3"]
    )
    task: Literal["transcribe", "translate"] = "transcribe"
    language: str | None = Field("None", max_length=64, description="`None` (the text) or null detects it.")
    batch_size: int = Field(64, ge=1, le=65536, description="Does not matter: windows of all requests are batched.")
    chunk_length_s: float | None = Field(
        None, gt=0, le=3600, description="Does not matter: audio is cut in pauses, at most 30 s apart."
    )
    timestamp: Literal["chunk", "word", "work"] = Field(
        "chunk", description="`word` gives the time of each word; `work` means the same."
    )
    diarise_audio: bool = Field(False, description="Name the speakers. Not available yet.")

    @field_validator("task", "timestamp", "batch_size", "diarise_audio", mode="before")
    @classmethod
    def _null_is_the_default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value

    @property
    def has_words(self) -> bool:
        """Whether the times of words are asked for."""
        return self.timestamp != "chunk"


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
    """A stretch of text."""

    timestamp: tuple[float, float] = Field(description="Start and end in seconds.")
    text: str


class LegacySpeakerChunk(LegacyChunk):
    """A stretch of text of one speaker."""

    speaker: str


class LegacyOutput(BaseModel):
    """The result."""

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
