"""Who said what, as OpenAI's API tells it: stretches of one speaker each, who are called A, B, ... or by their names.

Source: OpenAI's OpenAPI document, `TranscriptionDiarizedSegment`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Final

from ifw.types import Segment

UNKNOWN_SPEAKER: Final = "unknown"
"""Stands for the speaker of a segment that none was found for, where a reply has no segment without one."""

_N_LETTERS: Final = 26


@dataclass(frozen=True, slots=True)
class SpokenPiece:
    """What one speaker said in a segment.

    Attributes:
        speaker: As the API calls them.
        start_s: Start in the audio.
        end_s: End in the audio.
        text: Without surrounding space.
    """

    speaker: str
    start_s: float
    end_s: float
    text: str


class SpeakerNames:
    """Names the speakers in the order in which they are first heard.

    Args:
        known: Names of the speakers that are known, by their labels; the others get letters.
        taken: Names that nobody else may have, besides those of `known`.
    """

    def __init__(self, known: Mapping[str, str] = MappingProxyType({}), taken: Collection[str] = ()) -> None:
        self._names = dict(known)
        self._taken = frozenset((*taken, *self._names.values()))
        self._n_lettered = 0

    def name(self, label: str | None) -> str:
        """What the speaker with a label is called."""
        if label is None:
            return UNKNOWN_SPEAKER
        while label not in self._names:
            letters = _letters(self._n_lettered)
            self._n_lettered += 1
            if letters not in self._taken:
                self._names[label] = letters
        return self._names[label]

    def pieces(self, segments: Sequence[Segment]) -> Iterator[SpokenPiece]:
        """Cut segments where the speaker changes from one word to the next.

        Args:
            segments: In time order.

        Yields:
            Pieces in time order, none without text.
        """
        for segment in segments:
            if not segment.words or all(word.speaker is None for word in segment.words):
                if segment.text:
                    yield SpokenPiece(self.name(segment.speaker), segment.start_s, segment.end_s, segment.text)
                continue
            for label, group in groupby(segment.words, key=lambda word: word.speaker):
                words = list(group)
                text = "".join(word.text for word in words).strip()
                if text:
                    yield SpokenPiece(self.name(label), words[0].start_s, words[-1].end_s, text)


def _letters(number: int) -> str:
    """A to Z, then AA, AB, ..."""
    letters = ""
    number += 1
    while number:
        number, place = divmod(number - 1, _N_LETTERS)
        letters = chr(ord("A") + place) + letters
    return letters
