"""Words of a window as words of the audio: inside the speech that they were heard in, in order, none without length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from ifw.constants import POSITION_S
from ifw.types import SpeechSpan, Word

if TYPE_CHECKING:
    from ifw.engine.words import WindowWord
    from ifw.speech.windows import Window


def place_words(segments: Sequence[Sequence[WindowWord]], window: Window) -> list[tuple[Word, ...]]:
    """Turn the words of a window into words of the audio.

    A word that reaches over silence keeps the span of speech that holds most of it; one that lies in silence moves to
    the nearest. Where a span holds words that have no length, or that moved onto each other, each gets one position
    (0.02 s), or an equal share of a span that is too short for that.

    Args:
        segments: The words of each segment, in order.
        window: Where they come from.

    Returns:
        The words of each segment: in order, without overlap, each longer than nothing and inside one span of speech.
    """
    words = [word for segment in segments for word in segment]
    times = [_in_audio(word, window) for word in words]
    spans: list[int] = []
    for start_s, end_s in times:
        spans.append(_span_of(start_s, end_s, window.spans, spans[-1] if spans else 0))
    placed: list[Word] = []
    for span, indices in groupby(range(len(words)), key=spans.__getitem__):
        chosen = list(indices)
        for index, (start_s, end_s) in zip(
            chosen, _spread([times[i] for i in chosen], window.spans[span]), strict=True
        ):
            placed.append(Word(words[index].text, start_s, end_s, words[index].probability))
    rest = iter(placed)
    return [tuple(next(rest) for _ in segment) for segment in segments]


def _in_audio(word: WindowWord, window: Window) -> tuple[float, float]:
    start_s = window.to_audio_time(word.start_s)
    return start_s, max(start_s, window.to_audio_time(word.end_s, is_end=True))


def _span_of(start_s: float, end_s: float, spans: Sequence[SpeechSpan], first: int) -> int:
    """The span with most of the word, or the nearest one; none before `first`."""

    def overlap_s(index: int) -> float:
        return min(end_s, spans[index].end_s) - max(start_s, spans[index].start_s)  # negative: so far away

    return max(range(first, len(spans)), key=overlap_s)


def _spread(times: Sequence[tuple[float, float]], span: SpeechSpan) -> list[tuple[float, float]]:
    """Move times into a span, so that none overlap and all have a length."""
    least_s = min(POSITION_S, span.duration_s / len(times))
    spread: list[tuple[float, float]] = []
    free_s = span.start_s
    for index, (start_s, end_s) in enumerate(times):
        last_s = max(span.end_s - (len(times) - index) * least_s, free_s)  # where it must start, at the latest
        begin_s = min(max(start_s, free_s), last_s)
        free_s = min(max(end_s, begin_s + least_s), last_s + least_s, span.end_s)  # sums may round beyond the end
        spread.append((begin_s, free_s))
    return spread
