"""Small results on their way from the device to the host, read when they are there, without holding the device up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ifw.engine.streams import mark

_N_BUFFERS = 2  # the one that is read, and the one that is on its way


@dataclass(frozen=True, slots=True, eq=False)
class LateResult:
    """One copy that was asked for."""

    values: Tensor
    is_there: torch.cuda.Event | None

    def read(self) -> list[list[float]]:
        """Wait for the copy, and no longer; the rows of the tensor."""
        if self.is_there is not None:
            self.is_there.synchronize()
        rows: list[list[float]] = self.values.tolist()
        return rows


class LateResults:
    """Copies one device tensor of a fixed shape to the host, again and again.

    Args:
        like: The tensor.
    """

    def __init__(self, like: Tensor) -> None:
        self._is_cuda = like.device.type == "cuda"
        self._buffers = [torch.empty(like.shape, dtype=like.dtype, pin_memory=self._is_cuda) for _ in range(_N_BUFFERS)]
        self._n_copies = 0

    def copy(self, tensor: Tensor) -> LateResult:
        """Ask for a copy of what `tensor` holds when the current stream gets there.

        A result is to be read before the second one after it is asked for: there are two buffers.
        """
        buffer = self._buffers[self._n_copies % _N_BUFFERS]
        self._n_copies += 1
        buffer.copy_(tensor, non_blocking=self._is_cuda)
        if not self._is_cuda:
            return LateResult(buffer, None)
        return LateResult(buffer, mark())
