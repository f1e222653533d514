"""Cues as openai-whisper lays them out: line after line is filled, then cue after cue.

Source: openai/whisper v20250625, whisper/utils.py, `SubtitlesWriter.iterate_result`; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ifw.config import SubtitleOptions
from ifw.formats.clean_text import clean_lines, flat
from ifw.formats.pieces import Piece
from ifw.types import Segment

LONG_PAUSE_S = 3.0
"""Measured from the start of a word to the start of the next."""

_WITHOUT_LIMIT = 1000


def openai_cues(segments: Sequence[Segment], options: SubtitleOptions) -> Iterator[list[Piece]]:
    """Lay out segments as openai-whisper does; beyond it, a new speaker always begins a cue.

    Without any word times each segment is a cue. Where only some segments have them, each of the others counts as one
    word.

    Args:
        segments: In time order.
        options: The limits of lines and cues, as openai-whisper understands them.

    Yields:
        The pieces of a cue. A line begins with the piece whose text begins with a line feed.
    """
    if not any(segment.words for segment in segments):
        for segment in segments:
            if text := clean_lines(segment.text):
                yield [Piece(text, segment.start_s, segment.end_s, segment.speaker, False)]
        return
    is_flowing = options.max_line_width is not None and options.max_line_count is not None
    max_width = options.max_line_width or _WITHOUT_LIMIT
    cue: list[Piece] = []
    width, n_lines, last_s = 0, 1, None
    for piece, is_first in _words(segments, options.max_words_per_line or _WITHOUT_LIMIT):
        is_paused = is_flowing and last_s is not None and piece.start_s - last_s > LONG_PAUSE_S
        is_cut = bool(cue) and ((is_first and not is_flowing) or piece.speaker != cue[-1].speaker)
        if width > 0 and width + len(piece.text) <= max_width and not is_paused and not is_cut:
            width += len(piece.text)
            cue.append(piece)
        else:
            text = piece.text.strip()
            is_full = options.max_line_count is not None and (is_paused or n_lines >= options.max_line_count)
            if cue and (is_full or is_cut):
                yield cue
                cue, n_lines = [], 1
            elif width > 0:
                n_lines += 1
                text = f"\n{text}"
            width = len(text.strip())
            cue.append(replace(piece, text=text))
        last_s = piece.start_s
    if cue:
        yield cue


def _words(segments: Sequence[Segment], max_words: int) -> Iterator[tuple[Piece, bool]]:
    """Every word, and whether it is the first of its segment or of `max_words` words of it."""
    for segment in segments:
        if not segment.words:
            text = flat(f" {segment.text}").rstrip()
            if text:
                yield Piece(text, segment.start_s, segment.end_s, segment.speaker, False), True
            continue
        for index, word in enumerate(segment.words):
            speaker = word.speaker or segment.speaker
            yield Piece(flat(word.text), word.start_s, word.end_s, speaker, True), index % max_words == 0
