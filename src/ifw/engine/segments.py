"""From the tokens of a window to pieces of text with times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ifw.constants import POSITION_S


class WindowSegment(NamedTuple):
    """Text between two timestamps of a window.

    Attributes:
        start_s: Seconds from the start of the window.
        end_s: Later than `start_s`, and not before it even where the window leaves no room.
        token_ids: Text tokens, without timestamps.
        text: Their text, without surrounding space.
        token_logprobs: Natural-log probability of each of `token_ids`; None where they are not known.
    """

    start_s: float
    end_s: float
    token_ids: tuple[int, ...]
    text: str
    token_logprobs: tuple[float, ...] | None = None


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


def split_segments(
    token_ids: Sequence[int],
    tokenizer: TextDecoder,
    content_s: float,
    token_logprobs: Sequence[float] | None = None,
) -> list[WindowSegment]:
    """Cut the tokens of a window at their timestamps.

    A timestamp before text starts a segment, the next one ends it. Text without a start begins where the segment
    before it ended, text without an end reaches to the end of the content: openai-whisper drops the latter and
    decodes it again from a window that starts there, but our windows are cut in silence and are not moved.

    Args:
        token_ids: Of a `Hypothesis`.
        tokenizer: Of the checkpoint.
        content_s: Seconds of the window that are audio and not padding, above 0; later times are moved back to it.
        token_logprobs: Of the same `Hypothesis`, where they are wanted.

    Returns:
        Segments in time order that do not overlap, none without text, times within 0 and `content_s`.

    Source:
        openai/whisper `transcribe.py`: the rules about consecutive timestamps and a single one at the end.
    """
    assert content_s > 0, content_s
    segments: list[WindowSegment] = []
    for piece in _pieces(token_ids, tokenizer):
        text_ids = tuple(token_ids[index] for index in piece.indices)
        text = tokenizer.decode(text_ids).strip()
        if text:
            logprobs = None if token_logprobs is None else tuple(token_logprobs[index] for index in piece.indices)
            start_s, end_s = _times(piece, segments[-1].end_s if segments else 0.0, content_s)
            _place(segments, WindowSegment(start_s, end_s, text_ids, text, logprobs))
    return segments


@dataclass(slots=True)
class _Piece:
    """Where text tokens are among all tokens, and the timestamps around them, as the model gave them."""

    start_s: float | None = None
    end_s: float | None = None
    indices: list[int] = field(default_factory=list)


def _pieces(token_ids: Sequence[int], tokenizer: TextDecoder) -> list[_Piece]:
    pieces = [_Piece()]
    for index, token in enumerate(token_ids):
        piece = pieces[-1]
        if token < tokenizer.eot:
            piece.indices.append(index)
        elif token >= tokenizer.timestamp_begin:
            time_s = (token - tokenizer.timestamp_begin) * POSITION_S
            if piece.indices:
                piece.end_s = time_s
                pieces.append(_Piece())
            else:
                piece.start_s = time_s
    return pieces


def _times(piece: _Piece, floor_s: float, content_s: float) -> tuple[float, float]:
    """Start and end of a piece between what is before it and the end of the content, as far as there is room."""
    start_s = floor_s if piece.start_s is None else min(max(piece.start_s, floor_s), content_s)
    end_s = content_s if piece.end_s is None else min(piece.end_s, content_s)
    if end_s <= start_s:
        end_s = min(start_s + POSITION_S, content_s)
    if end_s <= start_s:
        start_s = max(end_s - POSITION_S, floor_s)
    return start_s, end_s


def _place(segments: list[WindowSegment], segment: WindowSegment) -> None:
    """Append a segment, or join it to the one before it where that one leaves no room."""
    if segment.end_s > segment.start_s:
        segments.append(segment)
        return
    last = segments.pop()
    logprobs = None
    if last.token_logprobs is not None and segment.token_logprobs is not None:
        logprobs = (*last.token_logprobs, *segment.token_logprobs)
    token_ids = (*last.token_ids, *segment.token_ids)
    segments.append(WindowSegment(last.start_s, last.end_s, token_ids, f"{last.text} {segment.text}", logprobs))
