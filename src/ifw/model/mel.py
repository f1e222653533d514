"""Log-mel spectrograms in torch, for whole batches of windows, on the model's device.

Source: Radford et al. 2022, section 2.2; openai/whisper `audio.py`; Slaney 1998 (Auditory Toolbox) for the filters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ifw.constants import HOP_LENGTH, N_FFT, SAMPLE_RATE, WINDOW_SAMPLES
from ifw.errors import ShapeError

Samples: TypeAlias = "NDArray[np.float32] | Tensor"

_LINEAR_HZ_PER_MEL = 200.0 / 3.0  # Slaney's scale is linear up to 1 kHz
_LOG_START_HZ = 1_000.0
_LOG_START_MEL = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0  # 27 mels from 1 kHz to 6.4 kHz
_LEAST_SAMPLES = SAMPLE_RATE  # fewer frames take another way through the product, which rounds in another order
_LOG_SILENCE = -10.0  # log10 of the least power


@dataclass(frozen=True, slots=True, eq=False)
class LogMel:
    """Turns windows of samples into log-mel on one device. Made by `log_mel`.

    Attributes:
        n_mels: Mel bands.
        filters: [n_mels, N_FFT / 2 + 1] float32, from `mel_filters`.
        taper: [N_FFT] float32, the Hann window.
    """

    n_mels: int
    filters: Tensor
    taper: Tensor

    @torch.inference_mode()
    def __call__(self, windows: Sequence[Samples] | Tensor) -> Tensor:
        """Compute the log-mel of a batch of windows.

        Args:
            windows: float32 mono samples at 16 kHz in [-1, 1]: B arrays or tensors [n] of at most 480,000 samples
                each, which are padded with silence, or one tensor [B, 480000]. On any device.

        Returns:
            [B, n_mels, 3000] float32 on the device of the filters. Every window is normalised by its own maximum, so
            the result does not depend on its neighbours.

        Raises:
            ShapeError: A window is not one-dimensional float32, or too long; or there is none.
        """
        samples = _as_batch(windows).to(self.filters.device, non_blocking=True)
        spectrum = torch.stft(samples, N_FFT, HOP_LENGTH, window=self.taper, return_complex=True)[..., :-1]
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)  # [B, N_FFT / 2 + 1, 3000 or fewer]
        mel = torch.matmul(self.filters, power).clamp_(min=1e-10).log10_()
        mel = F.pad(mel, (0, WINDOW_SAMPLES // HOP_LENGTH - mel.shape[2]), value=_LOG_SILENCE)
        floor = mel.amax(dim=(1, 2), keepdim=True) - 8.0
        return torch.maximum(mel, floor).add_(4.0).mul_(0.25)


def log_mel(n_mels: int, device: torch.device) -> LogMel:
    """Make the transform for a checkpoint's number of mel bands.

    Args:
        n_mels: 80, or 128 since large-v3.
        device: Where it computes.
    """
    filters = torch.from_numpy(mel_filters(n_mels)).to(device)
    return LogMel(n_mels, filters, torch.hann_window(N_FFT, device=device))


def mel_filters(n_mels: int) -> NDArray[np.float32]:
    """Triangular filters on Slaney's mel scale, each of unit area, over 0 to 8 kHz.

    Args:
        n_mels: Number of bands.

    Returns:
        [n_mels, N_FFT / 2 + 1] float32: power spectrum to mel bands.
    """
    bins_hz = np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    edges_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))
    lower, centre, upper = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (bins_hz - lower) / (centre - lower)
    falling = (upper - bins_hz) / (upper - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * 2.0 / (upper - lower), dtype=np.float32)


def _hz_to_mel(hz: float) -> float:
    if hz < _LOG_START_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return _LOG_START_MEL + math.log(hz / _LOG_START_HZ) / _LOG_STEP


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = mel * _LINEAR_HZ_PER_MEL
    logarithmic = _LOG_START_HZ * np.exp(_LOG_STEP * (mel - _LOG_START_MEL))
    return np.where(mel < _LOG_START_MEL, linear, logarithmic)


def _as_batch(windows: Sequence[Samples] | Tensor) -> Tensor:
    """[B, n] float32, padded with zeros; n is a multiple of the hop, and no frame behind it would see a sample."""
    if isinstance(windows, Tensor):
        if windows.ndim != 2 or windows.shape[1] != WINDOW_SAMPLES or windows.dtype != torch.float32:
            raise ShapeError(
                f"windows: got {windows.dtype} {tuple(windows.shape)}, allowed: float32 [B, {WINDOW_SAMPLES}]"
            )
        return windows
    if not windows:
        raise ShapeError("windows: got none, allowed: at least one")
    for window in windows:
        _check_window(window)
    devices = {window.device if isinstance(window, Tensor) else torch.device("cpu") for window in windows}
    n_samples = max(*map(len, windows), _LEAST_SAMPLES) + N_FFT
    n_samples = min(-(-n_samples // HOP_LENGTH) * HOP_LENGTH, WINDOW_SAMPLES)
    batch = torch.zeros(len(windows), n_samples, device=devices.pop() if len(devices) == 1 else "cpu")
    for row, window in zip(batch, windows, strict=True):
        if isinstance(window, Tensor):
            row[: len(window)] = window
        else:
            row[: len(window)].numpy()[:] = window  # torch.from_numpy would warn where the array is read-only
    return batch


def _check_window(window: Any) -> None:
    is_float32 = window.dtype in (torch.float32, np.float32)
    if not is_float32 or window.ndim != 1 or len(window) > WINDOW_SAMPLES:
        raise ShapeError(
            f"window: got {window.dtype} {tuple(window.shape)}, allowed: float32 [n], n at most {WINDOW_SAMPLES}"
        )
