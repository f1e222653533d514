"""What a client may say about one transcription, the native way."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ifw.config import MAX_CLIP_S, MAX_HYPOTHESES, MAX_SPEAKERS, Channels, Preset
from ifw.types import Mode

MAX_TEXT: int = 8192

Temperature = Annotated[float, Field(ge=0, le=2)]
Second = Annotated[float, Field(ge=0, le=MAX_CLIP_S)]


class Body(BaseModel):
    """The base of native bodies: a name that is not known is an error, and so is one given as null where it may not."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class VadBody(Body):
    """How speech is found."""

    enabled: bool | None = Field(None, description="False takes all audio for speech.")
    onset: float | None = Field(None, ge=0.001, le=0.999, description="Speech starts at this probability.")
    offset: float | None = Field(None, ge=0.001, le=0.999, description="Speech ends below this; at most `onset`.")
    min_speech_ms: int | None = Field(None, ge=0, le=60_000, description="Shorter speech is not heard.")
    min_silence_ms: int | None = Field(None, ge=0, le=60_000, description="Shorter silence does not end speech.")
    pad_ms: int | None = Field(None, ge=0, le=5000, description="Added on both sides of speech.")


class OptionsBody(Body):
    """How the audio becomes text. What is left out is as `preset` has it."""

    language: str | None = Field(
        None, max_length=64, description="Code, English name or tag, such as `en-US`. Left out: it is detected."
    )
    mode: Mode | None = Field(None, description="`translate` writes English.")
    preset: Preset | None = Field(None, description="`balanced` unless given.")
    word_timestamps: bool | None = Field(None, description="Find the time of every word.")
    initial_prompt: str | None = Field(None, max_length=MAX_TEXT, description="Text that seems to stand before.")
    hotwords: str | None = Field(None, max_length=MAX_TEXT, description="Words to expect.")
    condition_on_previous_text: bool | None = Field(None, description="Give each window the text before it.")
    multilingual: bool | None = Field(None, description="Decide on the language of each window by itself.")
    temperatures: list[Temperature] | None = Field(
        None, min_length=1, max_length=16, description="Tried in turn while the text is suspect."
    )
    beam_size: int | None = Field(None, ge=1, le=MAX_HYPOTHESES, description="Beams, tried where text is suspect.")
    best_of: int | None = Field(None, ge=1, le=MAX_HYPOTHESES, description="Samples at each temperature above 0.")
    vad: VadBody | None = None
    channels: Channels | None = Field(None, description="`split` transcribes each channel as a speaker of its own.")
    clip: list[tuple[Second, Second | None]] | None = Field(
        None, max_length=1000, description="Only these stretches: pairs of start and end in seconds, in order."
    )
    diarize: bool | None = Field(None, description="Say who speaks: a label for each segment and word.")
    num_speakers: int | None = Field(None, ge=1, le=MAX_SPEAKERS, description="With `diarize`: so many speak.")
    min_speakers: int | None = Field(None, ge=1, le=MAX_SPEAKERS, description="With `diarize`: at least so many speak.")
    max_speakers: int | None = Field(None, ge=1, le=MAX_SPEAKERS, description="With `diarize`: at most so many speak.")

    @field_validator("temperatures", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else value
