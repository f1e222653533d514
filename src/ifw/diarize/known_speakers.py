"""Which of the speakers that were told apart are people whose voices are known. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Embedding = Sequence[float] | npt.NDArray[np.float32]

MIN_SIMILARITY: Final = 0.55
"""From which on two voices are taken for one person's. Measured with clips of 3 s from other recordings of the
validation voices of `recipes/demo_diarization`: 66 of 69 speakers get their names, as many as with any lower one, and
8 of 72 strangers get one (12 at 0.5, 17 at 0.4). A higher one loses names: 60 are left at 0.7."""


def recognise(
    embeddings: Mapping[str, Embedding], references: Mapping[str, Embedding], min_similarity: float = MIN_SIMILARITY
) -> dict[str, str]:
    """Find out which speakers are known, the most alike first; nobody is found twice.

    Args:
        embeddings: [D] of each speaker, by label, as `Diarization.embeddings` has them; all zeros are like nobody.
        references: [D] of each known voice, by name, as `Diarizer.embed` gives them.
        min_similarity: The cosine of the angle between two embeddings from which on they are of one person.

    Returns:
        Names by label; speakers who are like nobody are left out.
    """
    found: dict[str, str] = {}
    pairs = [
        (similarity(voice, known), label, name)
        for label, voice in embeddings.items()
        for name, known in references.items()
    ]
    for alike, label, name in sorted(pairs, key=lambda pair: -pair[0]):
        if alike >= min_similarity and label not in found and name not in found.values():
            found[label] = name
    return found


def similarity(one: Embedding, other: Embedding) -> float:
    """The cosine of the angle between two embeddings of one length, -1 to 1; below all of them where one is zero."""
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    length = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / length if length > 0 else -np.inf
