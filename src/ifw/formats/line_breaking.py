"""Where cues and lines end: after sentences, clauses and pauses, in parts of about the same size.

Both are one problem: cut a row of pieces so that every part fits and the sum of what the parts cost is least. It is
solved exactly, by dynamic programming over the ends of parts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
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

_SENTENCE, _CLAUSE, _WORD, _INSIDE = 0.0, 4.0, 10.0, 40.0  # the cost of ending a cue there
_UNEVEN_COST = 6.0
_ORPHAN_COST = 15.0
_ORPHAN_SHARE = 0.25  # of a line


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a part may hold, and what it costs.

    Attributes:
        n_lines: Lines of a part.
        max_width: Columns of a line.
        max_words: Words of a line.
        cost: Of any part, so that fewer are better.
        end_share: How much it matters where a part ends.
        orphan_columns: Narrower parts are to be avoided.
    """

    n_lines: int
    max_width: float
    max_words: float
    cost: float
    end_share: float
    orphan_columns: float


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
    if options.max_line_count is None:
        return [run]
    max_width, max_words = _limits(options)
    orphan_columns = _ORPHAN_SHARE * max_width if options.max_line_width else 0.0
    return _cheapest(run, _Shape(options.max_line_count, max_width, max_words, 10.0, 1.0, orphan_columns))


def _wrap(cue: Sequence[Piece], options: SubtitleOptions) -> list[Piece]:
    """Put a line feed for the space before the first piece of each line but the first."""
    lines = _cheapest(cue, _Shape(1, *_limits(options), 1000.0, 0.2, 0.0))  # never a line more than need be
    wrapped: list[Piece] = []
    for first, *rest in lines:
        wrapped += [replace(first, text=("\n" if wrapped else "") + first.text.lstrip()), *rest]
    return wrapped


def _limits(options: SubtitleOptions) -> tuple[float, float]:
    """Columns and words of a line."""
    return options.max_line_width or math.inf, options.max_words_per_line or math.inf


def _cheapest(pieces: Sequence[Piece], shape: _Shape) -> list[Sequence[Piece]]:
    """Cut pieces into parts whose costs add up to the least."""
    n_pieces = len(pieces)
    ends = [0.0, *(shape.cost + shape.end_share * _end_cost(*pair) for pair in pairwise(pieces)), shape.cost]
    room, words_room = shape.n_lines * shape.max_width, shape.n_lines * shape.max_words
    best = [0.0] + [math.inf] * n_pieces
    begins = [0] * (n_pieces + 1)
    sizes = [(columns(piece.text.lstrip()), columns(piece.text), int(piece.is_word)) for piece in pieces]
    for start in range(n_pieces):
        for end, width, n_words in _fitting(sizes, start, shape):
            unused = 1.0 - max(width / room, n_words / words_room)
            cost = best[start] + ends[end] + _UNEVEN_COST * unused * unused
            if width < shape.orphan_columns:
                cost += _ORPHAN_COST
            if cost < best[end]:
                best[end], begins[end] = cost, start
        if best[-1] < math.inf and start == 0:
            break  # all fits into one part, and two cost more
    parts = []
    end = n_pieces
    while end:
        parts.append(pieces[begins[end] : end])
        end = begins[end]
    return parts[::-1]


def _fitting(sizes: Sequence[tuple[int, int, int]], start: int, shape: _Shape) -> Iterator[tuple[int, int, int]]:
    """Every part that begins with a piece and fits, when its lines are filled one after the other.

    Args:
        sizes: Of each piece: columns without the space before it, columns with it, words.
        start: The first piece.
        shape: What fits.

    Yields:
        The piece after the last one, the columns and the words of all lines. One piece always fits.
    """
    n_lines, width, n_words, all_columns, all_words = 1, 0, 0, 0, 0
    for index in range(start, len(sizes)):
        bare, full, is_word = sizes[index]
        if index == start:
            full, is_word = bare, 1  # the rest of a word that was cut is a word of this line
        elif width + full > shape.max_width or n_words + is_word > shape.max_words:
            n_lines += 1
            if n_lines > shape.n_lines:
                return
            width, n_words, full, is_word = 0, 0, bare, 1
        width, n_words = width + full, n_words + is_word
        all_columns, all_words = all_columns + full, all_words + is_word
        yield index + 1, all_columns, all_words


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
