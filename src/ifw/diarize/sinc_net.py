"""The front of the segmentation network: learned band-pass filters, two convolutions, pooling after each.

Source: Ravanelli and Bengio 2018, "Speaker recognition from raw waveform with SincNet"; its sine filters beside the
cosine ones are those of Pariente et al. 2020, "Filterbank design for end-to-end speech separation".
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifw.constants import SAMPLE_RATE

N_BANDS: Final = 40
FILTER_SAMPLES: Final = 251
WIDTH: Final = 60
_MIN_HZ: Final = 50  # lowest edge of a band, and the narrowest band
_POOL: Final = 3
_KERNEL: Final = 5


def band_filters(low_hz: Tensor, band_hz: Tensor) -> Tensor:
    """Make the filters that the checkpoint's band edges describe.

    Args:
        low_hz: [40, 1] lower edges, above 50 Hz.
        band_hz: [40, 1] widths, above 50 Hz.

    Returns:
        [80, 1, 251] cosine filters, then sine filters.
    """
    half = FILTER_SAMPLES // 2
    low = _MIN_HZ + low_hz.abs()
    high = (low + _MIN_HZ + band_hz.abs()).clamp(_MIN_HZ, SAMPLE_RATE / 2)
    time = 2 * math.pi * (torch.arange(-half, 0.0) / SAMPLE_RATE)[None]  # the left half; the right mirrors it
    taper = torch.hamming_window(FILTER_SAMPLES, periodic=False, dtype=torch.float64)[:half].float()
    width = high - low
    even = (torch.sin(high @ time) - torch.sin(low @ time)) / (time / 2) * taper
    odd = (torch.cos(low @ time) - torch.cos(high @ time)) / (time / 2) * taper
    cosine = torch.cat([even, 2 * width, even.flip(1)], 1)
    sine = torch.cat([odd, torch.zeros_like(width), -odd.flip(1)], 1)
    return torch.cat([cosine / (2 * width), sine / (2 * width)]).unsqueeze(1)


class SincNet(nn.Module):
    """Samples to features.

    Args:
        stride: Samples from one filter output to the next.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.wav_norm1d = nn.InstanceNorm1d(1, affine=True)
        self.filters = nn.Parameter(torch.empty(2 * N_BANDS, 1, FILTER_SAMPLES))
        self.conv1d = nn.ModuleList(
            [nn.Identity(), nn.Conv1d(2 * N_BANDS, WIDTH, _KERNEL), nn.Conv1d(WIDTH, WIDTH, _KERNEL)]
        )
        self.norm1d = nn.ModuleList([nn.InstanceNorm1d(width, affine=True) for width in (2 * N_BANDS, WIDTH, WIDTH)])

    def forward(self, samples: Tensor) -> Tensor:
        """Hear chunks.

        Args:
            samples: [B, 1, n].

        Returns:
            [B, 60, F] features.
        """
        return self._features(F.conv1d(self.wav_norm1d(samples), self.filters, stride=self.stride))

    def features(self, samples: Tensor, chunk_samples: int, step_samples: int) -> Tensor:
        """As `hear`, but [B, F, 60]."""
        return self.hear(samples, chunk_samples, step_samples).transpose(1, 2)

    def hear(self, samples: Tensor, chunk_samples: int, step_samples: int) -> Tensor:
        """Hear chunks that follow one another: what they share is filtered once, and scaled as each wants it.

        Args:
            samples: [n]: the first chunk, and a step more for each other.
            chunk_samples: Length of a chunk.
            step_samples: From one chunk to the next.

        Returns:
            As `forward`, up to rounding.
        """
        chunks = samples.unfold(0, chunk_samples, step_samples)
        if step_samples % self.stride or len(chunks) == 1:
            return self.forward(chunks.unsqueeze(1))
        norm = self.wav_norm1d
        assert norm.weight is not None
        assert norm.bias is not None
        mean = chunks.mean(1)  # [B]
        variance = (chunks - mean[:, None]).square_().mean(1)  # faster than `torch.var`
        scale = norm.weight * (variance + norm.eps).rsqrt()
        shift = norm.bias - mean * scale
        n_outputs = (chunk_samples - FILTER_SAMPLES) // self.stride + 1
        filtered = F.conv1d(samples[None], self.filters, stride=self.stride)
        parts = filtered.unfold(1, n_outputs, step_samples // self.stride).transpose(0, 1)  # [B, filters, outputs]
        offset = shift[:, None, None] * self.filters.sum(2)
        return self._features(torch.addcmul(offset, parts, scale[:, None, None]))

    def _features(self, filtered: Tensor) -> Tensor:
        features = filtered.abs()
        for index, (convolve, norm) in enumerate(zip(self.conv1d, self.norm1d, strict=True)):
            if index:
                features = convolve(features)
            features = F.leaky_relu(norm(F.max_pool1d(features, _POOL)))
        return features

    def n_frames(self, n_samples: int) -> int:
        """How many frames come of so many samples."""
        n_frames = (n_samples - FILTER_SAMPLES) // self.stride + 1
        for kernel in (_KERNEL, _KERNEL, 1):
            n_frames = n_frames // _POOL - kernel + 1
        return n_frames

    @property
    def frame_samples(self) -> int:
        """How many samples a frame hears."""
        n_outputs = 1
        for kernel in (_KERNEL, _KERNEL):
            n_outputs = n_outputs * _POOL + kernel - 1
        return FILTER_SAMPLES + (n_outputs * _POOL - 1) * self.stride

    @property
    def step_samples(self) -> int:
        """Samples from one frame to the next."""
        return self.stride * _POOL**3
