"""Two evaluations of the same files: where they differ, and whether by more than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ifw.errors import EvaluationError
from ifw.evaluation.error_counts import ErrorCounts
from ifw.evaluation.scores import Evaluation, FileScore
from ifw.types import Mode

CONFIDENCE = 0.95
N_RESAMPLES = 10_000
_RESAMPLES_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class FilePair:
    """One file in both evaluations.

    Attributes:
        audio: As the manifest names it.
        mode: Transcribed or translated.
        before: Errors of words in the earlier evaluation.
        after: Errors of words in the later one.
    """

    audio: str
    mode: Mode
    before: ErrorCounts
    after: ErrorCounts

    @property
    def difference(self) -> float | None:
        """Word error rate after less that before; None where the reference is empty."""
        return _difference(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed between two evaluations.

    Attributes:
        pairs: The files that both have.
        n_only_before: Files that only the earlier one has.
        n_only_after: Files that only the later one has.
        interval: Bounds of the difference in word error rate with a confidence of `CONFIDENCE`; None where fewer than
            two files have words.
    """

    pairs: tuple[FilePair, ...]
    n_only_before: int
    n_only_after: int
    interval: tuple[float, float] | None

    @property
    def before(self) -> ErrorCounts:
        """Errors of all words of the pairs in the earlier evaluation."""
        return ErrorCounts.total(pair.before for pair in self.pairs)

    @property
    def after(self) -> ErrorCounts:
        """Errors of all words of the pairs in the later evaluation."""
        return ErrorCounts.total(pair.after for pair in self.pairs)

    @property
    def difference(self) -> float | None:
        """Word error rate after less that before, over all words; None where the references are empty."""
        return _difference(self.before, self.after)

    @property
    def is_significant(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def compare(before: Evaluation, after: Evaluation, *, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Comparison:
    """Compare two evaluations file by file.

    The interval is that of a paired bootstrap: files are drawn with replacement, the same ones for both, and the
    difference is taken anew for each draw. It says how much the figure depends on which files were chosen.

    Args:
        before: The earlier evaluation.
        after: The later one.
        n_resamples: Draws.
        seed: Of the draws.

    Raises:
        EvaluationError: They have no file in common, or not the same text of it.

    Source:
        Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation".
    """
    earlier, later = _by_file(before), _by_file(after)
    shared = [key for key in later if key in earlier]
    if not shared:
        raise EvaluationError("the two evaluations have no file in common, allowed: results of the same manifest")
    for key in shared:
        if earlier[key].reference != later[key].reference:
            raise EvaluationError(f"{key[0]}: the text differs between the evaluations, allowed: the same manifest")
    pairs = tuple(FilePair(*key, earlier[key].words, later[key].words) for key in shared)
    return Comparison(
        pairs=pairs,
        n_only_before=len(earlier) - len(shared),
        n_only_after=len(later) - len(shared),
        interval=_bootstrap_interval(pairs, n_resamples, seed),
    )


def _by_file(evaluation: Evaluation) -> dict[tuple[str, Mode], FileScore]:
    return {(file.audio, file.mode): file for file in evaluation.files}


def _difference(before: ErrorCounts, after: ErrorCounts) -> float | None:
    return None if before.rate is None or after.rate is None else after.rate - before.rate


def _bootstrap_interval(pairs: tuple[FilePair, ...], n_resamples: int, seed: int) -> tuple[float, float] | None:
    counts = np.array(
        [(pair.before.errors, pair.before.n_reference, pair.after.errors, pair.after.n_reference) for pair in pairs]
    )
    if np.count_nonzero(counts[:, 1]) < 2:
        return None
    rng = np.random.default_rng(seed)
    differences = []
    for begin in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        n_draws = min(_RESAMPLES_AT_ONCE, n_resamples - begin)
        drawn = counts[rng.integers(len(pairs), size=(n_draws, len(pairs)))].sum(1)
        drawn = drawn[(drawn[:, 1] > 0) & (drawn[:, 3] > 0)]  # a draw of silent files alone has no rate
        differences.append(drawn[:, 2] / drawn[:, 3] - drawn[:, 0] / drawn[:, 1])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(differences), [tail, 1 - tail])
    return float(low), float(high)
