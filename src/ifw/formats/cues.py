"""Segments as subtitle cues: whole milliseconds, one after the other, none without length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from ifw.config import SubtitleOptions
from ifw.formats.clean_text import one_line
from ifw.formats.line_breaking import sentence_cues
from ifw.formats.openai_cues import openai_cues
from ifw.formats.pieces import Piece
from ifw.formats.times import to_ms
from ifw.types import Segment


@dataclass(frozen=True, slots=True)
class Cue:
    """Text that is on the screen between two times.

    Attributes:
        start_ms: Milliseconds from the start of the audio.
        end_ms: Always after `start_ms`, never after the start of the next cue.
        text: One or more lines, none of them blank.
        speaker: Label of the speaker, where known.
        highlight: Where in the text the word that is being spoken begins and ends; None without one.
    """

    start_ms: int
    end_ms: int
    text: str
    speaker: str | None = None
    highlight: tuple[int, int] | None = None


def to_cues(segments: Sequence[Segment], options: SubtitleOptions | None = None) -> list[Cue]:
    """Turn segments into cues; segments without text give none.

    Args:
        segments: In time order.
        options: How cues are cut and how long they stay; None stands for the defaults.

    Returns:
        Cues in time order that do not overlap, each at least 1 ms long.
    """
    options = options or SubtitleOptions()
    lay_out = openai_cues if options.layout == "openai" else sentence_cues
    cues: list[Cue] = []
    for pieces in lay_out(segments, options):
        is_highlighted = options.highlight_words and all(piece.is_timed for piece in pieces)
        cues += _highlighted(pieces) if is_highlighted else [_plain(pieces)]
    return _in_turn([cue for cue in cues if cue.text.strip()], 0 if options.highlight_words else options.min_cue_s)


def _plain(pieces: Sequence[Piece]) -> Cue:
    speaker = pieces[0].speaker
    label = None if speaker is None else one_line(speaker)
    text = "".join(piece.text for piece in pieces)
    return Cue(to_ms(pieces[0].start_s), to_ms(pieces[-1].end_s), text, label)


def _highlighted(pieces: Sequence[Piece]) -> Iterator[Cue]:
    """The same text for every word and for every pause between words, with a mark on the word."""
    plain = _plain(pieces)
    last_ms = plain.start_ms
    end = 0
    for word in _words(pieces):
        text = "".join(piece.text for piece in word)
        start, end = end + len(text) - len(text.lstrip()), end + len(text)
        start_ms, end_ms = to_ms(word[0].start_s), to_ms(word[-1].end_s)
        if last_ms < start_ms:
            yield replace(plain, start_ms=last_ms, end_ms=start_ms)
        yield replace(plain, start_ms=start_ms, end_ms=end_ms, highlight=(start, end))
        last_ms = end_ms


def _words(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """The pieces of each word, as far as they are in this cue."""
    words: list[list[Piece]] = []
    for piece in pieces:
        if piece.is_word or not words:
            words.append([])
        words[-1].append(piece)
    return words


def _in_turn(cues: Sequence[Cue], min_cue_s: float | None) -> list[Cue]:
    """Let every cue start after the one before it, stay for its time, and end before the next one starts."""
    if not cues:
        return []
    min_ms = max(to_ms(min_cue_s or 0.0), 1)
    starts = list(accumulate((cue.start_ms for cue in cues), lambda last, start: max(start, last + 1)))
    ends = [max(cue.end_ms, start + min_ms) for cue, start in zip(cues, starts, strict=True)]
    ends = [*(min(end, after) for end, (_, after) in zip(ends, pairwise(starts), strict=False)), ends[-1]]
    return [replace(cue, start_ms=start, end_ms=end) for cue, start, end in zip(cues, starts, ends, strict=True)]
