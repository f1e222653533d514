"""What the defaults hear: nothing that was said is cut away, and little else is taken for speech."""

import numpy as np
import pytest

from ifw.config import VadOptions
from ifw.speech.packer import WindowPacker

RATE = 16_000


def noise(n_samples, level=1.0):
    return (level * np.random.default_rng(1).standard_normal(n_samples)).astype(np.float32)


def with_noise(speech, snr_db):
    level = np.sqrt(np.square(speech[np.abs(speech) > 1e-3]).mean())
    return speech + noise(len(speech), level * 10 ** (-snr_db / 20))


def band_limited(speech):
    """As it comes from audio sampled at 8 kHz."""
    spectrum = np.fft.rfft(speech)
    spectrum[np.fft.rfftfreq(len(speech), 1 / RATE) > 3_900] = 0
    return np.fft.irfft(spectrum, len(speech)).astype(np.float32)


def tones(*frequencies):
    time = np.arange(60 * RATE) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * f * time) for f in frequencies)).astype(np.float32)


def windows_of(samples, detector):
    packer = WindowPacker(VadOptions(), detector)
    return packer.feed(samples) + packer.finish()


@pytest.mark.parametrize(
    ("change", "margin_s"),
    [
        pytest.param(lambda speech: speech, 0.15, id="clean"),
        pytest.param(lambda speech: with_noise(speech, 20), 0.15, id="20 dB"),
        pytest.param(lambda speech: with_noise(speech, 8), 0.1, id="8 dB"),
        pytest.param(band_limited, 0.15, id="8 kHz"),
        pytest.param(lambda speech: with_noise(band_limited(speech), 8), 0.1, id="8 kHz, 8 dB"),
        pytest.param(lambda speech: speech * np.float32(10 ** (-50 / 20)), 0.1, id="quiet"),
        pytest.param(lambda speech: speech * np.float32(10 ** (-59 / 20)), 0.1, id="peaks at -65 dB"),
        pytest.param(lambda speech: np.clip(4 * speech, -1, 1), 0.15, id="clipped"),
    ],
)
def test_every_utterance_is_covered_with_a_margin(change, margin_s, speech, utterances, detector):
    windows = windows_of(change(speech), detector)
    is_heard = np.zeros(len(speech), bool)
    for window in windows:
        for span in window.spans:
            is_heard[round(span.start_s * RATE) : round(span.end_s * RATE)] = True
    for utterance in utterances:
        start, stop = utterance.start_s - margin_s, utterance.end_s + margin_s
        assert is_heard[max(0, round(start * RATE)) : round(stop * RATE)].all(), utterance


def test_no_window_ends_within_an_utterance(speech, utterances, detector):
    windows = windows_of(speech, detector)
    assert len(windows) >= 3
    for window in windows:
        for utterance in utterances:
            for edge in (window.start_s, window.end_s):
                assert not utterance.start_s < edge < utterance.end_s


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.zeros(60 * RATE, np.float32), id="silence"),
        pytest.param(noise(60 * RATE, 0.1), id="noise"),
        pytest.param(noise(60 * RATE, 1e-4), id="faint noise"),
        pytest.param(tones(440), id="tone"),
        pytest.param(tones(220, 277.2, 329.6), id="chord"),
    ],
)
def test_no_speech_is_not_taken_for_speech(samples, detector):
    windows = windows_of(samples, detector)
    assert windows == []


def test_silence_around_speech_is_skipped(speech, detector):
    silence = np.zeros(40 * RATE, np.float32)
    windows = windows_of(np.concatenate((silence, speech[: 20 * RATE], silence)), detector)
    assert 40 <= windows[0].start_s < 41
    assert windows[-1].end_s < 60.9
    assert sum(window.duration_s for window in windows) < 22
