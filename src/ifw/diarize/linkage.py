"""Which clusters are closest, over and over: the dendrogram of centroid linkage."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage

from ifw.cancellation import CancelToken

_MAX_PAIRWISE: Final = (
    5000  # vectors: SciPy keeps all their distances twice, 200 MB here and four times that for 10,000
)
_BLOCK: Final = 512

_Doubles = npt.NDArray[np.float64]


def centroid_linkage(vectors: npt.NDArray[np.floating], cancel: CancelToken | None = None) -> _Doubles:
    """Merge the two clusters whose means are closest until one is left.

    Up to 5,000 vectors, about an hour of speech, SciPy does it. More are merged in memory that grows with their number,
    not with its square; pairs whose distances differ by less than a millionth may then be merged in another order.

    Args:
        vectors: [n, D], at least 2.
        cancel: Ends it, where it takes long.

    Returns:
        [n - 1, 4] as SciPy's `linkage` gives it: the two clusters of each merge, their distance, the new size.

    Raises:
        CancelledError: The token was cancelled before, or while more than 5,000 are merged: SciPy is not interrupted.
    """
    if cancel is not None:
        cancel.raise_if_cancelled()
    if len(vectors) <= _MAX_PAIRWISE:
        return np.asarray(linkage(vectors, method="centroid", metric="euclidean"), np.float64)
    return merge_all(vectors, cancel)


def merge_all(vectors: npt.NDArray[np.floating], cancel: CancelToken | None = None) -> _Doubles:
    """Do what `centroid_linkage` does, for any number of vectors, in little memory."""
    clusters = _Clusters(vectors)
    merges = []
    for _ in range(len(vectors) - 1):
        if cancel is not None:
            cancel.raise_if_cancelled()
        merges.append(clusters.merge_closest())
    return np.array(merges)


class _Clusters:
    """What is left to merge. Each row knows its nearest other row.

    A row whose nearest has changed is stale: its squared distance is then a lower bound, and it is looked at again only
    when that is the lowest of all.

    Source: Muellner 2011, "Modern hierarchical, agglomerative clustering algorithms", the generic algorithm.
    """

    def __init__(self, vectors: npt.NDArray[np.floating]) -> None:
        self._centres = vectors.astype(np.float64)
        self._coarse = vectors.astype(np.float32)  # to find who is nearest: half the memory to read
        self._squares = np.square(self._coarse).sum(1)  # infinite once a row is gone
        self._sizes = np.ones(len(vectors))
        self._names = np.arange(len(vectors))
        self._next_name = len(vectors)
        self._nearest = np.zeros(len(vectors), np.int64)
        self._squared = np.zeros(len(vectors), np.float32)
        self._is_stale = np.zeros(len(vectors), bool)
        self._n_left = len(vectors)
        for start in range(0, len(vectors), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(vectors)))
            squared = self._squares[rows, None] + self._squares - 2 * self._coarse[rows] @ self._coarse.T
            squared[np.arange(len(rows)), rows] = np.inf
            self._nearest[rows] = squared.argmin(1)
            self._squared[rows] = squared[np.arange(len(rows)), self._nearest[rows]]

    def merge_closest(self) -> tuple[float, float, float, float]:
        """Merge two clusters; returns a row of the dendrogram."""
        gone = int(self._squared.argmin())
        while self._is_stale[gone]:
            self._look(gone)
            gone = int(self._squared.argmin())
        kept = int(self._nearest[gone])
        distance = float(np.linalg.norm(self._centres[gone] - self._centres[kept]))
        first, second = sorted((int(self._names[gone]), int(self._names[kept])))
        size = float(self._sizes[gone] + self._sizes[kept])
        self._join(gone, kept, size)
        if 2 * self._n_left < len(self._names):
            self._close_gaps()
        return first, second, distance, size

    def _look(self, row: int) -> npt.NDArray[np.float32]:
        """Find the nearest of a row anew; returns the squared distances of all."""
        # Not `@`: tens of thousands of small products in the threads of BLAS, which spin, crawl on a busy machine.
        products = np.einsum("nd,d->n", self._coarse, self._coarse[row])
        squared = self._squares + self._squares[row] - 2 * products
        squared[row] = np.inf
        self._nearest[row] = squared.argmin()
        self._squared[row] = squared[self._nearest[row]]
        self._is_stale[row] = False
        return np.asarray(squared)

    def _join(self, gone: int, kept: int, size: float) -> None:
        self._centres[kept] = (self._sizes[gone] * self._centres[gone] + self._sizes[kept] * self._centres[kept]) / size
        self._coarse[kept] = self._centres[kept]
        self._squares[kept] = np.square(self._coarse[kept]).sum()
        self._sizes[kept] = size
        self._names[kept] = self._next_name
        self._next_name += 1
        self._squares[gone] = self._squared[gone] = np.inf
        self._n_left -= 1
        self._is_stale |= (self._nearest == gone) | (self._nearest == kept)
        self._is_stale[gone] = False
        squared = self._look(kept)
        is_nearer = squared < self._squared
        self._nearest[is_nearer], self._squared[is_nearer] = kept, squared[is_nearer]
        self._is_stale[is_nearer] = False

    def _close_gaps(self) -> None:
        """Let go of the rows that are gone."""
        left = np.flatnonzero(np.isfinite(self._squares))
        places = np.zeros(len(self._names), np.int64)
        places[left] = np.arange(len(left))
        self._nearest = places[self._nearest[left]]
        self._centres, self._coarse, self._squares = self._centres[left], self._coarse[left], self._squares[left]
        self._sizes, self._names = self._sizes[left], self._names[left]
        self._squared, self._is_stale = self._squared[left], self._is_stale[left]
