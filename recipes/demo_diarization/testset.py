"""Conversations of voices that were never trained on, to measure with: who speaks when, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ifw.types import SpeakerTurn

from .acoustics import Cast, Surroundings, mix
from .conversations import Manner, Said, converse
from .speech import Corpus, FloatArray

_TAIL_S: Final = 2.0
_SURROUNDINGS: Final = Surroundings(noise_share=0.7, lowest_snr_db=12.0, room_share=0.4, longest_reverberation_s=0.4)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of conversation.

    Attributes:
        name: What it is called in tables.
        n_speakers: So many speak.
        duration_s: About how long.
        is_similar: All speakers have the same variant, and differ only in pitch, tension and speed.
        is_goal: Whether the goals are about this kind.
    """

    name: str
    n_speakers: int
    duration_s: float = 90.0
    is_similar: bool = False
    is_goal: bool = True


KINDS: Final = (
    Kind("two", 2),
    Kind("three", 3),
    Kind("four", 4),
    Kind("short", 2, duration_s=20.0),
    Kind("alone", 1, is_goal=False),
    Kind("similar", 2, is_similar=True, is_goal=False),
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One recording with its reference.

    Attributes:
        kind: What kind it is.
        samples: [n] float32.
        said: Utterances in order of their starts.
    """

    kind: Kind
    samples: FloatArray
    said: tuple[Said, ...]

    @property
    def turns(self) -> tuple[SpeakerTurn, ...]:
        """Who speaks when, an utterance a turn."""
        return tuple(SpeakerTurn(one.start_s, one.end_s, f"voice {one.speaker}") for one in self.said)


def draw_conversation(corpus: Corpus, kind: Kind, seed: Sequence[int], duration_s: float | None = None) -> Conversation:
    """Draw a conversation of a kind, of its usual length or another."""
    rng = np.random.default_rng(seed)
    voices = _choose(rng, corpus, kind)
    while True:
        said = converse(rng, [corpus.by_voice[voice] for voice in voices], duration_s or kind.duration_s, Manner())
        if len({one.speaker for one in said}) == kind.n_speakers:
            break
    length_s = max(one.end_s for one in said) + rng.uniform(0.2, _TAIL_S)
    return Conversation(kind, mix(rng, said, Cast(corpus, tuple(voices)), length_s, _SURROUNDINGS), tuple(said))


def draw_set(corpus: Corpus, n_each: int, seed: int) -> list[Conversation]:
    """Draw so many conversations of each kind."""
    return [
        draw_conversation(corpus, kind, (seed, index, number))
        for index, kind in enumerate(KINDS)
        for number in range(n_each)
    ]


def _choose(rng: np.random.Generator, corpus: Corpus, kind: Kind) -> list[int]:
    """Voices of different variants, or all of one."""
    variants = sorted({voice.variant for voice in corpus.voices})
    chosen = rng.choice(variants, 1 if kind.is_similar else kind.n_speakers, replace=False).tolist()
    voices: list[int] = []
    for variant in chosen * (kind.n_speakers // len(chosen)):
        options = [n for n, voice in enumerate(corpus.voices) if voice.variant == variant and n not in voices]
        voices.append(options[int(rng.integers(len(options)))])
    return voices
