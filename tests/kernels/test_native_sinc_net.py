"""The native front of a segmentation network against its definition, for any sizes, on every instruction set."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_kernels import each_level, noise
from torch.nn import functional as F

from ifw.errors import ShapeError
from ifw.kernels.sinc_net import NativeSincNet, SincWeights, can_fold

ANY_SIZE = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EPSILON = 1e-5


def make(stride=10):
    half = noise(80, 125, seed=1) / 125**0.5
    even = torch.cat([half[:40], noise(40, 1, seed=2), half[:40].flip(1)], 1)
    odd = torch.cat([half[40:], torch.zeros(40, 1), -half[40:].flip(1)], 1)
    shapes = ((60, 80), (60, 60))
    convolutions = [(noise(*shape, 5, seed=3) / (5 * shape[1]) ** 0.5, 0.3 * noise(60, seed=4)) for shape in shapes]
    norms = [(1 + 0.2 * noise(width, seed=5), 0.2 * noise(width, seed=6)) for width in (1, 80, 60, 60)]
    return SincWeights(stride, torch.cat([even, odd]), convolutions, norms, EPSILON)


def normalised(x, norm):
    return F.instance_norm(x, weight=norm[0].double(), bias=norm[1].double(), eps=EPSILON)


def twin(weights, chunks):
    """The same in float64, of chunks [B, n]: every one from its own samples."""
    x = F.conv1d(
        normalised(chunks.double().unsqueeze(1), weights.norms[0]),
        weights.filters.double()[:, None],
        None,
        weights.stride,
    ).abs()
    for index, norm in enumerate(weights.norms[1:]):
        if index:
            weight, bias = weights.convolutions[index - 1]
            x = F.conv1d(x, weight.double(), bias.double())
        x = F.leaky_relu(normalised(F.max_pool1d(x, 3), norm))
    return x.transpose(1, 2)


@each_level
@ANY_SIZE
@given(
    n_chunks=st.integers(1, 4),
    chunk_samples=st.integers(1500, 6000),
    step=st.integers(1, 900),
    stride=st.sampled_from([5, 10, 20]),
    offset=st.sampled_from([0.0, 0.3]),
)
def test_any_size(kernels, *, n_chunks, chunk_samples, step, stride, offset):
    weights, chunk_samples = make(stride), chunk_samples * stride // 5
    samples = 0.1 * noise(chunk_samples + (n_chunks - 1) * step, seed=7) + offset
    found = NativeSincNet(kernels, weights)(samples, chunk_samples, step)
    expected = twin(weights, samples.unfold(0, chunk_samples, step))
    assert found.shape == expected.shape
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-4)


@each_level
def test_real_sizes_are_as_exact_as_those_of_torch(kernels):
    weights = make(10)
    samples = 0.1 * noise(160_000 + 16_000, seed=7)
    found = NativeSincNet(kernels, weights)(samples, 160_000, 16_000)
    assert found.shape == (2, 589, 60)
    torch.testing.assert_close(found.double(), twin(weights, samples.unfold(0, 160_000, 16_000)), rtol=0, atol=2e-5)


@each_level
def test_a_chunk_does_not_depend_on_those_beside_it(kernels):
    front = NativeSincNet(kernels, make(10))
    samples = 0.1 * noise(8000 + 3 * 700, seed=7)
    together = front(samples, 8000, 700)
    front(noise(90_000, seed=8), 30_000, 700)
    for index in range(4):
        alone = front(samples[index * 700 :][:8000], 8000, 700)
        torch.testing.assert_close(together[index, None], alone, rtol=0, atol=1e-5)


@each_level
def test_silence(kernels):
    found = NativeSincNet(kernels, make(10))(torch.zeros(8000), 8000, 800)
    assert torch.isfinite(found).all()


@each_level
def test_other_samples_are_refused(kernels):
    front = NativeSincNet(kernels, make(10))
    for wrong in (noise(1, 8000), noise(8000).double(), noise(7999)):
        with pytest.raises(ShapeError, match="samples"):
            front(wrong, 8000, 800)
    with pytest.raises(ShapeError, match="feature"):
        front(noise(900), 800, 100)


def test_filters_without_symmetry_are_not_folded():
    filters = make().filters
    assert can_fold(filters)
    assert not can_fold(filters.flip(0))
    assert not can_fold(filters[:, 1:])
    assert not can_fold(filters + 1e-6)
