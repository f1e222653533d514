"""Transcripts on standard output, in the order of the inputs, whatever order the files finish in."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence

from ifw.cli.visible import visible
from ifw.config import SubtitleOptions
from ifw.formats import FormatName, to_dict, write
from ifw.formats.text import text_line
from ifw.formats.times import clock, to_ms
from ifw.types import Segment, Transcript


class Printer:
    """Prints the first unfinished input at once and holds back the others until it is their turn.

    Text appears segment by segment; every other format is printed when its transcript is whole. JSON takes one line
    a file, with the name of the file in it, so that several can follow one another.

    Args:
        labels: The names of the inputs; each must end with `finish` or `skip`.
        emit: Called with each piece of output, which carries its own line ends.
        format_name: What is printed.
        subtitles: How the cues of srt and vtt are made.
        stamps: For people: `[start --> end]` before each line of text, the name of the file above several.
    """

    def __init__(
        self,
        labels: Sequence[str],
        emit: Callable[[str], None],
        *,
        format_name: FormatName = "txt",
        subtitles: SubtitleOptions | None = None,
        stamps: bool = False,
    ) -> None:
        self._emit = emit
        self._format: FormatName = format_name
        self._subtitles = subtitles
        self._stamps = stamps
        self._labels = labels
        self._turn = 0
        self._held: defaultdict[int, list[str]] = defaultdict(list)
        self._ended: set[int] = set()
        self._unnamed = set(range(len(labels))) if stamps and format_name == "txt" and len(labels) > 1 else set()

    def segment(self, index: int, segment: Segment) -> None:
        """Take a final segment of an input."""
        if self._format == "txt" and (line := text_line(segment)):
            self._put(index, f"{stamp(segment)} {line}\n" if self._stamps else f"{line}\n")

    def finish(self, index: int, transcript: Transcript) -> None:
        """Take the end of an input that went well."""
        if self._format == "json":
            named = {"file": self._labels[index], **to_dict(transcript)}
            self._put(index, json.dumps(named, ensure_ascii=False, allow_nan=False) + "\n")
        elif self._format != "txt":
            self._put(index, write(transcript, self._format, self._subtitles))
        else:
            self._put(index, "")
        self.skip(index)

    def skip(self, index: int) -> None:
        """Take the end of an input; what it printed so far stays."""
        self._ended.add(index)
        while self._turn in self._ended:
            self._turn += 1
            for text in self._held.pop(self._turn, ()):
                self._emit(text)

    def _put(self, index: int, text: str) -> None:
        if index in self._unnamed:
            self._unnamed.remove(index)
            text = f"==> {visible(self._labels[index])} <==\n{text}"
        if not text:
            return
        if index == self._turn:
            self._emit(text)
        else:
            self._held[index].append(text)


def stamp(segment: Segment) -> str:
    """Write the times of a segment as openai-whisper prints them: `[00:01.000 --> 00:04.500]`."""
    start, end = (clock(to_ms(time_s), ".", always_hours=False) for time_s in (segment.start_s, segment.end_s))
    return f"[{start} --> {end}]"
