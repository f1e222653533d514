"""What the document of the API says about the routes of OpenAI's clients."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from ifw.config import MAX_SPEAKERS
from ifw.server.openai.form import DIARIZED, GRANULARITIES, MAX_TEMPERATURE, RESPONSE_FORMATS, SPEAKER_COUNTS
from ifw.server.openai.known_speakers import MAX_CLIP_S, MAX_KNOWN, MIN_CLIP_S, NAMES, REFERENCES


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: Literal["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]
    param: str | None = Field(description="The field that it is about, where it is about one.")
    code: str | None = Field(description="Stable, such as `model_not_found`.")


class ErrorEnvelope(BaseModel):
    """The body of every error of these routes."""

    error: ErrorDetail


class Model(BaseModel):
    """One name of the loaded model."""

    id: str
    object: Literal["model"]
    created: int = Field(description="The day on which Whisper was published, in Unix seconds.")
    owned_by: str


class ModelList(BaseModel):
    """All names of the loaded model."""

    object: Literal["list"]
    data: list[Model]


class UsedSeconds(BaseModel):
    """How much audio was heard."""

    type: Literal["duration"]
    seconds: int = Field(description="Rounded up.")


class Language(BaseModel):
    """A language of the audio."""

    code: str


class TokenLogprob(BaseModel):
    """A token of the text."""

    token: str
    logprob: float | None = Field(description="Natural logarithm of its probability.")
    bytes: list[int] = Field(description="In UTF-8; a character may be spread over several tokens.")


class TranscriptionJson(BaseModel):
    """`response_format` `json`."""

    text: str
    languages: list[Language] | None = None
    logprobs: list[TokenLogprob] | None = None
    usage: UsedSeconds | None = None


class VerboseSegment(BaseModel):
    """A segment of `verbose_json`."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseWord(BaseModel):
    """A word of `verbose_json`."""

    word: str
    start: float
    end: float


class TranscriptionVerboseJson(BaseModel):
    """`response_format` `verbose_json`."""

    task: Literal["transcribe", "translate"]
    language: str = Field(description="English name in lower case, such as `german`.")
    duration: float
    text: str
    segments: list[VerboseSegment] | None = None
    words: list[VerboseWord] | None = None
    usage: UsedSeconds


class DiarizedSegment(BaseModel):
    """A segment of `diarized_json`."""

    type: Literal["transcript.text.segment"]
    id: str
    start: float
    end: float
    text: str
    speaker: str = Field(description="A known name, a letter, or `unknown`.")


class TranscriptionDiarizedJson(BaseModel):
    """`response_format` `diarized_json`."""

    task: Literal["transcribe"]
    duration: float
    text: str = Field(description="A line for each turn, with the name of its speaker in front.")
    segments: list[DiarizedSegment]
    usage: UsedSeconds


