"""Whether words are on the right speaker: of those that were recognised, how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ifw.evaluation.error_counts import matching_words


@dataclass(frozen=True, slots=True)
class AttributedWords:
    """Counts of words; those of several files add up.

    Attributes:
        n_reference: Words of the reference.
        n_recognised: Words of the hypothesis that stand in the reference, on the shortest way from one to the other.
        n_right: Those of them that are on the right speaker.
    """

    n_reference: int = 0
    n_recognised: int = 0
    n_right: int = 0

    def __add__(self, other: AttributedWords) -> AttributedWords:
        return AttributedWords(
            self.n_reference + other.n_reference,
            self.n_recognised + other.n_recognised,
            self.n_right + other.n_right,
        )

    @property
    def rate(self) -> float | None:
        """The share of the recognised words that is on the right speaker; None where nothing was recognised."""
        return self.n_right / self.n_recognised if self.n_recognised else None


def count_attributed_words(
    reference: Sequence[tuple[str, str]], hypothesis: Sequence[tuple[str, str | None]]
) -> AttributedWords:
    """Compare whose words are. Labels are matched one to one so that as many as possible are right.

    Args:
        reference: Words, as they are compared, with their speakers.
        hypothesis: The same; None is nobody.

    Raises:
        ExtraMissingError: The extra `eval` is not installed.
    """
    pairs = matching_words([word for word, _ in reference], [word for word, _ in hypothesis])
    true = sorted({speaker for _, speaker in reference})
    found = sorted({speaker for _, speaker in hypothesis if speaker is not None})
    together = np.zeros((len(true), len(found)), np.int64)
    for first, second in pairs:
        label = hypothesis[second][1]
        if label is not None:
            together[true.index(reference[first][1]), found.index(label)] += 1
    n_right = int(together[linear_sum_assignment(together, maximize=True)].sum())
    return AttributedWords(len(reference), len(pairs), n_right)
