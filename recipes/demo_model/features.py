"""Log-mel features, with the degradation of training done on the spectrum on the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.signal import fftconvolve
from transformers.audio_utils import mel_filter_bank

from .espeak import SAMPLE_RATE, FloatArray
from .windows import Window

FFT_SIZE = 400
HOP = 160
BINS = FFT_SIZE // 2 + 1
_NOISE_BANK_S = 60
_FREQUENCIES = np.linspace(0, SAMPLE_RATE / 2, BINS).astype(np.float32)


class MelExtractor:
    """Whisper's log-mel spectrogram, 80 bands."""

    def __init__(self) -> None:
        filters = mel_filter_bank(BINS, 80, 0.0, 8000.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        self._filters = torch.tensor(filters.T.copy(), dtype=torch.float32)
        self._taper = torch.hann_window(FFT_SIZE)

    def spectrum(self, samples: torch.Tensor) -> torch.Tensor:
        """Complex spectrum of windows, shape (windows, bins, frames)."""
        return torch.stft(samples, FFT_SIZE, HOP, window=self._taper, return_complex=True)[..., :-1]

    def log_mel(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Features of a complex spectrum, shape (windows, 80, frames)."""
        power = spectrum.real**2 + spectrum.imag**2
        mel = (self._filters @ power).clamp_min(1e-10).log10()
        mel = torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8)
        return (mel + 4) / 4


class Degrader:
    """Reverberation, clipping, equaliser, band limits, coloured noise and gain."""

    def __init__(self, extractor: MelExtractor, seed: int) -> None:
        self._extractor = extractor
        noise = np.random.default_rng(seed).standard_normal(_NOISE_BANK_S * SAMPLE_RATE)
        # The transform is linear: noise is added to the spectrum from a bank, which costs a
        # tenth of making it in the time domain.
        self._noise = extractor.spectrum(torch.tensor(noise, dtype=torch.float32)[None])[0]
        self._colours = [_noise_colour(exponent) for exponent in (0.0, 0.5, 1.0)]

    def features(self, rng: np.random.Generator, windows: Sequence[Window]) -> torch.Tensor:
        """Degraded features of windows of one length."""
        samples = np.stack([_degrade_samples(rng, window) for window in windows])
        spectrum = self._extractor.spectrum(torch.from_numpy(samples))
        for index, window in enumerate(windows):
            self._degrade_spectrum(rng, spectrum[index], window)
        return self._extractor.log_mel(spectrum)

    def _degrade_spectrum(self, rng: np.random.Generator, spectrum: torch.Tensor, window: Window) -> None:
        end = min(spectrum.shape[1], int(window.content_end_s * SAMPLE_RATE / HOP))
        content = window.samples[: end * HOP]
        level = float(np.sqrt(np.mean(content**2))) + 1e-5
        if rng.random() < 0.45:
            spectrum *= torch.from_numpy(equaliser(rng))[:, None]
        if rng.random() < 0.6 and end > 0:
            first = int(rng.integers(0, self._noise.shape[1] - end))
            colour = self._colours[rng.integers(len(self._colours))]
            amplitude = level * 10 ** (-rng.uniform(8, 40) / 20)
            spectrum[:, :end] += self._noise[:, first : first + end] * (colour * amplitude)
        spectrum *= 10 ** (rng.uniform(-20, 6) / 20)


def _noise_colour(exponent: float) -> torch.Tensor:
    shape = np.maximum(_FREQUENCIES, 40.0) ** -exponent
    shape /= np.sqrt(np.mean(shape**2))
    return torch.from_numpy(shape.astype(np.float32))[:, None]


def equaliser(rng: np.random.Generator) -> FloatArray:
    """Random gains of the bins: a smooth curve, sometimes with the limits of a channel."""
    decibel = np.interp(_FREQUENCIES, np.linspace(0, 8000, 8), rng.uniform(-8, 5, 8))
    kind = rng.random()
    if kind < 0.15:  # telephone or 8 kHz recording
        decibel = decibel - 70 * (rng.uniform(3300, 4000) < _FREQUENCIES)
    elif kind < 0.45:  # the low-pass of a codec
        decibel = decibel - rng.uniform(20, 60) * (rng.uniform(3800, 7500) < _FREQUENCIES)
    if rng.random() < 0.25:
        decibel = decibel - 25 * (rng.uniform(80, 300) > _FREQUENCIES)
    return np.asarray(10 ** (decibel / 20), np.float32)


def _degrade_samples(rng: np.random.Generator, window: Window) -> FloatArray:
    samples = window.samples
    if rng.random() < 0.15:
        samples = reverberate(rng, samples)
        samples[int(window.content_end_s * SAMPLE_RATE) :] = 0
    if rng.random() < 0.05:
        limit = np.abs(samples).max() * rng.uniform(0.3, 0.8) + 1e-6
        samples = samples.clip(-limit, limit)
    return samples


def reverberate(rng: np.random.Generator, samples: FloatArray) -> FloatArray:
    """Samples with the reverberation of a small random room."""
    length = int(rng.uniform(0.05, 0.25) * SAMPLE_RATE)
    response = rng.standard_normal(length) * np.exp(-np.arange(length) / (length / 5))
    response *= rng.uniform(0.1, 0.4) / np.sqrt((response**2).sum())
    response[0] += 1
    return np.asarray(fftconvolve(samples, response.astype(np.float32))[: len(samples)], np.float32)


def mask_features(rng: np.random.Generator, features: torch.Tensor) -> None:
    """Masks two bands and two stretches of time of some windows, in place."""
    for window in features:
        if rng.random() >= 0.4:
            continue
        mean = window.mean()
        for _ in range(2):
            band = rng.integers(0, 70)
            window[band : band + rng.integers(1, 9)] = mean
            frame = rng.integers(0, window.shape[1] - 20)
            window[:, frame : frame + rng.integers(1, 14)] = mean
