"""Keys and values in 8 bits: how far they are from what they stand for, and that they behave as a tensor does."""

from __future__ import annotations

from typing import get_args

import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw.engine.cache import DecoderCache, slot_bytes
from ifw.model.eight_bit_kv import EightBitKv, EightBits

CPU = torch.device("cpu")


each_way = pytest.mark.parametrize("how", get_args(EightBits))


def kept(numbers: torch.Tensor, how: EightBits = "int8") -> EightBitKv:
    rows = EightBitKv.zeros(*numbers.shape, device=CPU, how=how)
    rows.copy_(numbers)
    return rows


@given(st.integers(0, 10_000), st.integers(1, 9), st.sampled_from([1, 7, 64]), st.floats(-4, 4))
@settings(max_examples=60, deadline=None)
def test_no_number_is_off_by_more_than_half_a_step(seed, n_rows, width, magnitude):
    numbers = torch.randn(n_rows, 3, width, generator=torch.Generator().manual_seed(seed)) * 10**magnitude
    steps = kept(numbers).scales.float()
    assert ((kept(numbers).float() - numbers).abs() <= 0.501 * steps[..., None] + 1e-12).all()
    assert (steps <= numbers.abs().amax(-1) / 127 * 1.002 + 2**-24).all()


@given(st.integers(0, 10_000), st.integers(1, 9), st.sampled_from([1, 7, 64]), st.floats(-4, 4))
@settings(max_examples=60, deadline=None)
def test_no_number_of_float8_is_off_by_more_than_a_sixteenth(seed, n_heads, width, magnitude):
    numbers = torch.randn(n_heads, 3, width, generator=torch.Generator().manual_seed(seed)) * 10**magnitude
    numbers[0] *= 1000  # a scale for each head
    rows = kept(numbers, "float8")
    assert rows.scales.shape == (n_heads, 1)
    assert ((rows.float() - numbers).abs() <= numbers.abs() * 2**-4 + rows.scales[..., None] * 2**-10).all()
    assert torch.allclose(rows.scales[:, 0] * 448, numbers.abs().amax((1, 2)), rtol=1e-6)


def test_zeros_stay_zeros_and_small_vectors_beside_large_ones_keep_their_precision():
    numbers = torch.tensor([[0.0, 0.0], [1e-3, -5e-4], [2e4, 1e4]])
    got = kept(numbers).float()
    assert got[0].tolist() == [0, 0]
    assert torch.allclose(got, numbers, rtol=0.01)


@each_way
def test_zeros_are_zeros(how):
    assert kept(torch.zeros(2, 3, 4), how).float().tolist() == torch.zeros(2, 3, 4).tolist()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_head_whose_numbers_are_not_finite_stays_so(bad):
    numbers = torch.ones(2, 3, 4)
    numbers[1, 2, 0] = bad
    got = kept(numbers, "float8").float()
    assert torch.isfinite(got[0]).all()
    assert not torch.isfinite(got[1]).any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_stay_so(bad):
    numbers = torch.ones(2, 4)
    numbers[1, 2] = bad
    got = kept(numbers).float()
    assert torch.isfinite(got[0]).all()
    assert not torch.isfinite(got[1]).all()


@each_way
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_views_are_views_and_what_is_written_through_them_is_there(dtype, how):
    rows = EightBitKv.zeros(6, 2, 5, 3, 4, 8, device=CPU, how=how)
    numbers = torch.randn(6, 2, 3, 4, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    for part, wanted in zip(rows.chunk(2), numbers.chunk(2), strict=True):
        part[:, :, 1:4][:, :, 1].copy_(wanted)
    assert torch.allclose(rows[:, :, 2].float(), numbers.float(), atol=0.03 if how == "int8" else 0.2)
    assert rows[:, :, [0, 1, 3, 4]].float().abs().sum() == 0
    for layer, of_layer in enumerate(rows):
        assert torch.equal(of_layer[0, 2].to(dtype), rows[layer, 0, 2].to(dtype))
        assert of_layer.shape == (2, 5, 3, 4, 8)
    first = rows[0, 0, 2, 1, :2]
    assert torch.equal(first.float(), rows.float()[0, 0, 2, 1, :2])


@each_way
def test_a_slot_takes_half_the_room(how):
    sizes = tiny_models.dims(n_mels=128, layers=(1, 32), d_model=1280, n_heads=20)
    full, small = (slot_bytes(sizes, torch.float16, kept_as) for kept_as in ("same", how))
    text = 32 * 2 * 448 * 1280 * 2
    assert (small - text) / (full - text) == pytest.approx(0.5, abs=0.02)
    sizes = tiny_models.dims()
    cache = DecoderCache.allocate(sizes, 3, CPU, torch.float32, how)
    n_bytes = cache.self_kv.nbytes + cache.cross_kv.values.nbytes + cache.cross_kv.scales.nbytes
    assert n_bytes == 3 * slot_bytes(sizes, torch.float32, how)
