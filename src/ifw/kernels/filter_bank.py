"""Energies of bands of the spectrum by the native library: float32, in the calling thread."""

from __future__ import annotations

from ctypes import byref
from typing import Final

import torch
from torch import Tensor

from ifw.errors import ShapeError
from ifw.kernels.library import FilterBankStruct, Kernels

FRAME_SAMPLES: Final = 400
FRAME_HOP: Final = 160
_FFT_SAMPLES: Final = 512


class NativeFilterBank:
    """Frames of 400 samples, one every 160, to energies of bands of their spectrum over 512 samples.

    From each frame its mean is taken, then from each sample a part of the one before; then they are windowed.

    Args:
        kernels: From `ifw.kernels.library`.
        window: [400].
        bands: [n_bands, 257] weights of the power of each bin; those of the highest are zero.
        preemphasis: The part of the sample before; the first sample is its own.
    """

    def __init__(self, kernels: Kernels, window: Tensor, bands: Tensor, preemphasis: float) -> None:
        assert window.shape == (FRAME_SAMPLES,)
        assert bands.shape[1] == _FFT_SAMPLES // 2 + 1
        assert not bands[:, -1].any(), "the highest bin is not computed"
        self._kernels = kernels
        self._n_bands = len(bands)
        bins = [torch.nonzero(band).flatten().tolist() or [0] for band in bands]
        firsts, ends = [one[0] for one in bins], [one[-1] + 1 for one in bins]
        weights = torch.cat([band[first:end] for band, first, end in zip(bands, firsts, ends, strict=True)])
        angles = torch.arange(_FFT_SAMPLES // 2, dtype=torch.float64) * (2 * torch.pi / _FFT_SAMPLES)
        self._owned = (  # the struct points into them
            *(x.to("cpu", torch.float32).contiguous() for x in (window, angles.cos(), angles.sin(), weights)),
            torch.tensor(firsts, device="cpu"),
            torch.tensor([end - first for first, end in zip(firsts, ends, strict=True)], device="cpu"),
        )
        self._struct = FilterBankStruct(self._n_bands, preemphasis, 0, *(x.data_ptr() for x in self._owned))

    def __call__(self, samples: Tensor) -> Tensor:
        """Compute the energies of all whole frames.

        Args:
            samples: [n] float32, n at least 400.

        Returns:
            [frames, n_bands] float32.

        Raises:
            ShapeError: Shape, dtype or device do not fit.
        """
        fits = samples.ndim == 1 and len(samples) >= FRAME_SAMPLES
        if not fits or samples.dtype != torch.float32 or samples.device.type != "cpu":
            raise ShapeError(
                f"samples: got {samples.dtype} {list(samples.shape)} on {samples.device}, "
                f"allowed: float32 [n], n >= {FRAME_SAMPLES}, on cpu"
            )
        samples = samples.contiguous()
        n_frames = 1 + (len(samples) - FRAME_SAMPLES) // FRAME_HOP
        energies = torch.empty(n_frames, self._n_bands, dtype=torch.float32, device="cpu")
        self._kernels.filter_bank(byref(self._struct), samples.data_ptr(), n_frames, energies.data_ptr())
        return energies
