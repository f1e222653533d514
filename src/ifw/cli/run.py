"""One run of `ifw transcribe`: from a plan to files, output and a list of what went wrong."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ifw.cli.batch import Advanced, Event, Failed, Finished, Spoken, run_batch
from ifw.cli.clock import process_age_s
from ifw.cli.destinations import Destination, output_stems, prepare_folders, write_files
from ifw.cli.inputs import Input
from ifw.cli.interrupt import Interrupted
from ifw.cli.printer import Printer
from ifw.cli.report import Report
from ifw.config import EngineConfig, SubtitleOptions, TranscribeOptions
from ifw.errors import ConfigError, LanguageError, ModeError, OutputError, PromptError
from ifw.types import Transcript

WRONG_FOR_ALL = (ConfigError, LanguageError, ModeError, PromptError)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the user asked for.

    Attributes:
        inputs: What to transcribe, in the order of the output.
        destination: Which formats go where.
        options: How to transcribe.
        subtitles: How the cues of srt and vtt are made.
        model: Name, hub id or folder of the checkpoint.
        engine: How to use the device.
        n_parallel: Files in flight at the same time.
        verbose: Print the text with its times, also when files are written.
        print_timings: Print wall seconds by stage.
    """

    inputs: Sequence[Input]
    destination: Destination
    options: TranscribeOptions
    subtitles: SubtitleOptions
    model: str
    engine: EngineConfig
    n_parallel: int
    verbose: bool
    print_timings: bool


class Run:
    """Carries out one plan."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self._plan = plan
        self._report = report
        self._labels = [item.label for item in plan.inputs]
        self._errors: list[Exception] = []
        self._n_finished = 0
        self._import_s = 0.0
        self._first_text_s: float | None = None
        self._printer = self._make_printer()
        folder = plan.destination.folder
        self._stems: list[Path] | None = None
        if folder is not None:
            self._stems = [folder / stem for stem in output_stems(plan.inputs)]

    def go(self) -> list[Exception]:
        """Transcribe everything.

        Returns:
            What went wrong with single files; it was reported already.

        Raises:
            IfwError: Nothing can be transcribed: the checkpoint or an option is wrong.
            Interrupted: A signal arrived. What was written stays.
        """
        if not self._plan.inputs:
            return []
        if self._stems is not None:
            prepare_folders(self._stems)
        try:
            self._transcribe()
        except Interrupted:
            self._report.note(f"interrupted: {self._n_finished} of {len(self._labels)} files are done")
            raise
        if self._plan.print_timings:
            self._report.process_timings(self._first_text_s, process_age_s())
        return self._errors

    def _transcribe(self) -> None:
        plan, config = self._plan, self._plan.engine
        self._report.loading(plan.model)
        started = time.perf_counter()
        from ifw.transcriber import Transcriber

        self._import_s = time.perf_counter() - started
        with Transcriber(
            plan.model, config.device, config.dtype, n_slots=config.n_slots, n_threads=config.n_threads
        ) as transcriber:
            self._report.start_bars(self._labels)
            n_parallel = min(plan.n_parallel, len(plan.inputs))
            options = [plan.options] * len(plan.inputs)
            with closing(run_batch(transcriber, plan.inputs, options, n_parallel)) as events:
                for event in events:
                    self._handle(event)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Advanced):
            self._report.advance(event.index, event.progress)
        elif isinstance(event, Spoken):
            if self._first_text_s is None:
                self._first_text_s = process_age_s()
            if self._printer is not None:
                self._printer.segment(event.index, event.segment)
        elif isinstance(event, Finished):
            self._finish(event.index, event.transcript)
        else:
            self._fail(event)

    def _finish(self, index: int, transcript: Transcript) -> None:
        self._report.end(index)
        paths: list[Path] = []
        if self._stems is not None:
            try:
                plan = self._plan
                paths = write_files(transcript, self._stems[index], plan.destination.formats, plan.subtitles)
            except OutputError as error:
                self._fail(Failed(index, error))
                return
        self._n_finished += 1
        if self._printer is not None:
            self._printer.finish(index, transcript)
        self._report.finished(self._labels[index], transcript, paths)
        if self._plan.print_timings:
            self._report.timings(self._labels[index], transcript, self._import_s)

    def _fail(self, failed: Failed) -> None:
        """Report a file that failed; an option that is wrong for one file is wrong for all and ends the run."""
        if isinstance(failed.error, WRONG_FOR_ALL):
            raise failed.error
        self._report.end(failed.index)
        self._report.error(self._labels[failed.index], failed.error)
        self._errors.append(failed.error)
        if self._printer is not None:
            self._printer.skip(failed.index)

    def _make_printer(self) -> Printer | None:
        plan, destination = self._plan, self._plan.destination
        if destination.folder is None:
            is_for_people = plan.verbose or (not destination.is_asked and sys.stdout.isatty())
            return Printer(
                self._labels,
                self._report.print_output,
                format_name=destination.formats[0],
                subtitles=plan.subtitles,
                stamps=is_for_people,
            )
        return Printer(self._labels, self._report.print_output, stamps=True) if plan.verbose else None
