"""K-means with careful seeding: the fallback where somebody knows better how many speakers there are.

Follows scikit-learn's `KMeans(n_init=3, random_state=42)` step by step, with NumPy's legacy generator, so that the
same seeds are drawn.

Source: Lloyd 1982, "Least squares quantization in PCM"; Arthur and Vassilvitskii 2007, "k-means++".
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from ifw.diarize.arrays import FloatArray, IntArray, product

_SEED: Final = 42
_N_STARTS: Final = 3
_MAX_TURNS: Final = 300
_TOLERANCE: Final = 1e-4  # of the mean variance


def k_means(vectors: FloatArray, n_clusters: int) -> IntArray:
    """Divide vectors so that they are close to the means of their clusters.

    Args:
        vectors: [n, D].
        n_clusters: 1 to n.

    Returns:
        [n] clusters from 0.
    """
    centred = vectors - vectors.mean(0)
    tolerance = float(_TOLERANCE * np.var(vectors, axis=0).mean())
    random = np.random.RandomState(_SEED)
    best, best_error = None, math.inf
    for _ in range(_N_STARTS):
        labels, error = _improve(centred, _seeds(centred, n_clusters, random), tolerance)
        if best is None or (error < best_error and not _is_same(labels, best, n_clusters)):
            best, best_error = labels, error
    assert best is not None
    return best


def _seeds(vectors: FloatArray, n_clusters: int, random: np.random.RandomState) -> FloatArray:
    """[n_clusters, D] vectors far from each other: each time the best of a few drawn by squared distance."""
    n_vectors = len(vectors)
    n_trials = 2 + int(np.log(n_clusters))
    chosen = [int(random.choice(n_vectors, p=np.full(n_vectors, 1 / n_vectors)))]
    distances = _squared_distances(vectors[chosen], vectors)[0]
    total = distances.sum()
    while len(chosen) < n_clusters:
        drawn = random.uniform(size=n_trials) * total
        candidates = np.searchsorted(np.cumsum(distances), drawn).clip(None, n_vectors - 1)
        shorter = np.minimum(distances, _squared_distances(vectors[candidates], vectors))
        totals = shorter.sum(1)
        best = int(totals.argmin())
        chosen.append(int(candidates[best]))
        distances, total = shorter[best], totals[best]
    return vectors[chosen]


def _improve(vectors: FloatArray, centres: FloatArray, tolerance: float) -> tuple[IntArray, float]:
    """Lloyd's algorithm from given centres; the labels, and the sum of squared distances."""
    labels = np.full(len(vectors), -1, np.int64)
    for _ in range(_MAX_TURNS):
        before, labels = labels, _closest(vectors, centres)
        moved = _centres(vectors, labels, centres)
        shift = float(np.square(np.linalg.norm(moved - centres, axis=1)).sum())
        centres = moved
        if np.array_equal(labels, before):
            break
        if shift <= tolerance:
            labels = _closest(vectors, centres)
            break
    else:
        labels = _closest(vectors, centres)
    return labels, float(np.square(vectors - centres[labels]).sum())


def _closest(vectors: FloatArray, centres: FloatArray) -> IntArray:
    return np.asarray((np.square(centres).sum(1) - product(2 * vectors, centres.T)).argmin(1), np.int64)


def _centres(vectors: FloatArray, labels: IntArray, centres: FloatArray) -> FloatArray:
    """The mean of each cluster; an empty one gets the vector that is farthest from its centre."""
    sums = np.zeros_like(centres)
    np.add.at(sums, labels, vectors)
    sizes = np.bincount(labels, minlength=len(centres)).astype(vectors.dtype)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        errors = np.square(vectors - centres[labels]).sum(1)
        for cluster, far in zip(empty, np.argsort(-errors, kind="stable"), strict=False):
            sums[labels[far]] -= vectors[far]
            sizes[labels[far]] -= 1
            sums[cluster], sizes[cluster] = vectors[far], 1
    return np.asarray(sums / np.maximum(sizes, 1)[:, None], vectors.dtype)


def _squared_distances(some: FloatArray, all_vectors: FloatArray) -> FloatArray:
    """[len(some), n] in double precision, rounded at the end."""
    left, right = some.astype(np.float64), all_vectors.astype(np.float64)
    squares = np.square(left).sum(1)[:, None] + np.square(right).sum(1) - product(2 * left, right.T)
    return np.asarray(np.maximum(squares, 0), some.dtype)


def _is_same(labels: IntArray, others: npt.NDArray[np.int64], n_clusters: int) -> bool:
    """Whether two divisions are the same but for their names."""
    pairs = {(one, other) for one, other in zip(labels.tolist(), others.tolist(), strict=True)}
    return len(pairs) == len({one for one, _ in pairs}) <= n_clusters
