"""The front of a segmentation network by the native library: float32, in the calling thread."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ifw.errors import ShapeError
from ifw.kernels.library import ColumnNormStruct, Kernels, LinearStruct, SincNetStruct
from ifw.kernels.linear import NativeLinear

_BANDS: Final = 40
_FILTER_SAMPLES: Final = 251
_KERNEL: Final = 5
_POOL: Final = 3
_ROOM: Final = 16  # values behind those of a norm, which the library may read


@dataclass(frozen=True, slots=True, eq=False)
class SincWeights:
    """What the front is made of.

    Attributes:
        stride: Samples from one place of the filters to the next.
        filters: [80, 251]: 40 that are symmetric, and 40 that are antisymmetric.
        convolutions: Weight [60, channels, 5] and bias [60] of each of the two convolutions.
        norms: Weight and bias of the norm of the samples, [1] each, and of those behind each pooling.
        epsilon: Of all norms.
    """

    stride: int
    filters: Tensor
    convolutions: Sequence[tuple[Tensor, Tensor]]
    norms: Sequence[tuple[Tensor, Tensor]]
    epsilon: float


class NativeSincNet:
    """Chunks of samples to features.

    Of a pair of samples that lie symmetrically in a filter the sum or the difference is multiplied: half the products.

    Args:
        kernels: From `ifw.kernels.library`.
        weights: That `can_fold`.
    """

    def __init__(self, kernels: Kernels, weights: SincWeights) -> None:
        assert can_fold(weights.filters), "half of the filters are symmetric, the others antisymmetric"
        self._kernels = kernels
        self._stride = weights.stride
        self._width = len(weights.convolutions[-1][1])
        half = _FILTER_SAMPLES // 2
        filters = weights.filters.detach().float()
        even, odd = (part.T.contiguous() for part in (filters[:_BANDS, : half + 1], filters[_BANDS:, :half]))
        panels = [F.pad(part, (0, -_BANDS % kernels.lanes)).contiguous() for part in (even, odd)]
        sums = filters.sum(1)
        self._layers = [_convolution(kernels, weight.detach(), bias.detach()) for weight, bias in weights.convolutions]
        (norm_weight, norm_bias), *norms = weights.norms
        padded = [tuple(F.pad(part.detach().float(), (0, _ROOM)).contiguous() for part in norm) for norm in norms]
        structs = (LinearStruct * 2)(*(layer.struct for layer in self._layers))
        column_norms = (ColumnNormStruct * 3)(
            *(ColumnNormStruct(*(part.data_ptr() for part in norm)) for norm in padded)
        )
        self._owned = (panels, sums, padded, structs, column_norms)  # the struct points into them
        self._struct = SincNetStruct(
            stride=weights.stride,
            norm_weight=float(norm_weight),
            norm_bias=float(norm_bias),
            epsilon=weights.epsilon,
            even_filters=panels[0].data_ptr(),
            odd_filters=panels[1].data_ptr(),
            filter_sums=sums.data_ptr(),
            convolutions=structs,
            norms=column_norms,
        )

    def __call__(self, samples: Tensor, chunk_samples: int, step_samples: int) -> Tensor:
        """Hear chunks that follow one another; what they share is filtered once, where steps are whole strides.

        Args:
            samples: [n] float32: the first chunk, and a step more for each other.
            chunk_samples: Length of a chunk.
            step_samples: From one chunk to the next.

        Returns:
            [B, F, 60].

        Raises:
            ShapeError: Shape, dtype or device do not fit, or there are too few samples for one feature.
        """
        n_rows = self._n_rows(chunk_samples)
        if samples.ndim != 1 or samples.dtype != torch.float32 or samples.device.type != "cpu":
            raise ShapeError(f"samples: got {samples.dtype} {list(samples.shape)}, allowed: float32 [n] on cpu")
        if len(samples) < chunk_samples or n_rows < 1:
            raise ShapeError(
                f"samples: got {len(samples)} for chunks of {chunk_samples}, allowed: a chunk with a feature"
            )
        samples = samples.contiguous()
        n_chunks = 1 + (len(samples) - chunk_samples) // step_samples
        features = torch.empty(n_chunks, n_rows, self._width, dtype=torch.float32, device="cpu")
        n_at_once = 1 if step_samples % self._stride else n_chunks
        for first in range(0, n_chunks, n_at_once):
            self._kernels.sinc_net(
                byref(self._struct),
                samples.data_ptr() + 4 * first * step_samples,
                n_at_once,
                chunk_samples,
                step_samples,
                features[first].data_ptr(),
            )
        return features

    def _n_rows(self, chunk_samples: int) -> int:
        n_rows = (chunk_samples - _FILTER_SAMPLES) // self._stride + 1
        for kernel in (_KERNEL, _KERNEL, 1):
            n_rows = n_rows // _POOL - kernel + 1
        return n_rows


def can_fold(filters: Tensor) -> bool:
    """Whether these [80, 251] are 40 symmetric filters, then 40 antisymmetric ones, bit for bit."""
    if filters.shape != (2 * _BANDS, _FILTER_SAMPLES):
        return False
    even, odd = filters[:_BANDS], filters[_BANDS:]
    return torch.equal(even, even.flip(1)) and torch.equal(odd, -odd.flip(1))


def _convolution(kernels: Kernels, weight: Tensor, bias: Tensor) -> NativeLinear:
    """A convolution along time as a linear layer: its inputs are rows that follow one another."""
    rows = weight.permute(0, 2, 1).reshape(len(weight), -1)
    return NativeLinear(kernels, rows, bias, is_int8=False, dtype=torch.float32)
