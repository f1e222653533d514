"""Substitutions, deletions and insertions on the shortest way from a hypothesis to its reference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ifw.evaluation.extra import eval_module


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Errors among words or characters. Counts of several files add up, so their rate is that over all words.

    Attributes:
        n_reference: Words or characters of the reference.
        substitutions: Written as something else.
        deletions: Not written.
        insertions: Written, but not said.
    """

    n_reference: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        """All errors."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Errors for each word or character of the reference; None where the reference is empty."""
        return self.errors / self.n_reference if self.n_reference else None

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.n_reference + other.n_reference,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @classmethod
    def total(cls, counts: Iterable[ErrorCounts]) -> ErrorCounts:
        """The sum of counts."""
        return sum(counts, cls())


def count_word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """Count errors of words, which are compared as they are.

    Raises:
        ExtraMissingError: The extra `eval` is not installed.
    """
    found = eval_module("jiwer").process_words(" ".join(reference), " ".join(hypothesis))
    return ErrorCounts(len(reference), found.substitutions, found.deletions, found.insertions)


def count_character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count errors of characters, which are compared as they are.

    Raises:
        ExtraMissingError: The extra `eval` is not installed.
    """
    found = eval_module("jiwer").process_characters(reference, hypothesis)
    return ErrorCounts(len(reference), found.substitutions, found.deletions, found.insertions)


def matching_words(reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of indices of equal words on the shortest way from one to the other, in order.

    Raises:
        ExtraMissingError: The extra `eval` is not installed.
    """
    (chunks,) = eval_module("jiwer").process_words(" ".join(reference), " ".join(hypothesis)).alignments
    return [
        (chunk.ref_start_idx + step, chunk.hyp_start_idx + step)
        for chunk in chunks
        if chunk.type == "equal"
        for step in range(chunk.ref_end_idx - chunk.ref_start_idx)
    ]
