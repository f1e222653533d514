"""The routes of whisper-asr-webservice, which Bazarr, Speakr and others call."""

from __future__ import annotations

import io
import json
import math
import shutil
import struct
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from ifw.config import MAX_SPEAKERS, TranscribeOptions
from ifw.constants import SAMPLE_RATE
from ifw.errors import RequestError
from ifw.formats import to_openai_dict, to_srt, to_tsv, to_txt, to_vtt
from ifw.model.languages import language_name
from ifw.server.dependencies import ServiceOf
from ifw.server.request_folder import request_folder
from ifw.server.schemas.openapi import errors
from ifw.server.uploads import form_limits, read_form
from ifw.server.waiting import transcribed
from ifw.service.limits import require_diarization
from ifw.service.payload import Source, make_payload, options_of
from ifw.service.service import Service
from ifw.types import Mode, Transcript

router = APIRouter(tags=["whisper-asr-webservice"])

FILE: Final = "audio_file"
LISTENED_S: Final = 30.0
"""What the language is told from, as there."""

Output = Literal["txt", "vtt", "srt", "tsv", "json"]

_WRITERS: Final[Mapping[Output, Callable[[Transcript], str]]] = {
    "txt": to_txt,
    "vtt": to_vtt,
    "srt": to_srt,
    "tsv": to_tsv,
    "json": lambda transcript: json.dumps(to_openai_dict(transcript), ensure_ascii=False, allow_nan=False),
}
_WAV: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MAX_WAV_BYTES: Final = 2**32 - 1 - _WAV.size
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FILE],
                    "properties": {FILE: {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}

Encode = Annotated[
    bool,
    Query(description="False: the file has no container, but 16-bit mono samples at 16 kHz, as Bazarr sends them."),
]


class AsrQuery(BaseModel):
    """What is asked for."""

    encode: bool = Field(True, description="False: the file is 16-bit mono samples at 16 kHz, as Bazarr sends them.")
    task: Mode = "transcribe"
    language: str | None = Field(None, max_length=64, description="Left out or blank: it is detected.")
    initial_prompt: str | None = Field(None, max_length=8192)
    vad_filter: bool | None = Field(None, description="Left out: speech is looked for.")
    word_timestamps: bool = False
    diarize: bool = Field(False, description="Say who speaks.")
    num_speakers: int | None = Field(None, ge=1, le=MAX_SPEAKERS, description="With `diarize`: so many speak.")
    min_speakers: int | None = Field(None, ge=1, le=MAX_SPEAKERS, description="With `diarize`: at least so many.")
    max_speakers: int | None = Field(None, ge=1, le=MAX_SPEAKERS, description="With `diarize`: at most so many.")
    output: Output = "txt"

    def options(self) -> TranscribeOptions:
        """The options that it comes to.

        Raises:
            IfwError: One is not allowed.
        """
        options: dict[str, Any] = {
            "mode": self.task,
            "language": self.language,
            "initial_prompt": self.initial_prompt or None,
            "word_timestamps": self.word_timestamps or None,
            "vad": None if self.vad_filter is None else {"enabled": self.vad_filter},
            "diarize": self.diarize or None,
        }
        if self.diarize:
            options |= {name: getattr(self, name) for name in ("num_speakers", "min_speakers", "max_speakers")}
        return options_of(make_payload(Source(), options))


class LanguageReply(BaseModel):
    """Which language is spoken."""

    detected_language: str = Field(description="English name, lower case.")
    language_code: str
    confidence: float = Field(ge=0, le=1)


@router.post(
    "/asr",
    summary="Transcribe (whisper-asr-webservice)",
    response_class=Response,
    responses=errors(408, 415, 429)
    | {200: {"description": "The transcript.", "content": {"text/plain": {}, "application/json": {}}}},
    openapi_extra=_BODY,
)
async def asr(request: Request, service: ServiceOf, query: Annotated[AsrQuery, Query()]) -> Response:
    """Write what is said in `audio_file`. A client that goes away cancels the work."""
    options = query.options()
    require_diarization(service.settings, options)
    transcript, name = await _transcript(request, service, options, query.encode)
    body = await run_in_threadpool(lambda: _WRITERS[query.output](transcript).encode("utf-8", "replace"))
    kind = "application/json" if query.output == "json" else "text/plain; charset=utf-8"
    headers = {
        "content-type": kind,
        "Asr-Engine": "ifw",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'{name}.{query.output}', safe='')}",
    }
    return Response(body, headers=headers)


@router.post(
    "/detect-language",
    summary="Tell the language (whisper-asr-webservice)",
    responses=errors(408, 415, 429),
    openapi_extra=_BODY,
)
async def detect_language(request: Request, service: ServiceOf, encode: Encode = True) -> LanguageReply:
    """Tell it from the first 30 s of `audio_file`."""
    options = options_of(make_payload(Source(), {"clip": [[0, LISTENED_S]], "preset": "fast"}))
    transcript, _ = await _transcript(request, service, options, encode)
    name, probability = language_name(transcript.language).lower(), transcript.language_probability
    confidence = min(max(probability, 0.0), 1.0) if math.isfinite(probability) else 0.0
    return LanguageReply(detected_language=name, language_code=transcript.language, confidence=confidence)


async def _transcript(
    request: Request, service: Service, options: TranscribeOptions, encode: bool
) -> tuple[Transcript, str]:
    """The transcript of the file of a form, and what the client calls it."""
    prefix = b"" if encode else wav_header(_MAX_WAV_BYTES)
    service.require_room()
    with ExitStack() as cleanup:
        folder = await run_in_threadpool(cleanup.enter_context, request_folder(service.settings.data_dir))
        path, limits = folder / "audio", form_limits(service.settings)
        sent = (await read_form(request, path, limits, file_field=FILE, prefix=prefix)).upload
        if sent is None:
            raise RequestError(f"{FILE}: is missing; send the audio in a part of this name")
        if not encode:
            with path.open("r+b") as file:
                file.write(wav_header(sent.n_bytes))
        audio = cleanup.enter_context(io.FileIO(path))
        audio.name = sent.name or "file"  # for messages, which tell clients nothing of our folders
        await run_in_threadpool(shutil.rmtree, folder)  # now nothing is left of it whatever ends the process
        return await transcribed(request, service, audio, options), sent.name or "transcript"


def wav_header(n_bytes: int) -> bytes:
    """What stands in front of 16-bit mono samples at 16 kHz in a WAV file.

    Args:
        n_bytes: Of the samples.
    """
    n_bytes = min(n_bytes, _MAX_WAV_BYTES)
    riff = (b"RIFF", n_bytes + _WAV.size - 8, b"WAVE")
    return _WAV.pack(*riff, b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16, b"data", n_bytes)
