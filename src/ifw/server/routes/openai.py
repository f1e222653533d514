"""OpenAI's audio API: transcriptions, translations, and the models that may be asked for."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from ifw.diarize.known_speakers import Embedding
from ifw.errors import RequestError
from ifw.formats.openai_wire import TokenBytes, diarized_response, json_response, text_response, verbose_response
from ifw.formats.subtitles import to_srt, to_vtt
from ifw.server.dependencies import ServiceOf
from ifw.server.multipart import Form
from ifw.server.openai.events import EventWriter, SpeakerEvents, TextEvents
from ifw.server.openai.form import DIARIZED, AudioForm, read_audio_form
from ifw.server.openai.known_speakers import KnownSpeakers, named, with_references
from ifw.server.openai.models import ServedModels
from ifw.server.openai.stream import transcript_events
from ifw.server.request_folder import request_folder
from ifw.server.schemas.openai import ERRORS, TRANSCRIPTION, TRANSLATION, Model, ModelList
from ifw.server.transcripts import json_bytes, require_speakers
from ifw.server.uploads import form_limits, read_form
from ifw.server.waiting import fetched, prepared, segments_of, transcribed
from ifw.service.limits import require_diarization
from ifw.service.service import Service
from ifw.types import Mode, Transcript

router = APIRouter(prefix="/v1", tags=["openai"])


@router.post("/audio/transcriptions", **TRANSCRIPTION)
async def transcriptions(request: Request, service: ServiceOf) -> Response:
    """Write what is said in an audio file, in its own language."""
    return await _answer(request, service, "transcribe")


@router.post("/audio/translations", **TRANSLATION)
async def translations(request: Request, service: ServiceOf) -> Response:
    """Write what is said in an audio file in English."""
    return await _answer(request, service, "translate")


@router.get("/models", responses=ERRORS)
async def models(service: ServiceOf) -> ModelList:
    """List the names of the loaded model."""
    return ModelList.model_validate(_served(service).listing())


@router.get("/models/{model_id:path}", responses=ERRORS)
async def model(model_id: str, service: ServiceOf) -> Model:
    """Say whether a model may be asked for by this name."""
    return Model.model_validate(_served(service).entry(model_id))


async def _answer(request: Request, service: Service, mode: Mode) -> Response:
    service.require_room()
    async with AsyncExitStack() as cleanup:
        folder = await run_in_threadpool(cleanup.enter_context, request_folder(service.settings.data_dir))
        path = folder / "audio"
        form = await read_form(request, path, with_references(form_limits(service.settings)))
        asked = read_audio_form(form, mode)
        _served(service).check(asked.model)
        require_diarization(service.settings, asked.options)
        voices = await _voices(request, service, asked.known_speakers)
        name = await _received(request, service, form, asked.url, path)
        audio = cleanup.enter_context(io.FileIO(path))
        audio.name = name or "file"  # for messages, which tell clients nothing of our folders
        await run_in_threadpool(shutil.rmtree, folder)  # now nothing is left of it whatever ends the process
        token_bytes = service.transcriber.checkpoint.tokenizer.decode_bytes if asked.has_logprobs else None
        if not asked.is_streamed:
            transcript = await transcribed(request, service, audio, asked.options)
            return await run_in_threadpool(_written, transcript, asked, token_bytes, voices)
        items = segments_of(service, audio, asked.options)
        is_diarized = asked.response_format == DIARIZED
        writer: EventWriter = SpeakerEvents(voices) if is_diarized else TextEvents(token_bytes)
        return await transcript_events(request, items, writer, cleanup.pop_all())


async def _voices(request: Request, service: Service, known: KnownSpeakers) -> Mapping[str, Embedding]:
    """The known voices, which are heard before the audio is fetched, so that a clip that is none is refused soon."""
    if not known.names:
        return {}
    return await prepared(request, service, partial(known.voices, service.transcriber))


def _written(
    transcript: Transcript, asked: AudioForm, token_bytes: TokenBytes | None, voices: Mapping[str, Embedding]
) -> Response:
    if asked.response_format == DIARIZED:
        require_speakers(transcript)
        body = json_bytes(diarized_response(transcript, named(transcript, voices), voices))
        return Response(body, media_type="application/json")
    if asked.response_format == "json":
        return Response(json_bytes(json_response(transcript, token_bytes)), media_type="application/json")
    if asked.response_format == "verbose_json":
        body = json_bytes(verbose_response(transcript, asked.granularities))
        return Response(body, media_type="application/json")
    writers: dict[str, Callable[[Transcript], str]] = {"text": text_response, "srt": to_srt, "vtt": to_vtt}
    return Response(writers[asked.response_format](transcript).encode("utf-8", "replace"), media_type="text/plain")


async def _received(request: Request, service: Service, form: Form, url: str | None, path: Path) -> str:
    """Have the audio in its file, and say what it is called."""
    if (form.upload is None) == (url is None):
        got = "nothing" if url is None else "a url too"
        raise RequestError(f"file: got {got}, allowed: one audio or video file, or the url of one", param="file")
    if form.upload is not None:
        return form.upload.name
    assert url is not None
    return (await fetched(request, service, url, path)).name


def _served(service: Service) -> ServedModels:
    return ServedModels(
        service.settings.model_name, service.settings.model_aliases, service.settings.diarization_model is not None
    )
