"""How it sounds where they speak: levels, rooms, channels, noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len
from scipy.signal import butter, fftconvolve, sosfilt

from recipes.demo_model.espeak import SAMPLE_RATE

from .conversations import Said
from .speech import Corpus, FloatArray

_EQ_POINTS_HZ: Final = np.array([0, 150, 400, 1000, 2000, 4000, 8000])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How bad it may get.

    Attributes:
        noise_share: Conversations with noise.
        lowest_snr_db: The most noise there is.
        room_share: Conversations that reverberate.
        longest_reverberation_s: The time in which the echo falls by 60 dB, at most.
        narrow_share: Conversations over a telephone.
        level_spread_db: How much louder one speaker may be than another.
    """

    noise_share: float = 0.85
    lowest_snr_db: float = 6.0
    room_share: float = 0.5
    longest_reverberation_s: float = 0.6
    narrow_share: float = 0.1
    level_spread_db: float = 10.0


@dataclass(frozen=True, slots=True)
class Cast:
    """Whose voices are heard.

    Attributes:
        corpus: What all voices say.
        voices: The voice of each speaker.
    """

    corpus: Corpus
    voices: tuple[int, ...]


def mix(
    rng: np.random.Generator,
    said: Sequence[Said],
    cast: Cast,
    duration_s: float,
    surroundings: Surroundings,
) -> FloatArray:
    """Let a conversation sound.

    Args:
        rng: Source of randomness.
        said: Who says what when.
        cast: Who lends them their voices.
        duration_s: Length of the result.
        surroundings: How bad it may get.

    Returns:
        [n] float32 in [-1, 1].
    """
    n_samples = round(duration_s * SAMPLE_RATE)
    mixed = np.zeros(n_samples, np.float32)
    is_in_room = rng.random() < surroundings.room_share
    reverberation_s = rng.uniform(0.1, surroundings.longest_reverberation_s)
    for speaker, voice in enumerate(cast.voices):
        track = _track(rng, [one for one in said if one.speaker == speaker], cast.corpus, voice, n_samples)
        if not track.any():
            continue
        level = _level(track)
        if is_in_room:
            track = _reverberate(rng, track, reverberation_s)
        if rng.random() < 0.5:
            track = _equalise(track, rng.normal(0, 3, len(_EQ_POINTS_HZ)))
        mixed += track * np.float32(10 ** (-rng.uniform(0, surroundings.level_spread_db) / 20) / level)
    return _finish(rng, mixed, surroundings)


def noise(rng: np.random.Generator, n_samples: int) -> FloatArray:
    """Noise of some colour, now and then with a hum; root mean square 1."""
    tilt = rng.uniform(0, 1)
    n_fast = next_fast_len(n_samples, real=True)
    spectrum = np.fft.rfft(rng.standard_normal(n_fast, np.float32))
    spectrum *= np.maximum(np.arange(len(spectrum)), 20 * n_fast / SAMPLE_RATE) ** -tilt
    sound = np.fft.irfft(spectrum, n_fast)[:n_samples]
    sound /= np.sqrt(np.mean(np.square(sound)))
    if rng.random() < 0.15:
        time = np.arange(n_samples) / SAMPLE_RATE
        sound += 2 * sum(np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6)) / k for k in (1, 2, 3, 5))
        sound /= np.sqrt(np.mean(np.square(sound)))
    return np.asarray(sound, np.float32)


def _track(rng: np.random.Generator, said: Sequence[Said], corpus: Corpus, voice: int, n_samples: int) -> FloatArray:
    track = np.zeros(n_samples, np.float32)
    for one in said:
        samples = corpus.samples(voice, one.utterance) * np.float32(10 ** (rng.normal(0, 1.2) / 20))
        start = round((one.start_s - one.utterance.start_s) * SAMPLE_RATE)
        samples = samples[max(0, -start) :]
        start = max(0, start)
        samples = samples[: max(0, n_samples - start)]
        track[start : start + len(samples)] += samples
    return track


def _level(track: FloatArray) -> float:
    """Root mean square where there is sound."""
    power = np.square(track)
    return float(np.sqrt(power.sum() / max(1, np.count_nonzero(power > 1e-6))))


def _reverberate(rng: np.random.Generator, track: FloatArray, reverberation_s: float) -> FloatArray:
    time = np.arange(round(reverberation_s * SAMPLE_RATE)) / SAMPLE_RATE
    echo = rng.standard_normal(len(time)) * 10 ** (-3 * time / reverberation_s)
    echo[: round(0.003 * SAMPLE_RATE)] = 0
    echo *= 10 ** (-rng.uniform(0, 12) / 20) / np.sqrt(np.square(echo).sum())
    echo[0] = 1
    return np.asarray(fftconvolve(track, echo)[: len(track)], np.float32)


def _equalise(track: FloatArray, gains_db: npt.NDArray[np.floating]) -> FloatArray:
    n_fast = next_fast_len(len(track), real=True)
    hertz = np.fft.rfftfreq(n_fast, 1 / SAMPLE_RATE)
    curve = 10 ** (np.interp(hertz, _EQ_POINTS_HZ, gains_db) / 20)
    return np.asarray(np.fft.irfft(np.fft.rfft(track, n_fast) * curve, n_fast)[: len(track)], np.float32)


def _finish(rng: np.random.Generator, mixed: FloatArray, surroundings: Surroundings) -> FloatArray:
    """Noise, the channel, the level."""
    level = _level(mixed) if mixed.any() else 1.0
    if rng.random() < surroundings.noise_share:
        snr_db = rng.uniform(surroundings.lowest_snr_db, 45)
        mixed = mixed + noise(rng, len(mixed)) * np.float32(level * 10 ** (-snr_db / 20))
    if rng.random() < surroundings.narrow_share:
        mixed = sosfilt(
            butter(4, [rng.uniform(100, 300), rng.uniform(3000, 3800)], "band", fs=16000, output="sos"), mixed
        )
    elif rng.random() < 0.3:
        mixed = _equalise(mixed, rng.normal(0, 4, len(_EQ_POINTS_HZ)))
    peak = float(np.abs(mixed).max())
    if peak == 0:
        return np.asarray(mixed, np.float32)
    return np.asarray(mixed * (10 ** (-rng.uniform(0.2, 30) / 20) / peak), np.float32)
