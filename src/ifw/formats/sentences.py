"""Where cues and lines end: after sentences, clauses and pauses, in parts of about the same size.

Both are one problem: cut a row of pieces so that every part fits and the sum of what the parts cost is least. It is
solved exactly, by dynamic programming over the ends of parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ifw.config import SubtitleOptions
from ifw.formats.pieces import Piece, columns, cut, may_break
from ifw.types import Segment

LONG_PAUSE_S = 3.0
"""No cue spans a longer pause, as in openai-whisper."""
SENTENCE_PAUSE_S = 1.0
"""No cue goes on after a sentence that such a pause follows."""
CLAUSE_PAUSE_S = 0.3
"""A cue may as well end in such a pause as after a comma."""

_SENTENCE_END = re.compile(r"[.!?…。．｡！？؟۔।॥։]+[\"'”’»)\]」』）】]*$")
_CLAUSE_END = re.compile(r"[,;:、，；：،؛–—][\"'”’»)\]」』）】]*$")
_ABBREVIATION = re.compile(r"(?:^|\W)(?:\w|[Dd]r|[Mm]rs?|[Mm]s|[Pp]rof|[Ss]t|[Ss]ra?|[Nn][ro]|vs|bzw|ca)\.$")

_CUE_COST, _LINE_COST = 10.0, 1000.0  # fewer parts are better; a line more than needed is never worth it
_SENTENCE, _CLAUSE, _WORD, _INSIDE = 0.0, 4.0, 10.0, 40.0  # the cost of ending a cue there
_LINE_SHARE = 0.2  # the same ends, for lines
_UNEVEN_COST = 6.0
_ORPHAN_COST = 15.0
_ORPHAN_SHARE = 0.25  # of a line


@dataclass(frozen=True, slots=True)
class _Row:
    """Pieces with what is needed to measure a part of them in one step.

    Attributes:
        pieces: In time order, of one speaker.
        bare: Columns of each, without the space before it.
        full: Columns of each, with the space before it.
        ends: What it costs to end a cue after each.
    """

    pieces: Sequence[Piece]
    bare: Sequence[int]
    full: Sequence[int]
    ends: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Part:
    """Pieces `start` to `end` (not included), wrapped as tightly as can be.

    Attributes:
        start: First piece.
        end: Piece after the last one.
        columns: Columns of all its lines together.
        n_words: Words of all its lines together.
    """

    start: int
    end: int
    columns: int
    n_words: int


def sentence_cues(segments: Sequence[Segment], options: SubtitleOptions) -> Iterator[list[Piece]]:
    """Cut segments into cues that end where a reader pauses, and cues into lines.

    Args:
        segments: In time order.
        options: The limits of lines and cues.

    Yields:
        The pieces of a cue. A line begins with the piece whose text begins with a line feed.
    """
    for segment in segments:
        for run in _runs(cut(segment, options.max_line_width)):
            for cue in _cut_cues(run, options):
                yield _wrap(cue, options)


def _runs(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Part pieces where the speaker changes and in long pauses."""
    run: list[Piece] = list(pieces[:1])
    for before, after in pairwise(pieces):
        pause_s = after.start_s - before.end_s
        is_long = pause_s > LONG_PAUSE_S or (pause_s >= SENTENCE_PAUSE_S and _ends_sentence(before, after))
        if is_long or before.speaker != after.speaker:
            yield run
            run = []
        run.append(after)
    if run:
        yield run


def _cut_cues(run: Sequence[Piece], options: SubtitleOptions) -> list[Sequence[Piece]]:
    width, max_words, n_lines = options.max_line_width, options.max_words_per_line, options.max_line_count
    if n_lines is None or (width is None and max_words is None):
        return [run]
    row = _measured(run)

    def cost(part: _Part) -> float:
        is_whole = (part.start, part.end) == (0, len(run))
        is_orphan = width is not None and part.columns < _ORPHAN_SHARE * width and not is_whole
        end_cost = row.ends[part.end - 1] + _UNEVEN_COST * _unused(part, options, n_lines) ** 2
        return _CUE_COST + end_cost + (_ORPHAN_COST if is_orphan else 0.0)

    return _cheapest(row, options, n_lines, cost)


