"""What the arrays of this package hold. Shapes: C chunks, F frames of a chunk, S local speakers, D an embedding."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from ifw.model.cores import cores

ByteArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]

NOBODY: Final = -2  # the speaker of the recording that a local speaker is who is silent or was left over


def unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """[n, D] the same vectors with length 1; not a number where one has none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@cores(1)
def product(left: npt.NDArray[np.floating], right: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Left @ right on one core: NumPy takes all, and where others use them too, its threads wait for each other."""
    dtype = np.result_type(left, right)
    result = torch.from_numpy(np.array(left, dtype)) @ torch.from_numpy(np.array(right, dtype))
    return np.asarray(result.numpy())
