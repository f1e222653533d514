"""Log filter-bank energies as Kaldi computes them: what the embedding network hears."""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from ifw.constants import HOP_LENGTH, SAMPLE_RATE

FRAME_SAMPLES: Final = SAMPLE_RATE * 25 // 1000
_FFT_SAMPLES: Final = 512
_LOWEST_HZ: Final = 20.0
PREEMPHASIS: Final = 0.97
ENERGY_FLOOR: Final = torch.finfo(torch.float32).eps
_FULL_SCALE: Final = 1 << 15  # Kaldi hears 16-bit numbers


class FilterBank:
    """Samples to log energies. A frame depends on its own 400 samples only.

    Args:
        n_mels: Number of bands.
        device: Where it runs.

    Attributes:
        window: [400], with the scale of Kaldi's numbers.
        bands: [n_mels, 257] weights of the bins of a spectrum.

    Source:
        Kaldi, `compute-fbank-feats`, with a Hamming window and without dither.
    """

    def __init__(self, n_mels: int, device: torch.device) -> None:
        self.window = _FULL_SCALE * torch.hamming_window(FRAME_SAMPLES, periodic=False).to(device)
        self.bands = mel_bands(n_mels).to(device)

    def __call__(self, samples: Tensor) -> Tensor:
        """Compute the energies of all whole frames.

        Args:
            samples: [..., n] float32 in [-1, 1], n at least 400.

        Returns:
            [..., frames, n_mels] float32.
        """
        frames = samples.unfold(-1, FRAME_SAMPLES, HOP_LENGTH)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
        spectrum = torch.fft.rfft((frames - PREEMPHASIS * before) * self.window, _FFT_SAMPLES)
        power = spectrum.real.square() + spectrum.imag.square()  # several times faster than its magnitude
        energies: Tensor = power @ self.bands.T
        return energies.clamp_min_(ENERGY_FLOOR).log_()


def mel_bands(n_mels: int) -> Tensor:
    """Triangles on Kaldi's mel scale, from 20 Hz to half the sample rate.

    Returns:
        [n_mels, 257] weights of the bins of the spectrum; that of the highest bin is zero.
    """
    lowest, highest = _mel(_LOWEST_HZ), _mel(SAMPLE_RATE / 2)
    width = (highest - lowest) / (n_mels + 1)
    band = torch.arange(n_mels)[:, None]
    left, centre, right = (lowest + (band + shift) * width for shift in (0.0, 1.0, 2.0))
    hertz = SAMPLE_RATE / _FFT_SAMPLES * torch.arange(_FFT_SAMPLES // 2)
    mels = 1127.0 * (1.0 + hertz / 700.0).log()
    triangles = torch.minimum((mels - left) / (centre - left), (right - mels) / (right - centre)).clamp_min(0)
    return F.pad(triangles, (0, 1))


def _mel(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)
