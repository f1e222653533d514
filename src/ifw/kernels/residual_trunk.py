"""The trunk of a residual network by the native library: float32, one image after the other in the calling thread."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref, pointer
from dataclasses import dataclass

import torch
from torch import Tensor

from ifw.errors import ShapeError
from ifw.kernels.library import BlockStruct, ConvolutionStruct, Kernels, TrunkStruct

_A, _B = 0.625, 1.5  # as `native/convolution.h` has them


def _into_points() -> Tensor:
    """[6, 3] float64: a line of weights as a polynomial at each point, over the distances to the other points."""
    rows = [[1 / (_A * _B) ** 2, 0.0, 0.0]]
    for point, other in ((_A, _B), (-_A, _B), (_B, _A), (-_B, _A)):
        distances = 2 * point**2 * (point**2 - other**2)
        rows.append([power / distances for power in (1, point, point**2)])
    return torch.tensor([*rows, [0, 0, 1]], dtype=torch.float64)


_INTO_POINTS = _into_points()


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """A convolution that keeps its size but for the stride: 3 x 3, or 1 x 1 with stride 2.

    Attributes:
        weight: [out, in, kernel, kernel].
        bias: [out].
        stride: 1 or 2.
    """

    weight: Tensor
    bias: Tensor
    stride: int


@dataclass(frozen=True, slots=True)
class Block:
    """Two convolutions beside a shortcut.

    Attributes:
        conv1: Has the stride of the block.
        conv2: Has stride 1.
        shortcut: Has the stride of the block; None lets the input through.
    """

    conv1: Convolution
    conv2: Convolution
    shortcut: Convolution | None


class NativeTrunk:
    """relu(first(x)), then the blocks.

    Convolutions with stride 1 are Winograd's F(4 x 4, 3 x 3): 36 products for sixteen outputs; the definition has 144.

    Args:
        kernels: From `ifw.kernels.library`.
        first: From one channel; stride 1.
        blocks: Each from what the one before gives.
        n_rows: Of an image.

    Source:
        Lavin and Gray 2016, "Fast algorithms for convolutional neural networks".
    """

    def __init__(self, kernels: Kernels, first: Convolution, blocks: Sequence[Block], n_rows: int) -> None:
        self._kernels = kernels
        self._n_rows = n_rows
        self._owned: list[Tensor] = []  # the structs point into them
        self._blocks = (BlockStruct * len(blocks))(
            *(BlockStruct(*map(self._layer, (block.conv1, block.conv2, block.shortcut))) for block in blocks)
        )
        self._struct = TrunkStruct(n_rows, len(blocks), self._layer(first), self._blocks)
        self._n_halved = sum(block.conv1.stride == 2 for block in blocks)
        self._n_channels = blocks[-1].conv2.weight.shape[0] if blocks else first.weight.shape[0]

    def __call__(self, x: Tensor) -> Tensor:
        """Map images [B, rows, columns] float32 to [B, channels, rows, columns] of the last block.

        Raises:
            ShapeError: Shape, dtype or device do not fit.
        """
        if x.ndim != 3 or x.shape[1] != self._n_rows or x.dtype != torch.float32 or x.device.type != "cpu":
            raise ShapeError(
                f"x: got {x.dtype} {list(x.shape)} on {x.device}, allowed: float32 [B, {self._n_rows}, columns] on cpu"
            )
        x = x.contiguous()
        n_rows, n_columns = x.shape[1:]
        for _ in range(self._n_halved):
            n_rows, n_columns = -(-n_rows // 2), -(-n_columns // 2)
        y = torch.empty(len(x), self._n_channels, n_rows, n_columns, dtype=torch.float32, device="cpu")
        if y.numel():
            self._kernels.residual_trunk(byref(self._struct), x.data_ptr(), len(x), x.shape[2], y.data_ptr())
        return y

    def _layer(self, layer: Convolution | None) -> object:
        if layer is None:
            return None
        n_out, n_in, kernel, _ = layer.weight.shape
        assert can_pack(self._kernels, n_out), "outputs come in whole groups"
        weight, bias = _packed(layer, self._kernels.channels), layer.bias.float().contiguous()
        self._owned += [weight, bias]
        return pointer(ConvolutionStruct(n_in, n_out, kernel, layer.stride, weight.data_ptr(), bias.data_ptr()))


def can_pack(kernels: Kernels, n_out: int) -> bool:
    """Whether there are convolutions with so many outputs."""
    return n_out % kernels.channels == 0


def _packed(layer: Convolution, channels: int) -> Tensor:
    """[n_out / channels, points or taps, n_in, channels]."""
    weight = layer.weight.double()
    if layer.stride == 1:
        weight = _INTO_POINTS @ weight @ _INTO_POINTS.T
    n_out, n_in = weight.shape[:2]
    return weight.reshape(n_out // channels, channels, n_in, -1).permute(0, 3, 2, 1).float().contiguous()
