"""Voice detection by the native library: float32, in the calling thread."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from ifw.errors import ShapeError
from ifw.kernels.library import Kernels, LinearStruct, VoiceNetworkStruct
from ifw.kernels.linear import NativeLinear

_WIDTH: Final = 128
_PAIRS: Final = 128  # of samples in a window of the Fourier transform
_BINS: Final = 129
_ENCODER_SHAPES: Final = [(_WIDTH, _BINS, 3), (64, _WIDTH, 3), (64, 64, 3), (_WIDTH, 64, 3)]
_FRAME_SAMPLES: Final = 512
_CONTEXT_SAMPLES: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class VoiceWeights:
    """What the network is made of.

    Attributes:
        basis: [258, 256]: windowed cosines, then sines.
        encoder: Weight and bias of the four convolutions: [128, 129, 3], [64, 128, 3], [64, 64, 3] and [128, 64, 3].
        input_gates: Weight [512, 128] and bias [512] of the LSTM's inputs.
        hidden_gates: The same of what it keeps.
        head: Weight [128] and bias [1].
    """

    basis: Tensor
    encoder: Sequence[tuple[Tensor, Tensor]]
    input_gates: tuple[Tensor, Tensor]
    hidden_gates: tuple[Tensor, Tensor]
    head: tuple[Tensor, Tensor]


class NativeVoiceNetwork:
    """Silero's network over frames that follow one another.

    Args:
        kernels: From `ifw.kernels.library`.
        weights: Whose basis `can_fold`.
    """

    def __init__(self, kernels: Kernels, weights: VoiceWeights) -> None:
        assert can_fold(weights.basis), "windowed cosines are symmetric, sines antisymmetric"
        gates = [weight.shape for weight, _ in (weights.input_gates, weights.hidden_gates)]
        assert [weight.shape for weight, _ in weights.encoder] == _ENCODER_SHAPES, "the sizes are those of Silero VAD 6"
        assert gates == [(4 * _WIDTH, _WIDTH)] * 2, "the sizes are those of Silero VAD 6"
        assert weights.head[0].shape == (_WIDTH,), "the sizes are those of Silero VAD 6"
        self._kernels = kernels
        basis = weights.basis.detach().float()[:, 1 : _PAIRS + 1]
        cosines, sines = basis[:_BINS].clone(), basis[_BINS:]
        cosines[:, -1] /= 2  # the sample in the middle is added to itself
        highest, head = cosines[-1].contiguous(), weights.head[0].detach().float().contiguous()
        bias = (weights.input_gates[1] + weights.hidden_gates[1]).detach()
        self._layers: list[NativeLinear] = []
        self._struct = VoiceNetworkStruct(
            cosines=self._layer(cosines[:-1], None),
            sines=self._layer(sines[:-1], None),
            highest=highest.data_ptr(),
            encoder=(LinearStruct * len(weights.encoder))(
                *(self._layer(weight.transpose(1, 2).flatten(1), bias) for weight, bias in weights.encoder)
            ),
            input_gates=self._layer(weights.input_gates[0], bias),
            hidden_gates=self._layer(weights.hidden_gates[0], None),
            head=head.data_ptr(),
            head_bias=float(weights.head[1]),
        )
        self._owned = (highest, head)  # the struct points into them, and into the layers

    def _layer(self, weight: Tensor, bias: Tensor | None) -> LinearStruct:
        bias = None if bias is None else bias.detach()
        self._layers.append(NativeLinear(self._kernels, weight.detach(), bias, is_int8=False, dtype=torch.float32))
        return self._layers[-1].struct

    def __call__(self, samples: Tensor, state: Tensor) -> Tensor:
        """Score frames that follow one another. A frame's result does not depend on how many come with it.

        Args:
            samples: [64 + 512 T] float32; 64 of context first.
            state: [2, 128] float32, hidden and cell after the frame before; brought forward in place.

        Returns:
            [T] probabilities.

        Raises:
            ShapeError: Shapes, dtypes or the device do not fit.
        """
        n_frames, n_over = divmod(samples.numel() - _CONTEXT_SAMPLES, _FRAME_SAMPLES)
        for name, given, fits, allowed in (
            ("samples", samples, samples.ndim == 1 and n_frames >= 0 and n_over == 0, "[64 + 512 T]"),
            ("state", state, state.shape == (2, _WIDTH) and state.is_contiguous(), f"[2, {_WIDTH}]"),
        ):
            if not fits or given.dtype != torch.float32 or given.device.type != "cpu":
                raise ShapeError(f"{name}: got {given.dtype} {list(given.shape)}, allowed: float32 {allowed} on cpu")
        samples = samples.contiguous()
        probabilities = torch.empty(n_frames, dtype=torch.float32, device="cpu")
        self._kernels.voice_network(
            byref(self._struct), samples.data_ptr(), n_frames, state.data_ptr(), probabilities.data_ptr()
        )
        return probabilities


def can_fold(basis: Tensor) -> bool:
    """Whether a [258, 256] is windowed cosines and sines, to the bit symmetric and antisymmetric about sample 128."""
    if basis.shape != (2 * _BINS, 2 * _PAIRS):
        return False
    cosines, sines = basis[:_BINS], basis[_BINS:]
    left, right = slice(1, _PAIRS), slice(_PAIRS + 1, None)
    return (
        torch.equal(cosines[:, left], cosines[:, right].flip(1))
        and torch.equal(sines[:, left], -sines[:, right].flip(1))
        and not cosines[:, 0].any()
        and not sines[:, [0, _PAIRS]].any()
        and not sines[[0, -1]].any()
    )
