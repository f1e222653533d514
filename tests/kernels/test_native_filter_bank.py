"""The native filter bank against its definition, on every instruction set."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_kernels import each_level, noise
from torch.nn import functional as F

from ifw.errors import ShapeError
from ifw.kernels.filter_bank import NativeFilterBank

ANY_SIZE = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PREEMPHASIS = 0.9


def make(n_bands, seed=0):
    """A window, and bands of which each has some bins in a row, one of them none."""
    bands = torch.zeros(n_bands, 257)
    generator = torch.Generator().manual_seed(seed)
    for band in bands[1:]:
        first, end = torch.randint(0, 257, (2,), generator=generator).sort().values.tolist()
        band[first:end] = torch.rand(end - first, generator=generator)
    return torch.rand(400, generator=generator) + 0.1, bands


def twin(window, bands, samples):
    """The same in float64, by the definition of the Fourier transform."""
    frames = samples.double().unfold(0, 400, 160)
    frames = frames - frames.mean(1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], 1)
    frames = F.pad((frames - PREEMPHASIS * before) * window.double(), (0, 112))
    angles = torch.arange(257, dtype=torch.float64)[:, None] * torch.arange(512) * (2 * torch.pi / 512)
    real, imaginary = frames @ angles.cos().T, frames @ angles.sin().T
    return (real.square() + imaginary.square()) @ bands.double().T


def assert_same(energies, expected, samples):
    """Roundings of float32 are parts of the largest amplitude that a frame can have."""
    atol = 1e-7 * 400 * float(samples.abs().max())
    torch.testing.assert_close(energies.double().sqrt(), expected.sqrt(), rtol=1e-5, atol=atol)


@each_level
@ANY_SIZE
@given(
    n_frames=st.integers(1, 70),
    n_more=st.integers(0, 159),
    n_bands=st.integers(1, 90),
    scale=st.sampled_from([(0.0, 0.0), (1e-3, 0.0), (1.0, -1.0), (1e4, 0.0), (1.0, 1e3)]),
)
def test_any_audio(kernels, n_frames, n_more, n_bands, scale):
    deviation, mean = scale
    window, bands = make(n_bands)
    samples = deviation * noise(400 + 160 * (n_frames - 1) + n_more, seed=n_frames) + mean
    found = NativeFilterBank(kernels, window, bands, PREEMPHASIS)(samples)
    assert found.shape == (n_frames, n_bands)
    assert_same(found, twin(window, bands, samples), samples)


@each_level
def test_each_bin(kernels):
    """A tone of each bin, so that no two may be mixed up."""
    window, bands = torch.ones(400), F.pad(torch.eye(256), (0, 1))
    bank = NativeFilterBank(kernels, window, bands, PREEMPHASIS)
    for turns in range(256):
        samples = (2 * torch.pi * turns / 512 * torch.arange(400) + 0.3).cos()
        assert_same(bank(samples), twin(window, bands, samples), samples)


@each_level
def test_a_frame_does_not_depend_on_how_many_come_with_it(kernels):
    window, bands = make(40)
    bank, samples = NativeFilterBank(kernels, window, bands, PREEMPHASIS), noise(400 + 160 * 40)
    whole = bank(samples)
    for first in range(0, 41, 5):
        assert torch.equal(bank(samples[160 * first :]), whole[first:])


@each_level
def test_shapes_that_do_not_fit(kernels):
    bank = NativeFilterBank(kernels, *make(8), PREEMPHASIS)
    for samples in (torch.zeros(399), torch.zeros(2, 400), torch.zeros(400, dtype=torch.float64)):
        with pytest.raises(ShapeError, match="samples"):
            bank(samples)
    assert bank(noise(1000)[::2]).shape == (1, 8)