_TEXT: Final[dict[str, Any]] = {"type": "string"}
_LIST: Final[dict[str, Any]] = {"type": "array", "items": _TEXT}
_FIELDS: Final[dict[str, Any]] = {
    "file": {"type": "string", "format": "binary", "description": "Any audio or video file, unless there is a url."},
    "url": {**_TEXT, "description": "Where the audio is, in place of a file."},
    "model": {**_TEXT, "description": "A name that `GET /v1/models` lists. Left out: the loaded model."},
    "language": {**_TEXT, "description": "Code, tag or English name of the language. Left out: detected."},
    "prompt": {**_TEXT, "description": "Text that precedes the audio: names, spelling, style."},
    "languages[]": {**_LIST, "maxItems": 1, "description": "In place of `language`."},
    "keywords[]": {**_LIST, "description": "Words to expect."},
    "hotwords": {**_TEXT, "description": "Words to expect."},
    "response_format": {**_TEXT, "enum": list(RESPONSE_FORMATS), "default": "json"},
    "temperature": {
        "type": "number",
        "minimum": 0,
        "maximum": MAX_TEMPERATURE,
        "default": 0,
        "description": "0 climbs the ladder of temperatures where the text looks wrong.",
    },
    "timestamp_granularities[]": {
        "type": "array",
        "items": {**_TEXT, "enum": list(GRANULARITIES)},
        "description": "What `verbose_json` holds; `word` also times the cues of srt and vtt by their words.",
    },
    "include[]": {
        "type": "array",
        "items": {**_TEXT, "enum": ["logprobs"]},
        "description": "Adds the probabilities of tokens to `json` and to events.",
    },
    "stream": {
        "type": "boolean",
        "default": False,
        "description": "Answer with server-sent events as segments become final; `response_format` json, text or "
        "diarized_json.",
    },
    **{
        name: {"type": "integer", "minimum": 1, "maximum": MAX_SPEAKERS, "description": f"Of `{DIARIZED}`: {meaning}."}
        for name, meaning in zip(SPEAKER_COUNTS, ("so many speak", "at least so many", "at most so many"), strict=True)
    },
    f"{NAMES}[]": {**_LIST, "maxItems": MAX_KNOWN, "description": f"Names of speakers for `{DIARIZED}`."},
    f"{REFERENCES}[]": {
        **_LIST,
        "maxItems": MAX_KNOWN,
        "description": f"How they sound, a clip for each name: data URLs, {MIN_CLIP_S:g} to {MAX_CLIP_S:g} s each.",
    },
    "vad_filter": {"type": "boolean", "default": True, "description": "False switches voice detection off."},
    "chunking_strategy": {
        "description": "`auto`, or how speech is found: as JSON, or a field `chunking_strategy[threshold]` a number.",
        "oneOf": [
            {**_TEXT, "enum": ["auto"]},
            {
                "type": "object",
                "required": ["type"],
                "additionalProperties": False,
                "properties": {
                    "type": {**_TEXT, "enum": ["server_vad"]},
                    "threshold": {"type": "number", "minimum": 0, "maximum": 1},
                    "prefix_padding_ms": {"type": "integer", "minimum": 0, "maximum": 5000},
                    "silence_duration_ms": {"type": "integer", "minimum": 0, "maximum": 60000},
                },
            },
        ],
    },
}
_ANSWERS: Final[dict[str, Any]] = {
    "text/plain": {"schema": _TEXT},
    "text/event-stream": {"schema": _TEXT},
}
_REASONS: Final = MappingProxyType(
    {
        400: "A field has a value that is not allowed, or the audio cannot be used.",
        401: "There is no right key.",
        403: "A web page of another site asked, or the name of the server is not one of its own.",
        404: "This server does not have the model.",
        408: "The body stopped coming.",
        413: "The file is larger, or the audio longer, than this server takes.",
        415: "The body is no multipart/form-data.",
        429: "The server is busy; `Retry-After` says when to ask again.",
        500: "The server failed; its log says more under `x-request-id`.",
        503: "The server is not ready; `Retry-After` says when to ask again.",
    }
)
ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorEnvelope, "description": reason} for status, reason in _REASONS.items()
}
"""The error replies of every route."""


def _audio_route(fields: dict[str, Any], replies: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": fields}
    known = {200: {"model": replies, "description": "The text.", "content": _ANSWERS}}
    return {
        "responses": {**known, **ERRORS},
        "openapi_extra": {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}},
    }


TRANSCRIPTION: Final = _audio_route(_FIELDS, TranscriptionJson | TranscriptionVerboseJson | TranscriptionDiarizedJson)
"""What `POST /v1/audio/transcriptions` takes and replies."""
TRANSLATION: Final = _audio_route(
    {
        **{name: _FIELDS[name] for name in ("file", "url", "model", "prompt", "temperature", "stream")},
        "response_format": {
            **_TEXT,
            "enum": [name for name in RESPONSE_FORMATS if name != DIARIZED],
            "default": "json",
        },
    },
    TranscriptionJson | TranscriptionVerboseJson,
)
"""What `POST /v1/audio/translations` takes and replies."""
