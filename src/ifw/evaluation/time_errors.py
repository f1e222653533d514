"""How far the times of words and segments are from the true ones, after their words are aligned."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ifw.evaluation.error_counts import matching_words
from ifw.evaluation.normaliser import Normaliser


class Timed(Protocol):
    """Text with times, such as `Word`, `Segment` and `TimedText`."""

    @property
    def text(self) -> str:
        """The text."""

    @property
    def start_s(self) -> float:
        """Start in the audio."""

    @property
    def end_s(self) -> float:
        """End in the audio."""


@dataclass(frozen=True, slots=True)
class TimeErrors:
    """Absolute differences to true times, in seconds.

    Attributes:
        n_reference: True words or segments, those included that matched nothing.
        starts_s: One for each start that has a counterpart.
        ends_s: One for each end that has a counterpart.
    """

    n_reference: int = 0
    starts_s: tuple[float, ...] = ()
    ends_s: tuple[float, ...] = ()

    @property
    def mean_start_s(self) -> float | None:
        """Mean absolute error of the starts; None where nothing matched."""
        return statistics.fmean(self.starts_s) if self.starts_s else None

    @property
    def median_start_s(self) -> float | None:
        """Median absolute error of the starts; None where nothing matched."""
        return statistics.median(self.starts_s) if self.starts_s else None

    @property
    def mean_end_s(self) -> float | None:
        """Mean absolute error of the ends; None where nothing matched."""
        return statistics.fmean(self.ends_s) if self.ends_s else None

    @property
    def median_end_s(self) -> float | None:
        """Median absolute error of the ends; None where nothing matched."""
        return statistics.median(self.ends_s) if self.ends_s else None

    @classmethod
    def total(cls, errors: Iterable[TimeErrors]) -> TimeErrors:
        """The errors of several files together."""
        kept = tuple(errors)
        return cls(
            sum(item.n_reference for item in kept),
            tuple(start_s for item in kept for start_s in item.starts_s),
            tuple(end_s for item in kept for end_s in item.ends_s),
        )


def word_time_errors(reference: Sequence[Timed], hypothesis: Sequence[Timed], normaliser: Normaliser) -> TimeErrors:
    """Compare the times of words that are the same, in the same place.

    Args:
        reference: The true words.
        hypothesis: The written words.
        normaliser: Decides which words are the same; what it makes nothing of, such as a dash, is left out.
    """
    true, written = _with_text(reference, normaliser), _with_text(hypothesis, normaliser)
    pairs = [
        (true[index][0], written[other][0])
        for index, other in matching_words([text for _, text in true], [text for _, text in written])
    ]
    return TimeErrors(
        len(true),
        tuple(abs(one.start_s - other.start_s) for one, other in pairs),
        tuple(abs(one.end_s - other.end_s) for one, other in pairs),
    )


def segment_time_errors(reference: Sequence[Timed], hypothesis: Sequence[Timed], normaliser: Normaliser) -> TimeErrors:
    """Compare where segments start and end.

    A start has a counterpart where the first word of a true segment is also the first of a written one, an end where
    the last word is. Segments that were cut elsewhere thus leave out a time, and `n_reference` shows it.

    Args:
        reference: The true segments.
        hypothesis: The written segments.
        normaliser: Decides which words are the same.
    """
    true, written = _in_words(reference, normaliser), _in_words(hypothesis, normaliser)
    pairs = [
        (true[index], written[other])
        for index, other in matching_words([word.text for word in true], [word.text for word in written])
    ]
    return TimeErrors(
        sum(word.start_s is not None for word in true),
        tuple(
            abs(one.start_s - other.start_s)
            for one, other in pairs
            if one.start_s is not None and other.start_s is not None
        ),
        tuple(
            abs(one.end_s - other.end_s) for one, other in pairs if one.end_s is not None and other.end_s is not None
        ),
    )


@dataclass(frozen=True, slots=True)
class _SegmentWord:
    """A word whose start is known if it begins a segment, and whose end if it ends one."""

    text: str
    start_s: float | None
    end_s: float | None


def _with_text(words: Sequence[Timed], normaliser: Normaliser) -> list[tuple[Timed, str]]:
    """Each word with what it is compared by: one piece without spaces."""
    normalised = ((word, "".join(normaliser.words(word.text))) for word in words)
    return [(word, text) for word, text in normalised if text]


def _in_words(segments: Sequence[Timed], normaliser: Normaliser) -> list[_SegmentWord]:
    words = []
    for segment in segments:
        texts = normaliser.words(segment.text)
        for place, text in enumerate(texts):
            start_s = segment.start_s if place == 0 else None
            words.append(_SegmentWord(text, start_s, segment.end_s if place == len(texts) - 1 else None))
    return words
