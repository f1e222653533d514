"""Probabilistic linear discriminant analysis: embeddings in a space where speakers differ along the axes.

Source: Landini et al. 2022, "Bayesian HMM clustering of x-vector sequences (VBx) in speaker diarization", section II.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, eigh

from ifw.diarize.arrays import product, unit
from ifw.errors import ModelFormatError

TRANSFORM_FILE: Final = "xvec_transform.npz"
STATISTICS_FILE: Final = "plda.npz"
_Array = npt.NDArray[np.floating]


class Plda:
    """Maps embeddings into the space where speakers differ by `between` and chunks of one speaker by 1.

    Args:
        folder: Has `xvec_transform.npz` (mean1, lda, mean2) and `plda.npz` (mu, tr, psi).

    Attributes:
        between: [L] variance of speakers along each axis, the largest first.

    Raises:
        ModelFormatError: A file lacks, or holds something else.
    """

    def __init__(self, folder: Path) -> None:
        transform = _read(folder / TRANSFORM_FILE, {"mean1": 1, "mean2": 1, "lda": 2})
        statistics = _read(folder / STATISTICS_FILE, {"mu": 1, "tr": 2, "psi": 1})
        self._mean, self._lda, self._mean_after = transform["mean1"], transform["lda"], transform["mean2"]
        self._centre, rotation, variances = statistics["mu"], statistics["tr"], statistics["psi"]
        n_before, n_after = self._lda.shape
        fits = self._mean.shape == (n_before,) and rotation.shape == (n_after, n_after)
        if not fits or any(one.shape != (n_after,) for one in (self._mean_after, self._centre, variances)):
            raise ModelFormatError(f"{folder}: {TRANSFORM_FILE} and {STATISTICS_FILE} do not fit together")
        try:
            within = np.linalg.inv(rotation.T @ rotation)
            between = np.linalg.inv((rotation.T / variances) @ rotation)
            values, vectors = eigh(between, within)
        except (LinAlgError, np.linalg.LinAlgError, ValueError) as error:
            raise ModelFormatError(f"{folder / STATISTICS_FILE} holds no covariances: {error}") from error
        self.between: npt.NDArray[np.float64] = np.asarray(values[::-1], np.float64)
        self._whiten = vectors[:, ::-1]

    @property
    def width(self) -> int:
        """Length of the embeddings that it takes."""
        return int(self._lda.shape[0])

    def __call__(self, embeddings: _Array) -> npt.NDArray[np.float64]:
        """Map embeddings.

        Args:
            embeddings: [n, D].

        Returns:
            [n, L].
        """
        n_before, n_after = self._lda.shape
        reduced = product(np.sqrt(n_before) * unit(embeddings - self._mean), self._lda) - self._mean_after
        return np.asarray(product(np.sqrt(n_after) * unit(reduced) - self._centre, self._whiten), np.float64)


def _read(path: Path, wanted: Mapping[str, int]) -> dict[str, _Array]:
    """The arrays of a file, each with so many dimensions."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in wanted}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelFormatError(f"diarization model: {path} cannot be read: {error}") from error
    for name, n_dims in wanted.items():
        if arrays[name].ndim != n_dims or arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise ModelFormatError(f"{path}: {name} holds no finite numbers in {n_dims} dimensions")
    return arrays
