"""One run of `ifw transcribe`: from what was asked for to files, output and a list of what went wrong."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ifw.cli.batch import Advanced, Arrived, Batch, Event, Failed, Finished, Spoken, Stopped
from ifw.cli.clock import process_age_s
from ifw.cli.destinations import (
    Destination,
    journal_of,
    output_path,
    output_stems,
    prepare_folders,
    refuse_to_replace,
    write_files,
)
from ifw.cli.inputs import Input
from ifw.cli.interrupt import Interrupted, Interruption
from ifw.cli.pace import clock_of
from ifw.cli.printer import Printer
from ifw.cli.report import Report
from ifw.config import EngineConfig, SubtitleOptions, TranscribeOptions
from ifw.errors import ConfigError, LanguageError, ModeError, OutputError, PromptError, ResumeError
from ifw.pipeline.journal_file import JournalFile
from ifw.types import DIARIZATION_FAILED, Transcript

WRONG_FOR_ALL = (ConfigError, LanguageError, ModeError, PromptError)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """All that the user asked for.

    Attributes:
        inputs: What to transcribe, in the order of the output.
        destination: Which formats go where.
        options: How to transcribe.
        subtitles: How the cues of srt and vtt are made.
        model: Name, hub id or folder of the checkpoint.
        diarization_model: What tells speakers apart; None stands for the default, where they are told apart.
        draft_model: What proposes tokens; None goes without.
        engine: How to use the device.
        n_parallel: Files in flight at the same time.
        is_resuming: Go on where an earlier run stopped, and leave out what it finished.
        verbose: Print the text with its times, also when files are written.
        print_timings: Print wall seconds by stage.
    """

    inputs: Sequence[Input]
    destination: Destination
    options: TranscribeOptions
    subtitles: SubtitleOptions
    model: str
    diarization_model: str | None
    draft_model: str | None
    engine: EngineConfig
    n_parallel: int
    is_resuming: bool
    verbose: bool
    print_timings: bool


@dataclass(frozen=True, slots=True)
class Work:
    """One input on its way.

    Attributes:
        item: What to transcribe.
        stem: Where its files go, without the extensions; None prints it.
        journal: Keeps what is final until the files are written; None for what is printed.
    """

    item: Input
    stem: Path | None
    journal: JournalFile | None


class Run:
    """Transcribes all inputs of one command."""

    def __init__(self, asked: RunOptions, report: Report, interruption: Interruption) -> None:
        self._asked = asked
        self._report = report
        self._interruption = interruption
        self._works = self._all_works()
        self._errors: list[Exception] = []
        self._n_finished = 0
        self._import_s = 0.0
        self._first_text_s: float | None = None
        self._printer: Printer | None = None

    def go(self) -> list[Exception]:
        """Transcribe everything.

        Returns:
            What went wrong with single files; it was reported already.

        Raises:
            IfwError: Nothing can be transcribed: the checkpoint or an option is wrong.
            Interrupted: A signal arrived. What was written stays.
        """
        refuse_to_replace((work.item.path for work in self._works), self._outputs())
        prepare_folders(work.stem for work in self._works if work.stem is not None)
        if self._asked.is_resuming:
            self._skip_finished()
        if not self._works:
            return []
        self._note_what_is_replaced()
        self._printer = self._make_printer()
        try:
            self._transcribe()
        except Interrupted:
            self._report.note(f"interrupted: {self._n_finished} of {len(self._asked.inputs)} files are done")
            raise
        if self._asked.print_timings:
            self._report.process_timings(self._first_text_s, process_age_s())
        return self._errors

    def _all_works(self) -> list[Work]:
        inputs, folder = self._asked.inputs, self._asked.destination.folder
        if folder is None:
            return [Work(item, None, None) for item in inputs]
        stems = [folder / stem for stem in output_stems(inputs)]
        return [
            Work(item, stem, JournalFile(journal_of(stem), is_resuming=self._asked.is_resuming))
            for item, stem in zip(inputs, stems, strict=True)
        ]

    def _outputs(self) -> Iterator[Path]:
        for work in self._works:
            if work.stem is not None:
                yield journal_of(work.stem)
                yield from (output_path(work.stem, name) for name in self._asked.destination.formats)

    def _skip_finished(self) -> None:
        """Leave out the files that have all their transcripts; a journal means that they are not whole.

        Standard input is never left out: its name does not say what it is today.
        """
        for work in self._works.copy():
            assert work.stem is not None
            assert work.journal is not None
            if work.item.is_stdin:
                continue
            paths = [output_path(work.stem, name) for name in self._asked.destination.formats]
            if not work.journal.path.exists() and all(path.exists() for path in paths):
                self._report.note(f"already done: {work.item.label}")
                self._works.remove(work)
                self._n_finished += 1

    def _note_what_is_replaced(self) -> None:
        for work in self._works:
            if not self._asked.is_resuming and work.journal is not None and work.journal.path.exists():
                self._report.note(f"starting over: {work.item.label} is half done; --resume would continue it")

    def _transcribe(self) -> None:
        asked = self._asked
        self._report.loading(asked.model)
        started = time.perf_counter()
        from ifw.engine.heap import keep_freed_memory
        from ifw.transcriber import Transcriber

        keep_freed_memory()
        self._import_s = time.perf_counter() - started
        with Transcriber(
            asked.model,
            config=asked.engine,
            draft_model=asked.draft_model,
            diarization_model=self._diarization_model(),
        ) as transcriber:
            self._report.start_bars([work.item.label for work in self._works])
            inputs, journals = [work.item for work in self._works], [work.journal for work in self._works]
            options = [asked.options] * len(inputs)
            batch = Batch(transcriber, inputs, options, min(asked.n_parallel, len(inputs)), journals)
            try:
                with batch, self._interruption.told_to(batch.interrupt):
                    for event in batch:
                        self._handle(event)
            except Interrupted:
                for event in batch.unseen():
                    self._handle(event)
                raise

    def _diarization_model(self) -> str | None:
        """What is loaded before any work begins, so that a model that is not there ends the run at its start."""
        if self._asked.options.diarize is None:
            return None
        from ifw.diarize.places import DEFAULT_MODEL

        return self._asked.diarization_model or DEFAULT_MODEL

    def _handle(self, event: Event) -> None:
        if isinstance(event, Advanced):
            self._report.advance(event.index, event.progress)
        elif isinstance(event, Arrived):
            self._report.arrive(event.index, event.n_bytes, event.total)
        elif isinstance(event, Spoken):
            if self._first_text_s is None:
                self._first_text_s = process_age_s()
            if self._printer is not None:
                self._printer.segment(event.index, event.segment)
        elif isinstance(event, Finished):
            self._finish(event.index, event.transcript)
        elif isinstance(event, Stopped):
            self._keep(event.index, event.partial)
        else:
            self._fail(event)

    def _finish(self, index: int, transcript: Transcript) -> None:
        self._report.end(index)
        work = self._works[index]
        paths = self._write(index, transcript)
        if paths is None:
            return
        if work.journal is not None:
            self._end_journal(work.journal, transcript)
        self._n_finished += 1
        if self._printer is not None:
            self._printer.finish(index, transcript)
        self._report.finished(work.item.label, transcript, paths)
        if self._asked.print_timings:
            self._report.timings(work.item.label, transcript, self._import_s)

    def _end_journal(self, journal: JournalFile, transcript: Transcript) -> None:
        """Remove the journal, unless there is something that another run could still do."""
        if any(warning.code == DIARIZATION_FAILED for warning in transcript.warnings):
            journal.close()
            self._report.note("the text is kept; --resume tries again to tell the speakers apart")
        else:
            journal.remove()

    def _keep(self, index: int, partial: Transcript | None) -> None:
        """Write what is final of a file that was interrupted."""
        work = self._works[index]
        if work.journal is None or partial is None:
            return
        work.journal.close()
        if self._write(index, partial) is not None:
            until = clock_of(partial.duration_s)
            self._report.note(f"interrupted: {work.item.label} is written up to {until}; --resume continues")

    def _write(self, index: int, transcript: Transcript) -> list[Path] | None:
        """Write the files of a transcript, if files were asked for; None where that failed."""
        stem = self._works[index].stem
        if stem is None:
            return []
        try:
            return write_files(transcript, stem, self._asked.destination.formats, self._asked.subtitles)
        except OutputError as error:
            self._fail(Failed(index, error))
            return None

    def _fail(self, failed: Failed) -> None:
        """Report a file that failed; an option that is wrong for one file is wrong for all and ends the run."""
        if isinstance(failed.error, WRONG_FOR_ALL):
            raise failed.error
        self._report.end(failed.index)
        work = self._works[failed.index]
        self._report.error(work.item.label, failed.error)
        self._errors.append(failed.error)
        if work.journal is not None:
            work.journal.close()
            if work.journal.path.exists() and not isinstance(failed.error, ResumeError):
                self._report.note(f"what is final of {work.item.label} is kept; --resume continues")
        if self._printer is not None:
            self._printer.skip(failed.index)

    def _make_printer(self) -> Printer | None:
        asked, destination = self._asked, self._asked.destination
        labels = [work.item.label for work in self._works]
        if destination.folder is None:
            is_for_people = asked.verbose or (not destination.is_asked and sys.stdout.isatty())
            return Printer(
                labels,
                self._report.print_output,
                format_name=destination.formats[0],
                subtitles=asked.subtitles,
                stamps=is_for_people,
            )
        return Printer(labels, self._report.print_output, stamps=True) if asked.verbose else None
