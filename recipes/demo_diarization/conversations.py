"""Who speaks when: turns of a conversation, with pauses, overlap, and silence at both ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .speech import Utterance


@dataclass(frozen=True, slots=True)
class Manner:
    """How people converse.

    Attributes:
        overlap_share: Changes of speaker at which the next begins before the last has ended.
        interjection_share: Utterances during which somebody else says something short.
        long_pause_share: Pauses that last for seconds.
        longest_lead_s: Silence before the first word, at most.
    """

    overlap_share: float = 0.15
    interjection_share: float = 0.06
    long_pause_share: float = 0.05
    longest_lead_s: float = 2.5


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance in a conversation.

    Attributes:
        start_s: When its sound begins.
        end_s: When its sound ends.
        speaker: Number of the speaker in the conversation.
        utterance: What is said.
    """

    start_s: float
    end_s: float
    speaker: int
    utterance: Utterance


_GO_ON_SHARE = 0.35  # a speaker says another sentence
_SHORT_S = 1.3
_LONG_S = 2.2
_OWN_PAUSE_S = 0.12


def converse(
    rng: np.random.Generator, pools: Sequence[Sequence[Utterance]], duration_s: float, manner: Manner
) -> list[Said]:
    """Draw a conversation.

    Args:
        rng: Source of randomness.
        pools: The utterances of each speaker.
        duration_s: When nobody takes the word any more. The last one may go on for longer.
        manner: How people converse.

    Returns:
        What is said, in order of its starts. No speaker overlaps with themselves.
    """
    said: list[Said] = []
    free_s = [0.0] * len(pools)  # when each has ended
    speaker = int(rng.integers(len(pools)))
    floor_s = rng.uniform(0, manner.longest_lead_s)  # when the one who has the word has ended
    is_change = False
    while True:
        utterance = _draw(rng, pools[speaker])
        length_s = utterance.end_s - utterance.start_s
        if not said:
            start_s = floor_s
        elif is_change and rng.random() < manner.overlap_share:
            start_s = floor_s - min(rng.uniform(0.2, 1.5), 0.6 * length_s)
        elif rng.random() < manner.long_pause_share:
            start_s = floor_s + rng.uniform(1.5, 5)
        else:
            start_s = floor_s + float(np.clip(rng.lognormal(-1.1, 0.8), 0.02, 2.5))
        start_s = max(start_s, free_s[speaker] + _OWN_PAUSE_S, 0.0)
        if start_s >= duration_s:
            return sorted(said, key=lambda one: one.start_s)
        said.append(Said(start_s, start_s + length_s, speaker, utterance))
        free_s[speaker] = start_s + length_s
        floor_s = max(floor_s, start_s + length_s)
        if len(pools) > 1 and length_s > _LONG_S and rng.random() < manner.interjection_share:
            _interject(rng, pools, said, free_s)
        is_change = len(pools) > 1 and rng.random() > _GO_ON_SHARE
        if is_change:
            speaker = (speaker + int(rng.integers(1, len(pools)))) % len(pools)


def _draw(rng: np.random.Generator, pool: Sequence[Utterance]) -> Utterance:
    return pool[int(rng.integers(len(pool)))]


def _interject(
    rng: np.random.Generator, pools: Sequence[Sequence[Utterance]], said: list[Said], free_s: list[float]
) -> None:
    """Somebody says something short while the last one speaks."""
    last = said[-1]
    other = (last.speaker + int(rng.integers(1, len(pools)))) % len(pools)
    short = [one for one in pools[other] if one.end_s - one.start_s < _SHORT_S]
    if not short:
        return
    utterance = _draw(rng, short)
    length_s = utterance.end_s - utterance.start_s
    earliest = max(last.start_s + 0.3, free_s[other] + _OWN_PAUSE_S)
    latest = last.end_s - length_s - 0.2
    if earliest < latest:
        start_s = rng.uniform(earliest, latest)
        said.append(Said(start_s, start_s + length_s, other, utterance))
        free_s[other] = start_s + length_s
