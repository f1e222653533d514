"""Keys and values rounded by the native library against the same by torch, bit for bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_kernels import KERNELS, each_level, noise

from ifw.errors import ShapeError
from ifw.kernels.keep_int8 import keep_int8
from ifw.model.eight_bit_kv import EightBitKv

CPU = torch.device("cpu")


def vectors(seed, n_tokens, n_heads, dtype=torch.float32, magnitude=0.0):
    """[2, H, S, 64], as a part of longer rows of a linear layer; sizes of all kinds, some of zeros."""
    rows = noise(n_tokens, 3, 2, n_heads, 64, seed=seed) * 10**magnitude
    rows *= noise(n_tokens, 3, 2, n_heads, 1, seed=seed + 1).mul_(2).exp_()
    rows *= noise(n_tokens, 3, 2, n_heads, 1, seed=seed + 2) > -1
    return rows.to(dtype).permute(1, 2, 3, 0, 4)[1]


def kept(numbers):
    """A place for them in the middle of a larger cache, and the whole cache."""
    whole = EightBitKv.zeros(2, 4, *numbers.shape[1:], device=CPU)
    whole.values.fill_(77)
    return whole[:, 2], whole


def assert_same_bits(found, expected):
    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.scales.view(torch.int16), expected.scales.view(torch.int16))


@each_level
@given(
    seed=st.integers(0, 10_000),
    n_tokens=st.integers(0, 70),
    n_heads=st.integers(1, 5),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    magnitude=st.floats(-9, 6),
)
@settings(max_examples=60, deadline=None)
def test_the_bits_are_those_of_torch(kernels, *, seed, n_tokens, n_heads, dtype, magnitude):
    numbers = vectors(seed, n_tokens, n_heads, dtype, magnitude)
    (found, whole), (expected, other) = kept(numbers), kept(numbers)
    keep_int8(kernels, numbers, found.values, found.scales)
    expected.copy_(numbers)
    assert_same_bits(whole, other)  # and nothing around them


@each_level
@pytest.mark.parametrize("n_threads", [1, 3])
def test_of_many_tokens_on_several_threads(kernels, n_threads):
    numbers = vectors(0, 1500, 2, torch.bfloat16)
    (found, whole), (expected, other) = kept(numbers), kept(numbers)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        keep_int8(kernels, numbers, found.values, found.scales)
    finally:
        torch.set_num_threads(before)
    expected.copy_(numbers)
    assert_same_bits(whole, other)


@each_level
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_so(kernels, bad):
    numbers = vectors(0, 9, 2)
    numbers[1, 0, 4, 63] = bad
    found, _ = kept(numbers)
    keep_int8(kernels, numbers, found.values, found.scales)
    assert (~found.float().isfinite()).nonzero()[:, :3].unique(dim=0).tolist() == [[1, 0, 4]]


@pytest.mark.skipif(not KERNELS, reason="no kernels")
def test_what_does_not_fit_is_refused():
    numbers = vectors(0, 9, 2)
    good, whole = kept(numbers)
    for x, values, scales in (
        (numbers.double(), good.values, good.scales),
        (numbers[0], good.values, good.scales),
        (numbers[..., :63], good.values, good.scales),
        (numbers.contiguous(), good.values, good.scales),
        (numbers, good.values[:, :, :8], good.scales),
        (numbers, good.values, good.scales[..., :8]),
        (numbers, good.values.float(), good.scales),
        (numbers, good.values, good.scales.float()),
        (numbers, good.values.contiguous(), good.scales),
    ):
        with pytest.raises(ShapeError, match=r"^(vectors|numbers, scales): got"):
            keep_int8(KERNELS[0], x, values, scales)
    assert (whole.values == 77).all()
