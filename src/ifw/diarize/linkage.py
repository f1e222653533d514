"""Which clusters are closest, over and over: the dendrogram of centroid linkage."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage

_MAX_PAIRWISE: Final = (
    4096  # vectors: SciPy keeps all their distances, 134 MB here and four times that for twice as many
)


def centroid_linkage(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Merge the two clusters whose means are closest until one is left.

    Args:
        vectors: [n, D], at least 2.

    Returns:
        [n - 1, 4] as SciPy's `linkage` gives it: the two clusters of each merge, their distance, the new size.
    """
    return np.asarray(linkage(vectors, method="centroid", metric="euclidean"), np.float64)
