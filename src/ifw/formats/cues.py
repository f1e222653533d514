"""Segments as subtitle cues: whole milliseconds, lines that no subtitle format misreads.

One segment is one cue. Cutting cues by line length and by words goes here, before the formats see them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ifw.formats.times import to_ms
from ifw.types import Segment

MIN_CUE_MS = 100
"""Shorter cues are lengthened to this, as far as the next cue leaves room."""

_ARROW = re.compile(r"-{2,}>")
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Cue:
    """Text that is on the screen between two times.

    Attributes:
        start_ms: Milliseconds from the start of the audio.
        end_ms: Always after `start_ms`.
        text: One or more lines, none of them blank.
        speaker: Label of the speaker, where known.
    """

    start_ms: int
    end_ms: int
    text: str
    speaker: str | None = None


def to_cues(segments: Sequence[Segment]) -> list[Cue]:
    """Turn segments into cues; segments without text give none.

    Args:
        segments: In time order.

    Returns:
        Cues in the same order, each at least 1 ms long.
    """
    cues = [
        Cue(to_ms(segment.start_s), to_ms(segment.end_s), text, _label(segment.speaker))
        for segment in segments
        if (text := clean_lines(segment.text))
    ]
    next_starts = [*(cue.start_ms for cue in cues[1:]), None]
    return [_lengthen(cue, next_start) for cue, next_start in zip(cues, next_starts, strict=False)]


def clean_lines(text: str) -> str:
    """Drop blank lines, which would end a cue, and arrows, which would start one."""
    lines = (line.strip() for line in text.splitlines())
    return _ARROW.sub("->", "\n".join(line for line in lines if line))


def one_line(text: str) -> str:
    """Write tabs and whatever some program takes for a line end as a space; other kinds of space stay."""
    return _BREAKS.sub(" ", text.strip())


def _label(speaker: str | None) -> str | None:
    return None if speaker is None else _ARROW.sub("->", one_line(speaker))


def _lengthen(cue: Cue, next_start_ms: int | None) -> Cue:
    wanted = cue.start_ms + MIN_CUE_MS
    if cue.end_ms >= wanted:
        return cue
    room = wanted if next_start_ms is None else min(wanted, next_start_ms)
    return replace(cue, end_ms=max(cue.end_ms, room, cue.start_ms + 1))
