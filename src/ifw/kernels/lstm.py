"""An LSTM by the native library: in the calling thread."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from ifw.errors import ShapeError
from ifw.kernels.library import Kernels, LinearStruct, LstmDirectionStruct, LstmStruct
from ifw.kernels.linear import NativeLinear

_WIDTH_STEP: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class LstmWeights:
    """One direction of a layer. Gates are in torch's order: in, keep, value, out.

    Attributes:
        input_gates: Weight [4 H, inputs] and bias [4 H] of the inputs.
        hidden_gates: Weight [4 H, H] and bias [4 H] of the hidden values of the frame before.
    """

    input_gates: tuple[Tensor, Tensor]
    hidden_gates: tuple[Tensor, Tensor]


class NativeLstm:
    """All layers of an LSTM, every chunk from a state of zeros.

    Products are those of `dtype`, of inputs that are rounded to it, or of float32 where the processor has none of
    bfloat16; all else is float32. A chunk's result does not depend on the chunks that come with it, bit for bit.

    Args:
        kernels: From `ifw.kernels.library`.
        layers: The forward direction of each layer, then the backward one if there is one. Widths `can_step`.
        dtype: Of the products: float32 or bfloat16.
    """

    def __init__(self, kernels: Kernels, layers: Sequence[Sequence[LstmWeights]], dtype: torch.dtype) -> None:
        n_directions, self._n_in = len(layers[0]), layers[0][0].input_gates[0].shape[1]
        width = layers[0][0].hidden_gates[0].shape[1]
        self._n_out = n_directions * width
        assert can_step(width), f"a width is a multiple of {_WIDTH_STEP}"
        assert n_directions in {1, 2}, "forward, and backward if asked"
        self._kernels = kernels
        self._dtype = dtype
        self._owned: list[NativeLinear] = []  # the struct points into them
        directions = []
        for index, layer in enumerate(layers):
            assert len(layer) == n_directions, "all layers have the same directions"
            for one in layer:
                assert one.input_gates[0].shape == (4 * width, self._n_out if index else self._n_in)
                assert one.hidden_gates[0].shape == (4 * width, width)
                directions.append(self._direction(one))
        self._directions = (LstmDirectionStruct * len(directions))(*directions)
        self._struct = LstmStruct(len(layers), n_directions, width, self._directions)

    def _direction(self, weights: LstmWeights) -> LstmDirectionStruct:
        bias = weights.input_gates[1].float() + weights.hidden_gates[1].float()
        return LstmDirectionStruct(
            self._linear(weights.input_gates[0], bias), self._linear(weights.hidden_gates[0], None)
        )

    def _linear(self, weight: Tensor, bias: Tensor | None) -> LinearStruct:
        self._owned.append(NativeLinear(self._kernels, weight, bias, is_int8=False, dtype=self._dtype))
        return self._owned[-1].struct

    def __call__(self, x: Tensor) -> Tensor:
        """Map chunks of frames to the hidden values of the last layer.

        Args:
            x: [B, F, inputs] float32.

        Returns:
            [B, F, H] float32; [B, F, 2 H] with two directions, forward first.

        Raises:
            ShapeError: Shape, dtype or device do not fit.
        """
        if x.ndim != 3 or x.shape[2] != self._n_in or x.dtype != torch.float32 or x.device.type != "cpu":
            raise ShapeError(
                f"x: got {x.dtype} {list(x.shape)} on {x.device}, allowed: float32 [B, F, {self._n_in}] on cpu"
            )
        x = x.contiguous()
        n_chunks, n_frames = x.shape[:2]
        hidden = torch.empty(n_chunks, n_frames, self._n_out, dtype=torch.float32, device="cpu")
        if hidden.numel():
            self._kernels.lstm(byref(self._struct), x.data_ptr(), n_chunks, n_frames, hidden.data_ptr())
        return hidden


def can_step(width: int) -> bool:
    """Whether there are kernels for layers of so many units."""
    return width % _WIDTH_STEP == 0
