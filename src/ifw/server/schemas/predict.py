"""What to transcribe, in the words of the predecessor, which clients of Baseten use too."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ifw.config import MAX_SPEAKERS
from ifw.fetch.url import MAX_URL_BYTES


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
    diarise_audio: bool = Field(False, description="Say who speaks.")
    num_speakers: int | None = Field(None, ge=1, le=MAX_SPEAKERS, description="With `diarise_audio`: so many speak.")
    min_speakers: int | None = Field(None, ge=1, le=MAX_SPEAKERS, description="With `diarise_audio`: at least so many.")
    max_speakers: int | None = Field(None, ge=1, le=MAX_SPEAKERS, description="With `diarise_audio`: at most so many.")

    @field_validator("task", "timestamp", "batch_size", "diarise_audio", mode="before")
    @classmethod
    def _null_is_the_default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value

    @property
    def has_words(self) -> bool:
        """Whether the times of words are asked for."""
        return self.timestamp != "chunk"

    def options(self) -> dict[str, Any]:
        """What it asks for, in the words of `ifw.service.payload`."""
        asked = {"language": self.language, "mode": self.task, "word_timestamps": self.has_words or None}
        if not self.diarise_audio:
            return asked
        counts = {name: getattr(self, name) for name in ("num_speakers", "min_speakers", "max_speakers")}
        return {**asked, "diarize": True, **counts}
