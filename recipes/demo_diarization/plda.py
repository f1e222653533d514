"""Fits what VBx needs: a projection in which voices lie far apart, and how much they vary between and within.

Source: Ioffe 2006, "Probabilistic linear discriminant analysis"; the order of the steps is that of `ifw.diarize.plda`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from ifw.diarize.plda import STATISTICS_FILE, TRANSFORM_FILE

DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_MIN_EXAMPLES = 3
_RIDGE = 1e-3  # of the mean variance


@dataclass(frozen=True, slots=True)
class PldaStatistics:
    """What the two files of PLDA hold; the names are those of the files.

    Attributes:
        mean1: [D] mean embedding.
        lda: [D, L] projection.
        mean2: [L] mean after it.
        mu: [L] mean of the projected at length 1 times the root of L.
        tr: [L, L] the transform that makes the variance within voices 1.
        psi: [L] the variance between voices after it, the largest first.
    """

    mean1: DoubleArray
    lda: DoubleArray
    mean2: DoubleArray
    mu: DoubleArray
    tr: DoubleArray
    psi: DoubleArray

    def write(self, folder: Path) -> None:
        """Write both files."""
        folder.mkdir(parents=True, exist_ok=True)
        mean1, lda, mean2, mu, tr, psi = (np.asarray(getattr(self, name), np.float32) for name in self.__slots__)
        np.savez(folder / TRANSFORM_FILE, mean1=mean1, lda=lda, mean2=mean2)
        np.savez(folder / STATISTICS_FILE, mu=mu, tr=tr, psi=psi)


def fit_plda(embeddings: npt.NDArray[np.float32], voices: IntArray, width: int) -> PldaStatistics:
    """Fit.

    Args:
        embeddings: [n, D].
        voices: [n] whose each is.
        width: L, the axes that are kept.
    """
    _, inverse, counts = np.unique(voices, return_inverse=True, return_counts=True)
    kept = counts[inverse] >= _MIN_EXAMPLES
    x, labels = embeddings[kept].astype(np.float64), np.unique(inverse[kept], return_inverse=True)[1]
    mean1 = x.mean(0)
    x = _spread(x - mean1)
    within, between = _scatter(x, labels)
    _, vectors = eigh(between, within)
    lda = vectors[:, ::-1][:, :width]
    mean2 = (x @ lda).mean(0)
    y = _spread(x @ lda - mean2)
    mu = y.mean(0)
    within, between = _scatter(y, labels)
    psi, vectors = eigh(between, within)
    psi, vectors = np.maximum(psi[::-1], 1e-3), vectors[:, ::-1]
    return PldaStatistics(mean1, lda, mean2, mu, vectors.T, psi)


def _spread(vectors: DoubleArray) -> DoubleArray:
    """The same with the length of the root of their number of dimensions."""
    scaled = np.sqrt(vectors.shape[1]) * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(scaled, np.float64)


def _scatter(x: DoubleArray, labels: IntArray) -> tuple[DoubleArray, DoubleArray]:
    """Covariance within voices and between them, each voice with the same weight."""
    counts = np.bincount(labels).astype(np.float64)
    means = np.stack([np.bincount(labels, column) for column in x.T], 1) / counts[:, None]
    weights = 1 / (counts - 1)[labels] / len(counts)
    deviations = x - means[labels]
    within = (deviations * weights[:, None]).T @ deviations
    within += _RIDGE * np.trace(within) / len(within) * np.eye(len(within))
    between = np.cov(means.T) - within * np.mean(1 / counts)
    return within, between
