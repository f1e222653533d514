"""Where a dendrogram, which says what clusters were merged and at what distance, is cut."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster

from ifw.diarize.arrays import DoubleArray, IntArray


def cut(dendrogram: DoubleArray, threshold: float) -> IntArray:
    """[n] the cluster of each vector, from 0, where merges above a distance are undone."""
    return np.asarray(fcluster(dendrogram, threshold, criterion="distance"), np.int64) - 1


def cut_after(dendrogram: DoubleArray, n_merges: int) -> IntArray:
    """[n] the cluster of each vector, from 0, after the first merges."""
    by_turn = dendrogram.copy()
    by_turn[:, 2] = np.arange(len(dendrogram))
    return cut(by_turn, n_merges - 1)
