"""What people see while a command runs: progress bars on a terminal, errors, warnings, timings."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType

from ifw.cli.exit_status import BUG_CODE, error_code
from ifw.cli.flag_names import in_flags
from ifw.cli.progress_bars import Bars
from ifw.cli.progress_log import ProgressLog
from ifw.cli.standard_streams import write_note, write_output
from ifw.cli.visible import visible
from ifw.model.languages import language_name
from ifw.types import Progress, Transcript

MIN_SHOWN_PROBABILITY = 0.01  # of a language that it might have been instead


class Report:
    """Writes transcripts to standard output, all else to standard error.

    `quiet` leaves out progress, warnings and notes; `verbose` adds the language that was detected. Progress bars appear
    only while standard error is a terminal, one for each file in flight; into a file or a pipe goes a line a minute for
    each.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._bars: Bars | None = None
        self._log: ProgressLog | None = None

    def loading(self, model: str) -> None:
        """Tell a person at a terminal why nothing happens yet."""
        if not self._quiet and sys.stderr.isatty():
            self._line(f"loading {model}")

    def start_bars(self, labels: Sequence[str]) -> None:
        """Show progress from now on: bars on a terminal, elsewhere a line now and then."""
        if self._quiet:
            return
        if sys.stderr.isatty():
            self._bars = Bars(labels)
        else:
            self._log = ProgressLog(labels, self._line)

    def advance(self, index: int, progress: Progress) -> None:
        """Move the bar of an input."""
        if self._bars is not None:
            self._bars.advance(index, progress)
        elif self._log is not None:
            self._log.advance(index, progress, monotonic())

    def arrive(self, index: int, n_bytes: int, total: int | None) -> None:
        """Move the bar of an input that is being downloaded."""
        if self._bars is not None:
            self._bars.arrive(index, n_bytes, total)
        elif self._log is not None:
            self._log.arrive(index, n_bytes, total, monotonic())

    def end(self, index: int) -> None:
        """Take away the bar of an input."""
        if self._bars is not None:
            self._bars.end(index)
        elif self._log is not None:
            self._log.end(index)

    def print_output(self, text: str) -> None:
        """Write to standard output without tearing the bars, which share the terminal with it."""
        if self._bars is not None and sys.stdout.isatty():
            self._bars.print(text)
        else:
            write_output(text)

    def error(self, label: str | None, error: BaseException) -> None:
        """Say what failed and why; a bug comes with its traceback.

        Args:
            label: The input that failed; None for the whole run.
            error: Why.
        """
        if error_code(error) == BUG_CODE:
            for line in "".join(traceback.format_exception(error)).splitlines():
                self._line(line)
            message = f"{type(error).__name__}: {error}"
        else:
            message = in_flags(str(error)) if label is None else str(error)
        is_named = label is None or message.startswith(f"{label}: ")
        self._line(f"error: {'' if is_named else f'{label}: '}{message} [{error_code(error)}]")

    def finished(self, label: str, transcript: Transcript, paths: Sequence[Path]) -> None:
        """Say what was written, and what went wrong without ending the work."""
        if self._quiet:
            return
        if self._verbose and transcript.language_probabilities:
            self._line(f"language: {label}: {_languages(transcript)}")
        for warning in transcript.warnings:
            self._line(f"warning: {label}: {warning.message} [{warning.code}]")
        for path in paths:
            self._line(f"wrote {path}")

    def note(self, text: str) -> None:
        """Say something in passing."""
        if not self._quiet:
            self._line(text)

    def timings(self, label: str, transcript: Transcript, import_s: float) -> None:
        """Print how long each stage of one file took."""
        total_s = transcript.timings.get("total", 0.0)
        speed = f", {transcript.duration_s / total_s:.1f} times as fast as speech" if total_s > 0 else ""
        stages = {"import": import_s, **transcript.timings}
        self._line(f"timings: {label}: {transcript.duration_s:.1f} s of audio{speed}")
        for stage, wall_s in stages.items():
            self._line(f"timings:   {stage:<12} {wall_s:8.3f} s")

    def process_timings(self, first_text_s: float | None, total_s: float) -> None:
        """Print how long the process took, imports and model included."""
        first = "no text" if first_text_s is None else f"first text after {first_text_s:.2f} s"
        self._line(f"timings: process: {first}, end after {total_s:.2f} s")

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.close()
            self._bars = None

    def _line(self, text: str) -> None:
        line = f"{visible(text)}\n"
        if self._bars is not None:
            self._bars.print(line)
        else:
            write_note(line)


def _languages(transcript: Transcript) -> str:
    """The language of the transcript and what else it might have been, with probabilities."""
    others = {
        code: probability
        for code, probability in transcript.language_probabilities.items()
        if probability >= MIN_SHOWN_PROBABILITY and code != transcript.language
    }
    shown = {transcript.language: transcript.language_probability} | others
    return ", ".join(f"{language_name(code)} {probability:.0%}" for code, probability in shown.items())
