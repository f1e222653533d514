"""`ifw convert`: transcripts that were saved as JSON, in other formats."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ifw.cli import flags, subtitle_flags
from ifw.cli.destinations import (
    Destination,
    choose_destination,
    output_path,
    output_stems,
    prepare_folders,
    refuse_to_replace,
    write_files,
)
from ifw.cli.ending import ending
from ifw.cli.exit_status import exit_status
from ifw.cli.inputs import STDIN, Input, standard_input, without_repeats
from ifw.cli.interrupt import interruptible
from ifw.cli.printer import Printer
from ifw.cli.report import Report
from ifw.config import SubtitleOptions
from ifw.errors import IfwError, TranscriptError
from ifw.formats import from_json
from ifw.types import Transcript

SUBTITLES = SubtitleOptions()

SavedFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        help="Transcripts saved as json or openai-json, or by openai-whisper; - for standard input.",
        show_default=False,
    ),
]


def convert(
    files: SavedFiles,
    *,
    output_dir: flags.OutputDir = None,
    output_format: flags.OutputFormats = None,
    max_line_width: subtitle_flags.MaxLineWidth = SUBTITLES.max_line_width,
    max_line_count: subtitle_flags.MaxLineCount = SUBTITLES.max_line_count,
    max_words_per_line: subtitle_flags.MaxWordsPerLine = SUBTITLES.max_words_per_line,
    highlight_words: subtitle_flags.HighlightWords = SUBTITLES.highlight_words,
    min_cue_s: subtitle_flags.MinCue = SUBTITLES.min_cue_s,
    cue_layout: subtitle_flags.CueLayout = SUBTITLES.layout,
    quiet: flags.Quiet = False,
) -> None:
    """Turn saved transcripts into other formats, without any model.

    Prints the text, or writes subtitles and other files with -f or -o. A file that fails is reported, and the
    others go on; the exit status is 0 only if every file succeeded.
    """
    report = Report(quiet=quiet)
    with ending(report), interruptible():
        subtitles = SubtitleOptions(
            max_line_width=max_line_width,
            max_line_count=max_line_count,
            max_words_per_line=max_words_per_line,
            highlight_words=highlight_words,
            min_cue_s=min_cue_s,
            layout=cue_layout,
        )
        inputs = _inputs(files)
        destination = choose_destination(output_dir, [item.value for item in output_format or ()], len(inputs))
        errors = _Conversion(inputs, destination, subtitles, report).go()
    raise typer.Exit(exit_status(errors))


class _Conversion:
    """Reads and writes one file after the other."""

    def __init__(
        self, inputs: Sequence[Input], destination: Destination, subtitles: SubtitleOptions, report: Report
    ) -> None:
        self._inputs = inputs
        self._formats = destination.formats
        self._subtitles = subtitles
        self._report = report
        folder = destination.folder
        self._stems = None if folder is None else [folder / stem for stem in output_stems(inputs)]

    def go(self) -> list[IfwError]:
        """Convert everything, and return what went wrong with single files; it was reported already.

        Raises:
            IfwError: Nothing can be written there.
        """
        labels = [item.label for item in self._inputs]
        printer = Printer(labels, self._report.print_output, format_name=self._formats[0], subtitles=self._subtitles)
        if self._stems is not None:
            refuse_to_replace((item.path for item in self._inputs), self._outputs())
            prepare_folders(self._stems)
        errors: list[IfwError] = []
        for index, item in enumerate(self._inputs):
            try:
                self._convert(index, from_json(_content(item)), printer)
            except IfwError as error:
                if self._stems is None and not isinstance(error, TranscriptError):
                    raise
                self._report.error(item.label, error)
                errors.append(error)
                printer.skip(index)
        return errors

    def _convert(self, index: int, transcript: Transcript, printer: Printer) -> None:
        label = self._inputs[index].label
        if self._subtitles.highlight_words and not any(segment.words for segment in transcript.segments):
            self._report.note(f"warning: {label}: there are no word times, so no word is highlighted")
        if self._stems is None:
            for segment in transcript.segments:
                printer.segment(index, segment)
            printer.finish(index, transcript)
            return
        for path in write_files(transcript, self._stems[index], self._formats, self._subtitles):
            self._report.note(f"wrote {path}")

    def _outputs(self) -> Iterator[Path]:
        return (output_path(stem, name) for stem in self._stems or () for name in self._formats)


def _inputs(arguments: Sequence[str]) -> list[Input]:
    """What the arguments name, each once.

    Raises:
        ConfigError: Standard input is closed or a terminal.
    """
    inputs = [
        standard_input() if argument == STDIN else Input(argument, Path(argument), Path(Path(argument).name))
        for argument in arguments
    ]
    return list(without_repeats(inputs))


def _content(item: Input) -> bytes:
    try:
        return sys.stdin.buffer.read() if item.path is None else item.path.read_bytes()
    except OSError as error:
        raise TranscriptError(f"{item.label}: cannot be read: {error.strerror or error}") from error
