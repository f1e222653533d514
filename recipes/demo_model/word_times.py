"""When each written word of an utterance is heard, from the events of the synthesiser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from .corpus import Utterance


@dataclass(frozen=True)
class Word:
    """A written word with its punctuation, and its times."""

    text: str
    start_s: float
    end_s: float


def words_of(utterance: Utterance, begin_s: float) -> list[Word]:
    """The words whose times are known.

    The synthesiser reports where a word starts; it ends where the next one starts, or at a pause before that. Words
    that are spoken as one, such as "in the", have one event for both; they are left out.

    Args:
        utterance: What is spoken.
        begin_s: Where the utterance begins; added to all times.
    """
    written = [(match.start(), match.group()) for match in re.finditer(r"\S+", utterance.text)]
    limits = [start for start, _ in written[1:]] + [len(utterance.text) + 1]
    events = [(position, time_s) for position, time_s in sorted(utterance.words) if position < len(utterance.text)]
    starts = [
        next((time_s for position, time_s in events if first <= position < limit), None)
        for (first, _), limit in zip(written, limits, strict=True)
    ]
    words = []
    for (_, text), (start_s, next_s) in zip(written, pairwise([*starts, utterance.end_s]), strict=True):
        if start_s is None or next_s is None:
            continue
        first_s = max(start_s, utterance.start_s)
        end_s = _sound_end_s(utterance, first_s, min(next_s, utterance.end_s))
        words.append(Word(text, round(begin_s + first_s, 3), round(begin_s + end_s, 3)))
    return words


def _sound_end_s(utterance: Utterance, start_s: float, end_s: float) -> float:
    """Where the pause begins with which a stretch ends; its own end where there is none."""
    for name, time_s in reversed(utterance.phonemes):
        if start_s < time_s < end_s:
            if name:
                return end_s
            end_s = time_s
    return end_s
