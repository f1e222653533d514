"""Triton's decode attention against attention in float32: compiled on CUDA, in Triton's interpreter without."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

pytest.importorskip("triton", reason="triton is not installed")

from ifw.model import triton_attention
from ifw.model.eight_bit_kv import EightBitKv, EightBits
from ifw.model.ops import KeyLimit
from ifw.model.torch_ops import matmul_decode_attention
from ifw.model.triton_attention import BLOCK_KEYS, n_parts_for, triton_decode_attention, triton_eight_bit_attention

TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def slots(device, dtype, shape):
    """A query a row, and keys and values as views on a cache of more slots and positions; what lies beside is NaN."""
    n_rows, n_heads, n_keys, head_dim = shape
    random = torch.Generator().manual_seed(0)
    cache = torch.full((2, n_rows + 3, n_heads, n_keys + 20, head_dim), float("nan"))
    cache[:, 1 : n_rows + 1, :, :n_keys] = torch.randn(2, n_rows, n_heads, n_keys, head_dim, generator=random)
    cache = cache.to(device, dtype)
    qkv = (torch.randn(n_rows, 1, 3, n_heads, head_dim, generator=random) * 3 * head_dim**-0.5).to(device, dtype)
    keys, values = cache[:, 1 : n_rows + 1, :, :n_keys]
    return qkv[:, :, 0], keys, values


def limit_at(positions: torch.Tensor, n_keys: int) -> KeyLimit:
    keys = torch.arange(n_keys, device=positions.device)
    return KeyLimit(positions, (keys <= positions[:, :, None]).unsqueeze(1))


def error(got, query, keys, values, limit) -> float:
    expected = matmul_decode_attention(query.float(), keys.float(), values.float(), limit)
    assert got.shape == expected.shape
    assert got.dtype == query.dtype
    assert torch.isfinite(got).all()
    return float((got.float() - expected).abs().max())


@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize(
    "shape",
    [(1, 2, 1500, 64), (3, 4, 1500, 64), (2, 1, 63, 32), (2, 3, 65, 16), (1, 1, 1, 64), (5, 2, 300, 128)],
)
def test_all_keys(device, dtype, shape):
    query, keys, values = slots(device, dtype, shape)
    got = triton_decode_attention(query, keys, values, None)
    assert error(got, query, keys, values, None) < TOLERANCES[dtype]


@pytest.mark.parametrize("dtype", list(TOLERANCES))
def test_the_keys_up_to_the_position_of_each_row(device, dtype):
    positions = torch.tensor([[0], [1], [BLOCK_KEYS - 1], [BLOCK_KEYS], [200], [447]], device=device)
    query, keys, values = slots(device, dtype, (len(positions), 2, 448, 64))
    for row, (position,) in enumerate(positions.tolist()):
        keys[row, :, position + 1 :] = values[row, :, position + 1 :] = float("nan")  # nobody reads them
    got = triton_decode_attention(query, keys, values, limit_at(positions, 448))
    clean_keys, clean_values = keys.nan_to_num(0.0), values.nan_to_num(0.0)
    assert error(got, query, clean_keys, clean_values, limit_at(positions, 448)) < TOLERANCES[dtype]


@pytest.mark.parametrize("wanted", [1, 3, 8, 100])
def test_every_split_gives_the_same(device, monkeypatch, wanted):
    query, keys, values = slots(device, torch.float32, (2, 2, 500, 32))
    monkeypatch.setattr(triton_attention, "_WANTED_PROGRAMS", wanted)
    got = triton_decode_attention(query, keys, values, None)
    assert error(got, query, keys, values, None) < 1e-5


def test_large_scores_do_not_overflow(device):
    query, keys, values = slots(device, torch.float32, (2, 2, 300, 32))
    got = triton_decode_attention(query * 200, keys, values, None)
    assert error(got, query * 200, keys, values, None) < 1e-4


def test_a_row_does_not_depend_on_its_neighbours(device):
    query, keys, values = slots(device, torch.float32, (4, 2, 1500, 64))
    before = triton_decode_attention(query, keys, values, None)
    keys[1:], values[1:], query[1:] = 5.0, float("nan"), -3.0
    assert torch.equal(triton_decode_attention(query, keys, values, None)[0], before[0])


@pytest.mark.parametrize("n_new", [2, 5])
def test_several_queries_a_row_go_to_torch(device, n_new):
    _, keys, values = slots(device, torch.float32, (2, 2, 100, 32))
    query = torch.randn(2, n_new, 2, 32, generator=torch.Generator().manual_seed(1)).to(device)
    got = triton_decode_attention(query, keys, values, None)
    assert error(got, query, keys, values, None) < 1e-5


def test_a_layout_that_the_kernel_cannot_read_goes_to_torch(device):
    query, keys, values = slots(device, torch.float32, (2, 2, 100, 32))
    keys, values = (rows.transpose(2, 3).contiguous().transpose(2, 3) for rows in (keys, values))
    got = triton_decode_attention(query, keys, values, None)
    assert error(got, query, keys, values, None) < 1e-5


def test_parts_fill_the_device_and_are_never_empty():
    for n_rows in (1, 2, 7, 8, 32, 64, 128):
        n_parts = n_parts_for(n_rows, 20, 1500)
        assert 1 <= n_parts <= -(-1500 // BLOCK_KEYS)
        assert n_parts == 1 or n_parts * n_rows * 20 <= 1056
    assert n_parts_for(1, 20, 1500) > 8
    assert n_parts_for(64, 20, 1500) == 1


@pytest.mark.parametrize("how", get_args(EightBits))
@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("shape", [(1, 2, 1500, 64), (3, 1, 70, 32), (8, 20, 65, 16)])
def test_keys_and_values_in_8_bits(device, dtype, shape, how):
    """The same as attention over what they stand for; what lies beside them is not read."""
    n_rows, n_heads, n_keys, head_dim = shape
    query, keys, values = slots(device, dtype, shape)
    kept = EightBitKv.zeros(2, n_rows + 2, n_heads, n_keys, head_dim, device=device, how=how)
    kept.scales.fill_(float("nan"))
    kept[:, 1:-1].copy_(torch.stack((keys, values)))
    kept_keys, kept_values = kept[:, 1:-1]
    got = triton_eight_bit_attention(query, kept_keys, kept_values)
    assert error(got, query, kept_keys.float(), kept_values.float(), None) < TOLERANCES[dtype]
    if dtype == torch.float32:
        assert error(got, query, keys, values, None) < (0.05 if how == "int8" else 0.2)


def test_every_number_of_float8(device):
    """One key a row, whose weight is 1: what comes out is its value."""
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    every = every[torch.isfinite(every.float())].view(-1, 1, 1, 1, 1).expand(-1, 1, 1, 1, 16)  # [N, 1, 1, 1, Dh]
    for numbers in every.contiguous().to(device).split(64):
        kept = EightBitKv(numbers[:, 0], torch.ones(len(numbers), 1, 1, device=device))
        query = torch.zeros(len(numbers), 1, 1, 16, device=device)
        got = triton_eight_bit_attention(query, kept, kept)
        assert torch.equal(got[:, 0, 0], numbers[:, 0, 0, 0, 0].float())
