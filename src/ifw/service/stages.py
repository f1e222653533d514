"""The stages of a task: its audio comes, its audio becomes text."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from structlog.contextvars import bound_contextvars

from ifw.errors import AudioNotFoundError, IfwError
from ifw.fetch import fetch, shown_url
from ifw.formats.json import to_json
from ifw.service.limits import bounded, fetch_options, require_diarization
from ifw.service.payload import UPLOAD, options_of, source_of
from ifw.service.segment_event import segment_event
from ifw.tasks import Stage, StageContext

if TYPE_CHECKING:
    from ifw.service.loading import LoadedModel
    from ifw.service.metrics import ServiceMetrics
    from ifw.service.settings import Settings
    from ifw.types import Progress

_log = logging.getLogger(__name__)

FETCH: Final = "fetch"
BESIDE: Final = ("diarize", "attribute")
"""Timings of a transcript with speakers that are counted like stages."""
FETCHED: Final = "fetched"
"""The file in a task's folder that came from a URL."""


class TaskStages:
    """What is done with a task.

    Args:
        settings: Limits.
        model: The checkpoint.
        metrics: Counts what is done.
    """

    def __init__(self, settings: Settings, model: LoadedModel, metrics: ServiceMetrics) -> None:
        self._settings = settings
        self._model = model
        self._metrics = metrics
        self._fetching = fetch_options(settings)

    def stages(self) -> tuple[Stage, ...]:
        """All of them, in order."""
        return (
            Stage(FETCH, self._observed(FETCH, self.fetch)),
            Stage("transcribe", self._observed("transcribe", self.transcribe)),
        )

    def fetch(self, context: StageContext) -> dict[str, Any]:
        """Bring the audio into the task's folder.

        Args:
            context: Of a task whose payload `ifw.service.payload.make_payload` made.

        Returns:
            `name` for people, and `n_bytes`.

        Raises:
            FetchError: The URL could not be fetched; the subclass and the message say why.
            AudioNotFoundError: The file was uploaded to another machine.
            CancelledError: The task is to stop.
        """
        source = source_of(context.payload)
        if source.url is None:
            path = _uploaded(context)
            return {"name": source.name or "the upload", "n_bytes": path.stat().st_size}
        report = partial(context.report, FETCH)
        fetched = fetch(source.url, context.folder / FETCHED, self._fetching, cancel=context.cancel, on_progress=report)
        return {"name": fetched.name, "n_bytes": fetched.n_bytes}

    def transcribe(self, context: StageContext) -> dict[str, Any]:
        """Turn the audio into text, from where an earlier run of this stage was.

        Segments are emitted as events as soon as they are final; the transcript in JSON is the result of the task.

        Args:
            context: Of a task whose audio has been fetched.

        Returns:
            `duration_s` and `language` of the audio.

        Raises:
            IfwError: Whatever `Transcriber.transcribe` raises.
        """
        options = bounded(options_of(context.payload), self._settings.max_audio_s)
        require_diarization(self._settings, options)
        transcriber = self._model.wait(context.cancel)
        started = time.perf_counter()
        with self._audio(context) as audio, self._metrics.counted("task"):
            transcription = transcriber.stream(
                audio,
                options,
                on_progress=partial(_report, context),
                cancel=context.cancel,
                journal=context.journal,
                priority=context.priority,
            )
            for segment in transcription:
                context.emit(segment.id, segment_event(segment))
        transcript = replace(transcription.transcript, model=self._settings.model_name)
        context.set_result(to_json(transcript, indent=None))
        for name, wall_s in transcript.timings.items():
            if name not in ("load", "total"):
                context.add_timing(f"transcribe.{name}", wall_s)
            if name in BESIDE:
                self._metrics.stage(name, wall_s)
        self._metrics.transcribed("task", transcript, time.perf_counter() - started)
        return {"duration_s": transcript.duration_s, "language": transcript.language}

    @contextmanager
    def _audio(self, context: StageContext) -> Iterator[io.FileIO]:
        """The audio, under the name that people know it by: errors show that, and nothing of our folders."""
        source = source_of(context.payload)
        path = context.folder / FETCHED
        if source.url is None:
            path = _uploaded(context)
        elif not path.exists():  # it was fetched on another machine
            _log.info("audio is fetched again", extra={"url": shown_url(source.url)})
            self.fetch(context)
        with io.FileIO(path) as audio:
            audio.name = context.results[FETCH]["name"]
            yield audio

    def _observed(self, name: str, run: Callable[[StageContext], Mapping[str, Any]]) -> Callable[[StageContext], Any]:
        """The same stage, counted and logged."""

        def observed(context: StageContext) -> Any:
            started = time.perf_counter()
            with bound_contextvars(task_id=context.task_id, stage=name):
                try:
                    result = run(context)
                except IfwError as error:
                    _log.info("stage stopped", extra={"code": error.code, "why": str(error)})
                    raise
                wall_s = time.perf_counter() - started
                self._metrics.stage(name, wall_s)
                _log.info("stage ended", extra={"wall_s": round(wall_s, 3), **_without_name(result)})
            return result

        return observed


def _uploaded(context: StageContext) -> Path:
    path = context.folder / UPLOAD
    if not path.exists():
        raise AudioNotFoundError(
            "the uploaded file is not in the data folder of the worker that runs the task; "
            "have all workers and servers share one IFW_DATA_DIR, or submit a URL"
        )
    return path


def _report(context: StageContext, progress: Progress) -> None:
    context.report(progress.stage, progress.done_s, progress.total_s)


def _without_name(result: Mapping[str, Any]) -> dict[str, Any]:
    """What of a result is for the log; a name is the client's own."""
    return {key: value for key, value in result.items() if key != "name"}
