"""From the tokens of a window to pieces of text with times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ifw.constants import POSITION_S


class WindowSegment(NamedTuple):
    """Text between two timestamps of a window.

    Attributes:
        start_s: Seconds from the start of the window.
        end_s: Later than `start_s`, and not before it even where the window leaves no room.
        token_ids: Text tokens, without timestamps.
        text: Their text, without surrounding space.
    """

    start_s: float
    end_s: float
    token_ids: tuple[int, ...]
    text: str


class TextDecoder(Protocol):
    """What `split_segments` needs of a tokenizer."""

    @property
    def eot(self) -> int:
        """The first token that is no text."""
        ...

    @property
    def timestamp_begin(self) -> int:
        """The token of 0.00 s."""
        ...

    def decode(self, token_ids: Sequence[int], /) -> str:
        """The text of text tokens."""
        ...


def split_segments(token_ids: Iterable[int], tokenizer: TextDecoder, content_s: float) -> list[WindowSegment]:
    """Cut the tokens of a window at their timestamps.

    A timestamp before text starts a segment, the next one ends it. Text without a start begins where the segment
    before it ended, text without an end reaches to the end of the content: openai-whisper drops the latter and
    decodes it again from a window that starts there, but our windows are cut in silence and are not moved.

    Args:
        token_ids: Of a `Hypothesis`.
        tokenizer: Of the checkpoint.
        content_s: Seconds of the window that are audio and not padding, above 0; later times are moved back to it.

    Returns:
        Segments in time order that do not overlap, none without text, times within 0 and `content_s`.

    Source:
        openai/whisper `transcribe.py`: the rules about consecutive timestamps and a single one at the end.
    """
    assert content_s > 0, content_s
    segments: list[WindowSegment] = []
    for piece in _pieces(token_ids, tokenizer):
        text = tokenizer.decode(piece.text_ids).strip()
        if text:
            _place(segments, piece, text, content_s)
    return segments


@dataclass(slots=True)
class _Piece:
    """Text tokens and the timestamps around them, as the model gave them."""

    start_s: float | None
    end_s: float | None
    text_ids: list[int]


def _pieces(token_ids: Iterable[int], tokenizer: TextDecoder) -> list[_Piece]:
    pieces = [_Piece(None, None, [])]
    for token in token_ids:
        piece = pieces[-1]
        if token < tokenizer.eot:
            piece.text_ids.append(token)
        elif token >= tokenizer.timestamp_begin:
            time_s = (token - tokenizer.timestamp_begin) * POSITION_S
            if piece.text_ids:
                piece.end_s = time_s
                pieces.append(_Piece(None, None, []))
            else:
                piece.start_s = time_s
    return pieces


def _place(segments: list[WindowSegment], piece: _Piece, text: str, content_s: float) -> None:
    """Append a piece, or join it to the segment before it where that one leaves no room."""
    floor_s = segments[-1].end_s if segments else 0.0
    start_s = floor_s if piece.start_s is None else min(max(piece.start_s, floor_s), content_s)
    end_s = content_s if piece.end_s is None else min(piece.end_s, content_s)
    if end_s <= start_s:
        end_s = min(start_s + POSITION_S, content_s)
    if end_s <= start_s:
        start_s = max(end_s - POSITION_S, floor_s)
    if end_s > start_s:
        segments.append(WindowSegment(start_s, end_s, tuple(piece.text_ids), text))
    else:
        last = segments.pop()
        segments.append(last._replace(token_ids=(*last.token_ids, *piece.text_ids), text=f"{last.text} {text}"))
