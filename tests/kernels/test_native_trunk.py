"""The native trunk of a residual network against torch's convolutions, for any sizes, on every instruction set."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_kernels import KERNELS, each_level, noise, relative_error
from torch.nn import functional as F

from ifw.errors import ShapeError
from ifw.kernels.residual_trunk import Block, Convolution, NativeTrunk

ANY_SIZE = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def convolution(n_in, n_out, stride=1, kernel=3, seed=0):
    weight = noise(n_out, n_in, kernel, kernel, seed=seed) / (n_in * kernel**2) ** 0.5
    return Convolution(weight, 0.3 * noise(n_out, seed=seed + 1), stride)


def make(widths, strides):
    """A first convolution to widths[0] channels, then a block for each stride."""
    first = convolution(1, widths[0])
    blocks = []
    for index, stride in enumerate(strides):
        n_in, n_out = widths[index], widths[index + 1]
        shortcut = convolution(n_in, n_out, stride, 1, seed=7 * index + 5) if stride != 1 else None
        conv1 = convolution(n_in, n_out, stride, seed=7 * index + 1)
        blocks.append(Block(conv1, convolution(n_out, n_out, seed=7 * index + 3), shortcut))
    return first, blocks


def convolved(layer, x):
    padding = layer.weight.shape[2] // 2
    return F.conv2d(x, layer.weight.double(), layer.bias.double(), layer.stride, padding)


def twin(first, blocks, x):
    """The same in float64."""
    x = convolved(first, x.double().unsqueeze(1)).relu()
    for block in blocks:
        inner = convolved(block.conv2, convolved(block.conv1, x).relu())
        x = (inner + (x if block.shortcut is None else convolved(block.shortcut, x))).relu()
    return x


def check_size(kernels, n_images, n_rows, width, strides):
    first, blocks = make([8, 8, 16, 16, 24, 32], strides)
    x = 3 * noise(n_images, n_rows, width, seed=9)
    found = NativeTrunk(kernels, first, blocks, n_rows)(x)
    expected = twin(first, blocks, x)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max() / (expected.abs().max() + 1)) < 1e-5


@each_level
@ANY_SIZE
@given(n_images=st.integers(1, 3), n_rows=st.integers(1, 14), width=st.integers(1, 280), has_halves=st.booleans())
def test_any_size(kernels, n_images, n_rows, width, has_halves):
    check_size(kernels, n_images, n_rows, width, [1, 2, 1, 2, 2] if has_halves else [1])


@each_level
@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_sizes_at_the_edges_of_tiles_and_vectors(kernels, n_rows):
    for width in (1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 63, 64, 65, 66, 67, 127, 128, 129, 130):
        check_size(kernels, 1, n_rows, width, [1])
        check_size(kernels, 1, n_rows, width, [2])


def test_every_instruction_set_gives_the_same_bits():
    first, blocks = make([8, 8, 16, 32], [1, 2, 2])
    x = 3 * noise(2, 11, 151, seed=9)
    found = [NativeTrunk(kernels, first, blocks, 11)(x) for kernels in KERNELS]
    assert all(torch.equal(other, found[0]) for other in found)


@each_level
def test_rounding_stays_small_over_many_layers(kernels):
    first, blocks = make([32, 32, 32, 32, 64, 64, 64, 64], [1, 1, 1, 2, 1, 1, 1])
    x = 3 * noise(1, 16, 120, seed=9)
    assert relative_error(NativeTrunk(kernels, first, blocks, 16)(x), twin(first, blocks, x)) < 1e-6


@each_level
def test_many_channels_in_several_rounds(kernels):
    first, blocks = make([128, 128, 128], [1, 1])
    x = noise(1, 8, 300, seed=9)
    assert relative_error(NativeTrunk(kernels, first, blocks, 8)(x), twin(first, blocks, x)) < 1e-5


@each_level
def test_images_do_not_see_each_other_or_what_was_there_before(kernels):
    first, blocks = make([8, 8, 16], [1, 2])
    trunk = NativeTrunk(kernels, first, blocks, 9)
    x = noise(3, 9, 77, seed=9)
    together = trunk(x)
    trunk(1e6 * noise(2, 9, 300, seed=8))
    for index in range(3):
        assert torch.equal(trunk(x[index, None]), together[index, None])


@each_level
def test_other_images_are_refused(kernels):
    first, blocks = make([8, 8], [1])
    trunk = NativeTrunk(kernels, first, blocks, 9)
    for wrong in (noise(9, 77), noise(1, 8, 77), noise(1, 9, 77).double()):
        with pytest.raises(ShapeError, match="columns"):
            trunk(wrong)
    assert trunk(noise(0, 9, 77)).shape == (0, 8, 9, 77)
