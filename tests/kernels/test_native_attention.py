"""The native attention against the plain formula in float64, on every instruction set."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_kernels import each_level, noise, relative_error

from ifw.errors import ShapeError
from ifw.kernels.attention import decode_attention, encoder_attention

FLOATS = [torch.float32, torch.bfloat16]
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 8e-3}
ANY_SIZE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEAD_DIM = 64


def qkv_noise(*shape, dtype, scale=1.0):
    qkv = noise(*shape, HEAD_DIM)
    qkv[:, :, 0] *= scale * HEAD_DIM**-0.5
    return qkv.to(dtype)


def encoder_twin(qkv):
    query, key, value = qkv.double().permute(2, 0, 3, 1, 4)
    return (torch.softmax(query @ key.transpose(-1, -2), -1) @ value).transpose(1, 2).flatten(2)


def decode_twin(query, keys, values, positions=None):
    scores = query.double().transpose(1, 2) @ keys.double().transpose(-1, -2)
    if positions is not None:
        visible = (torch.arange(keys.shape[2]) <= positions[..., None]).unsqueeze(1)
        scores = scores.masked_fill(~visible, float("-inf"))
    return (torch.softmax(scores, -1) @ values.double()).transpose(1, 2).flatten(2)


@each_level
@pytest.mark.parametrize("dtype", FLOATS)
@ANY_SIZE
@given(
    n_windows=st.integers(1, 2),
    n_positions=st.integers(1, 150),
    n_heads=st.integers(1, 3),
    scale=st.sampled_from([0.0, 1.0, 20.0]),
    n_threads=st.integers(1, 3),
)
def test_encoder_attention(kernels, dtype, *, n_windows, n_positions, n_heads, scale, n_threads):
    qkv = qkv_noise(n_windows, n_positions, 3, n_heads, dtype=dtype, scale=scale)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        found = encoder_attention(kernels, qkv)
    finally:
        torch.set_num_threads(before)
    assert (found.dtype, found.shape) == (dtype, (n_windows, n_positions, n_heads * HEAD_DIM))
    assert relative_error(found, encoder_twin(qkv)) < TOLERANCE[dtype] * (1 + scale)


@each_level
@pytest.mark.parametrize("dtype", FLOATS)
def test_encoder_attention_of_a_whole_window(kernels, dtype):
    qkv = qkv_noise(1, 1500, 3, 2, dtype=dtype)
    assert relative_error(encoder_attention(kernels, qkv), encoder_twin(qkv)) < TOLERANCE[dtype]


@each_level
@pytest.mark.parametrize("dtype", FLOATS)
def test_windows_and_threads_change_no_bit(kernels, dtype):
    qkv = qkv_noise(3, 130, 3, 2, dtype=dtype)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([encoder_attention(kernels, window[None]) for window in qkv])
        torch.set_num_threads(3)
        assert torch.equal(encoder_attention(kernels, qkv), alone)
        assert torch.equal(encoder_attention(kernels, qkv[:1]), alone[:1])
    finally:
        torch.set_num_threads(before)


@each_level
@pytest.mark.parametrize("dtype", FLOATS)
@ANY_SIZE
@given(
    n_groups=st.integers(1, 3),
    n_queries=st.integers(1, 40),
    n_heads=st.integers(1, 3),
    n_keys=st.integers(1, 150),
    is_limited=st.booleans(),
    scale=st.sampled_from([0.0, 1.0, 30.0]),
    seed=st.integers(0, 9),
)
def test_decode_attention(kernels, dtype, *, n_groups, n_queries, n_heads, n_keys, is_limited, scale, seed):
    """On a range of slots and keys of a larger cache, queries part of a wider tensor, each at its own position."""
    cache = noise(2, n_groups + 2, n_heads, n_keys + 5, HEAD_DIM, seed=seed).to(dtype)
    keys, values = cache[:, 1:-1, :, :n_keys]
    qkv = noise(n_groups, n_queries, 3, n_heads, HEAD_DIM, seed=seed + 1) * scale * HEAD_DIM**-0.5
    query = qkv.to(dtype)[:, :, 0]
    generator = torch.Generator().manual_seed(seed)
    positions = torch.randint(0, n_keys, (n_groups, n_queries), generator=generator) if is_limited else None
    found = decode_attention(kernels, query, keys, values, positions)
    assert (found.dtype, found.shape) == (dtype, (n_groups, n_queries, n_heads * HEAD_DIM))
    expected = decode_twin(query, keys, values, positions)
    assert relative_error(found, expected) < TOLERANCE[dtype] * (1 + scale / 10)


@each_level
def test_keys_that_are_not_visible_are_not_read(kernels):
    cache, query = noise(2, 2, 1, 40, HEAD_DIM), noise(2, 1, 1, HEAD_DIM, seed=1)
    positions = torch.tensor([[3], [24]])
    expected = decode_attention(kernels, query, *cache, positions)
    cache[:, 0, :, 4:] = float("nan")
    cache[:, 1, :, 25:] = float("nan")
    assert torch.equal(decode_attention(kernels, query, *cache, positions), expected)


@each_level
@pytest.mark.parametrize("dtype", FLOATS)
def test_rows_and_queries_do_not_depend_on_their_neighbours(kernels, dtype):
    cache = noise(2, 3, 2, 77, HEAD_DIM).to(dtype)
    query = noise(3, 20, 2, HEAD_DIM, seed=1).to(dtype)
    positions = torch.randint(0, 77, (3, 20), generator=torch.Generator().manual_seed(1))
    together = decode_attention(kernels, query, *cache, positions)
    for row in range(3):
        for index in (0, 15, 16, 19):
            one, where = query[row, index][None, None], positions[row, index][None, None]
            alone = decode_attention(kernels, one, *cache[:, row : row + 1], where)
            assert torch.equal(alone[0, 0], together[row, index])


@each_level
@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_not_finite_stays_so_and_in_its_row(kernels, dtype):
    qkv = qkv_noise(2, 70, 3, 1, dtype=dtype)
    expected = encoder_attention(kernels, qkv)
    qkv[1, 5, 1, 0, 3] = float("nan")  # a key, which all queries of its window see
    found = encoder_attention(kernels, qkv)
    assert torch.equal(found[0], expected[0])
    assert not found[1].isfinite().any()

    cache, query = noise(2, 2, 1, 40, HEAD_DIM).to(dtype), noise(2, 1, 1, HEAD_DIM, seed=1).to(dtype)
    expected = decode_attention(kernels, query, *cache, None)
    cache[0, 1, 0, 39, 5] = float("nan")
    found = decode_attention(kernels, query, *cache, None)
    assert torch.equal(found[0], expected[0])
    assert not found[1].isfinite().any()


@each_level
def test_what_does_not_fit_is_refused(kernels):
    for qkv in (noise(2, 5, 2, 3, 64), noise(2, 5, 3, 3, 32), noise(5, 3, 3, 64), noise(1, 5, 3, 3, 64).double()):
        with pytest.raises(ShapeError, match="qkv: got"):
            encoder_attention(kernels, qkv)
    keys, query, positions = noise(2, 3, 9, 64), noise(2, 4, 3, 64), torch.zeros(2, 4, dtype=torch.int64)
    assert decode_attention(kernels, query, keys, keys, positions).shape == (2, 4, 192)
    wrong = [
        (query[..., :32], keys, keys, positions),
        (query, keys[:1], keys[:1], positions),
        (query, keys[:, :, :0], keys[:, :, :0], positions),
        (query, keys.bfloat16(), keys.bfloat16(), positions),
        (query, keys.transpose(2, 3).contiguous().transpose(2, 3), keys, positions),
        (query, keys, keys[:, :, :8], positions),
        (query, keys, keys, positions[:1]),
        (query, keys, keys, positions.int()),
        (query, keys, keys, positions + 9),
        (query, keys, keys, positions - 1),
    ]
    for arguments in wrong:
        with pytest.raises(ShapeError, match=r"(query|keys|values|positions): got"):
            decode_attention(kernels, *arguments)
