"""Plain text and tab-separated values, one segment a line."""

from __future__ import annotations

from ifw.formats.clean_text import one_line
from ifw.formats.times import to_ms
from ifw.types import Segment, Transcript


def to_txt(transcript: Transcript) -> str:
    """Write the text, one segment a line, speakers as `[label]: ` before it; segments without text give no line."""
    return "".join(f"{line}\n" for segment in transcript.segments if (line := text_line(segment)))


def to_tsv(transcript: Transcript) -> str:
    """Write `start`, `end` (whole milliseconds) and `text`, with a header line; tabs and line ends become spaces."""
    rows = [
        f"{to_ms(segment.start_s)}\t{to_ms(segment.end_s)}\t{text}\n"
        for segment in transcript.segments
        if (text := one_line(segment.text))
    ]
    return "".join(["start\tend\ttext\n", *rows])


def text_line(segment: Segment) -> str:
    """Write one segment as `to_txt` does, without the line end."""
    text = one_line(segment.text)
    return text if segment.speaker is None or not text else f"[{one_line(segment.speaker)}]: {text}"