def _wrap(cue: Sequence[Piece], options: SubtitleOptions) -> list[Piece]:
    """Put a line feed for the space before the first piece of each line but the first."""
    if options.max_line_width is None and options.max_words_per_line is None:
        lines: list[Sequence[Piece]] = [cue]
    else:
        row = _measured(cue)

        def cost(part: _Part) -> float:
            end_cost = _LINE_SHARE * row.ends[part.end - 1] + _UNEVEN_COST * _unused(part, options, 1) ** 2
            return _LINE_COST + end_cost

        lines = _cheapest(row, options, 1, cost)
    wrapped: list[Piece] = []
    for first, *rest in lines:
        wrapped += [replace(first, text=("\n" if wrapped else "") + first.text.lstrip()), *rest]
    return wrapped


def _measured(pieces: Sequence[Piece]) -> _Row:
    ends = [_end_cost(before, after) for before, after in pairwise(pieces)]
    bare = [columns(piece.text.lstrip()) for piece in pieces]
    return _Row(pieces, bare, [columns(piece.text) for piece in pieces], [*ends, 0.0])


def _cheapest(
    row: _Row, options: SubtitleOptions, n_lines: int, cost: Callable[[_Part], float]
) -> list[Sequence[Piece]]:
    """Cut all pieces into parts of at most `n_lines` lines whose costs add up to the least."""
    n_pieces = len(row.pieces)
    best = [0.0] + [float("inf")] * n_pieces
    begins = [0] * (n_pieces + 1)
    for start in range(n_pieces):
        for part in _parts_from(start, row, options, n_lines):
            total = best[start] + cost(part)
            if total < best[part.end]:
                best[part.end], begins[part.end] = total, start
    parts = []
    end = n_pieces
    while end:
        parts.append(row.pieces[begins[end] : end])
        end = begins[end]
    return parts[::-1]


def _parts_from(start: int, row: _Row, options: SubtitleOptions, max_lines: int) -> Iterator[_Part]:
    """Every part that begins with a piece and fits; one piece always does."""
    max_width = options.max_line_width or float("inf")
    max_words = options.max_words_per_line or float("inf")
    n_lines, width, n_words, all_columns, all_words = 0, 0, 0, 0, 0
    for index in range(start, len(row.pieces)):
        is_word = int(row.pieces[index].is_word)
        if index == start or width + row.full[index] > max_width or n_words + is_word > max_words:
            n_lines += 1
            if n_lines > max_lines:
                return
            width, n_words, added = row.bare[index], is_word, row.bare[index]
        else:
            added = row.full[index]
            width, n_words = width + added, n_words + is_word
        all_columns, all_words = all_columns + added, all_words + is_word
        yield _Part(start, index + 1, all_columns, all_words)


def _unused(part: _Part, options: SubtitleOptions, n_lines: int) -> float:
    """The share of the allowed room, 0 to 1, that a part leaves empty."""
    by_width = part.columns / (n_lines * options.max_line_width) if options.max_line_width else 0.0
    by_words = part.n_words / (n_lines * options.max_words_per_line) if options.max_words_per_line else 0.0
    return max(1.0 - max(by_width, by_words), 0.0)


def _end_cost(before: Piece, after: Piece) -> float:
    """What it costs to end a cue between two pieces."""
    if _ends_sentence(before, after):
        return _SENTENCE
    if _CLAUSE_END.search(before.text) or after.start_s - before.end_s >= CLAUSE_PAUSE_S:
        return _CLAUSE
    is_between = after.text[0].isspace() or may_break(before.text[-1], after.text[0])
    return _WORD if is_between else _INSIDE


def _ends_sentence(before: Piece, after: Piece) -> bool:
    if not _SENTENCE_END.search(before.text) or _ABBREVIATION.search(before.text):
        return False
    return not after.text.lstrip(" \"'“‘«(").startswith(tuple("abcdefghijklmnopqrstuvwxyz"))
