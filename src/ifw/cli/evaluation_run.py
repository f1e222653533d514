"""One run of `ifw eval`: from the entries of a manifest to scores, through one warm transcriber."""

from __future__ import annotations

import io
import random
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifw.cli.batch import Advanced, Batch, Event, Failed, Finished
from ifw.cli.exit_status import error_code
from ifw.cli.inputs import Input
from ifw.cli.interrupt import Interrupted, Interruption
from ifw.cli.report import Report
from ifw.config import DecodeOptions, EngineConfig, TranscribeOptions, VadOptions
from ifw.constants import SAMPLE_RATE
from ifw.evaluation import Evaluation, Failure, FileScore, ManifestEntry, score
from ifw.evaluation.extra import require_extra

if TYPE_CHECKING:
    from ifw.transcriber import Transcriber


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """All that the user asked for.

    Attributes:
        entries: What to transcribe, and what it should give.
        options: How to transcribe; the mode and the word times of each file come from its entry.
        is_language_given: The language of `options` holds for every file, not that of its entry.
        model: Name, hub id or folder of the checkpoint.
        draft_model: What proposes tokens; None goes without.
        engine: How to use the device.
        n_parallel: Files in flight at the same time.
        settings: Written into the results.
    """

    entries: Sequence[ManifestEntry]
    options: TranscribeOptions
    is_language_given: bool
    model: str
    draft_model: str | None
    engine: EngineConfig
    n_parallel: int
    settings: dict[str, Any]


def run_evaluation(
    asked: EvaluationOptions, report: Report, interruption: Interruption
) -> tuple[Evaluation, list[Exception]]:
    """Transcribe and score every entry.

    Returns:
        The evaluation, and what went wrong with single files; it was reported already.

    Raises:
        IfwError: Nothing can be transcribed or scored.
        Interrupted: A signal arrived.
    """
    require_extra()
    run = _Run(asked, report, interruption)
    try:
        wall_s = run.transcribe()
    except Interrupted:
        report.note(f"interrupted: {len(run.scores)} of {len(asked.entries)} files are done")
        raise
    return run.evaluation(wall_s), list(run.errors.values())


class _Run:
    """Scores and errors by the place of their entries in the manifest, as they come."""

    def __init__(self, asked: EvaluationOptions, report: Report, interruption: Interruption) -> None:
        self.scores: dict[int, FileScore] = {}
        self.errors: dict[int, Exception] = {}
        self._asked = asked
        self._report = report
        self._interruption = interruption
        self._labels = [str(entry.path) for entry in asked.entries]

    def transcribe(self) -> float:
        """Transcribe and score everything; the wall seconds that it took, the model loaded and warm."""
        asked = self._asked
        inputs = [
            Input(label, entry.path, Path(entry.path.name))
            for label, entry in zip(self._labels, asked.entries, strict=True)
        ]
        options = [_options_for(asked, entry) for entry in asked.entries]
        self._report.loading(asked.model)
        from ifw.engine.heap import keep_freed_memory
        from ifw.transcriber import Transcriber

        keep_freed_memory()
        with Transcriber(asked.model, config=asked.engine, draft_model=asked.draft_model) as transcriber:
            _warm_up(transcriber)
            self._report.start_bars(self._labels)
            started = time.perf_counter()
            batch = Batch(transcriber, inputs, options, min(asked.n_parallel, len(inputs)))
            with batch, self._interruption.told_to(batch.interrupt):
                for event in batch:
                    self._handle(event)
            return time.perf_counter() - started

    def evaluation(self, wall_s: float) -> Evaluation:
        """What it came to, in the order of the manifest."""
        entries = self._asked.entries
        failures = (
            Failure(entries[index].audio, entries[index].mode, error_code(error), str(error))
            for index, error in sorted(self.errors.items())
        )
        files = tuple(self.scores[index] for index in sorted(self.scores))
        return Evaluation(files, tuple(failures), wall_s, self._asked.settings)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Advanced):
            self._report.advance(event.index, event.progress)
        elif isinstance(event, Finished):
            self._report.end(event.index)
            self._report.finished(self._labels[event.index], event.transcript, ())
            self.scores[event.index] = score(self._asked.entries[event.index], event.transcript)
        elif isinstance(event, Failed):
            self._report.end(event.index)
            self._report.error(self._labels[event.index], event.error)
            self.errors[event.index] = event.error


def _options_for(asked: EvaluationOptions, entry: ManifestEntry) -> TranscribeOptions:
    decode = replace(asked.options.decode, mode=entry.mode, word_timestamps=entry.words is not None)
    if not asked.is_language_given:
        decode = replace(decode, language=entry.language)
    return replace(asked.options, decode=decode)


def _warm_up(transcriber: Transcriber) -> None:
    """Run every part once on a second of noise, so that no file pays for what is only loaded at first use."""
    noise = io.BytesIO()
    with wave.open(noise, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE)
        stream.writeframes(random.Random(0).randbytes(2 * SAMPLE_RATE))
    decode = DecodeOptions(temperatures=(0.0,), max_tokens=8)
    for is_enabled in (True, False):  # the voice detector hears nobody; without it the noise reaches the decoder
        transcriber.transcribe(noise.getvalue(), TranscribeOptions(decode=decode, vad=VadOptions(enabled=is_enabled)))
