from __future__ import annotations

import numpy as np
import pytest
import torch
from hf_reference import CPU

from ifw.errors import ShapeError
from ifw.model.mel import log_mel, mel_filters

TOLERANCE = 1e-4


def windows() -> list[np.ndarray]:
    """A full window of noise, a chirp of 7.3 s, a click, a single sample, silence, and nothing at all."""
    random = np.random.default_rng(5)
    seconds = np.arange(116_800) / 16_000
    click = np.zeros(16_000)
    click[8_000] = 1.0
    parts = [
        0.3 * random.standard_normal(480_000),
        0.9 * np.sin(2 * np.pi * (100 + 300 * seconds) * seconds),
        click,
        np.array([0.5]),
        np.zeros(480_000),
        np.zeros(0),
    ]
    return [part.astype(np.float32) for part in parts]


@pytest.mark.parametrize("n_mels", [80, 128])
def test_equals_the_extractor_of_transformers(n_mels: int) -> None:
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    assert np.abs(mel_filters(n_mels) - extractor.mel_filters.T).max() < 1e-7
    expected = extractor(windows()[:5], sampling_rate=16_000, return_tensors="pt").input_features
    found = log_mel(n_mels, CPU)(windows())
    assert found.shape == (6, n_mels, 3000)
    assert found.dtype == torch.float32
    assert (found[:5] - expected).abs().max() < TOLERANCE
    assert torch.equal(found[5], found[4]), "an empty window is silence"


def test_windows_do_not_influence_each_other() -> None:
    mel = log_mel(80, CPU)
    together = mel(windows())
    for row, window in zip(together, windows(), strict=True):
        assert (mel([window])[0] - row).abs().max() < 1e-6


def test_the_forms_of_input_agree() -> None:
    mel = log_mel(80, CPU)
    expected = mel(windows())
    padded = torch.zeros(6, 480_000)
    for row, window in zip(padded, windows(), strict=True):
        row[: len(window)] = torch.from_numpy(window)
    assert torch.equal(mel(padded), expected)
    assert torch.equal(mel([torch.from_numpy(window) for window in windows()]), expected)
    mixed = [torch.from_numpy(window) if i % 2 else window for i, window in enumerate(windows())]
    assert torch.equal(mel(mixed), expected)


@pytest.mark.parametrize("n_samples", [1, 199, 201, 15_999, 16_000, 16_041, 479_500, 479_900])
def test_what_is_not_computed_of_a_short_window_is_what_silence_gives(n_samples: int) -> None:
    mel, window = log_mel(80, CPU), np.random.default_rng(0).normal(0, 0.1, n_samples).astype(np.float32)
    window[-1] = 0.5
    padded = torch.zeros(1, 480_000)
    padded[0, :n_samples] = torch.from_numpy(window)
    assert torch.allclose(mel([window]), mel(padded), rtol=0, atol=1e-6)


def test_read_only_samples() -> None:
    """Blocks in shared memory are handed out read-only."""
    window = windows()[1]
    window.flags.writeable = False
    assert torch.equal(log_mel(80, CPU)([window])[0], log_mel(80, CPU)(windows())[1])


def test_the_input_is_left_alone() -> None:
    padded = torch.ones(1, 480_000)
    log_mel(80, CPU)(padded)
    assert (padded == 1).all()


@pytest.mark.parametrize("n_mels", [80, 128])
def test_filters_are_triangles_of_unit_area(n_mels: int) -> None:
    filters = mel_filters(n_mels)
    assert filters.shape == (n_mels, 201)
    assert (filters >= 0).all()
    centres = filters.argmax(axis=1)
    assert (np.diff(centres) >= 0).all()
    wide = filters[n_mels // 2 :]  # narrow ones fall between the bins of 40 Hz
    assert np.allclose(wide.sum(axis=1) * 40.0, 1.0, atol=0.1)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "got none"),
        ([np.zeros(10)], "float64"),
        ([np.zeros((2, 10), np.float32)], r"\(2, 10\)"),
        ([np.zeros(480_001, np.float32)], "480001"),
        ([torch.zeros(10, dtype=torch.float16)], "float16"),
        (torch.zeros(2, 479_999), "479999"),
        (torch.zeros(480_000), r"\(480000,\)"),
        (torch.zeros(1, 480_000, dtype=torch.float64), "float64"),
    ],
)
def test_other_shapes_are_refused(bad: list[np.ndarray] | torch.Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        log_mel(80, CPU)(bad)
