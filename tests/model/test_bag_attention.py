"""Attention by embedding bags against the plainest one, on every layout of a cache."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hf_reference import CPU, relative_error

from ifw.model import bag_attention, ops_choice, torch_ops
from ifw.model.bag_attention import bag_decode_attention
from ifw.model.dims import ModelDims
from ifw.model.ops import KeyLimit
from ifw.model.random_weights import random_whisper
from ifw.model.split_kv import SplitKv

DTYPES = [torch.float32, torch.bfloat16]
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}
N_ROWS, N_HEADS, N_KEYS, HEAD_DIM = 4, 3, 40, 32

needs_bags = pytest.mark.skipif(
    not (bag_attention.has_bags() and torch_ops.can_pack(torch.float32)), reason="torch has no fast embedding bags here"
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def queries(n_rows: int, n_new: int, dtype: torch.dtype) -> torch.Tensor:
    return (noise(n_rows, n_new, N_HEADS, HEAD_DIM, seed=9) * HEAD_DIM**-0.5).to(dtype)


def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, limit: KeyLimit | None) -> torch.Tensor:
    scores = query.double().transpose(1, 2) @ keys.double().transpose(-1, -2)
    if limit is not None:
        scores = scores.masked_fill(~limit.visible, float("-inf"))
    return (torch.softmax(scores, -1) @ values.double()).transpose(1, 2).flatten(2)


def caches(dtype: torch.dtype) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values [2, H, 30, Dh], in the layouts that there are and in one that there is not."""
    numbers = noise(1, 2, N_ROWS, N_HEADS, N_KEYS, HEAD_DIM).to(dtype)
    split = SplitKv.zeros(1, 2, N_ROWS, N_HEADS, 30, HEAD_DIM, device=CPU, dtype=dtype)
    split.copy_(numbers[..., :30, :])
    keys, values = next(iter(split[:, :, 1:3]))
    first, second = numbers[0, :, 1:3, :, :30]
    return {
        "split, whole": (keys, values),
        "one tensor, the first keys": (first, second),
        "heads inside": tuple(x.transpose(1, 2).contiguous().transpose(1, 2) for x in (first, second)),
        "all transposed": tuple(x.transpose(2, 3).contiguous().transpose(2, 3) for x in (first, second)),
        "heads between rows": tuple(
            x.flatten(2).repeat(1, 1, 2)[..., :965].contiguous()[..., :960].unflatten(2, (30, 32))
            for x in (first, second)
        ),
        "rows apart": (numbers[0, 0, ::2, :, :30], numbers[0, 1, ::2, :, :30]),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", list(caches(torch.float32)))
@pytest.mark.parametrize(("n_new", "is_limited"), [(1, False), (1, True), (5, False), (5, True)])
def test_every_layout(layout: str, n_new: int, is_limited: bool, dtype: torch.dtype) -> None:
    keys, values = caches(dtype)[layout]
    before = keys.clone(), values.clone()
    query = queries(2, n_new, dtype)
    positions = torch.tensor([[3], [24]]) + torch.arange(n_new)
    limit = KeyLimit(positions, (torch.arange(30) <= positions[..., None]).unsqueeze(1)) if is_limited else None
    found = bag_decode_attention(query, keys, values, limit)
    assert found.dtype == dtype
    assert found.shape == (2, n_new, N_HEADS * HEAD_DIM)
    assert relative_error(found, attend(query, keys, values, limit)) < TOLERANCE[dtype]
    assert torch.equal(keys, before[0])
    assert torch.equal(values, before[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_a_step_know_nothing_of_each_other(dtype: torch.dtype) -> None:
    split = SplitKv.zeros(1, 2, N_ROWS, N_HEADS, 150, HEAD_DIM, device=CPU, dtype=dtype)
    split.copy_(noise(*split.shape).to(dtype))
    query = queries(N_ROWS, 1, dtype)
    together = bag_decode_attention(query, *next(iter(split)), None)
    for begin in range(N_ROWS):
        for end in range(begin + 1, N_ROWS + 1):
            part = bag_decode_attention(query[begin:end], *next(iter(split[:, :, begin:end])), None)
            assert torch.equal(part, together[begin:end])


@needs_bags
def test_a_step_multiplies_no_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is slow must not come back unnoticed: the keys and values of a cache go to the bags."""

    def refuse(*_: object) -> None:
        raise AssertionError("a product of matrices")

    split = SplitKv.zeros(1, 2, 2, N_HEADS, 30, HEAD_DIM, device=CPU, dtype=torch.float32)
    monkeypatch.setattr(torch, "matmul", refuse)
    bag_decode_attention(queries(2, 1, torch.float32), *next(iter(split)), None)
    with pytest.raises(AssertionError, match="matrices"):
        bag_decode_attention(queries(2, 2, torch.float32), *next(iter(split)), None)


@pytest.mark.skipif(not torch_ops.can_pack(torch.float32), reason="torch has no packed linear layers here")
@pytest.mark.parametrize("has_bags", [False, True])
def test_choice(has_bags: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bag_attention, "has_bags", lambda: has_bags)
    chosen = ops_choice.choose_ops(CPU, torch.float32)
    assert chosen.splits_cross_kv == has_bags
    assert chosen.key_block == (64 if has_bags else 1)
    assert chosen.decode_attention is (bag_decode_attention if has_bags else torch_ops.matmul_decode_attention)


@needs_bags
def test_blocks_of_keys_end_with_the_cache() -> None:
    """A cache whose positions are no multiple of a block, read up to its end, and in rows at different positions."""
    sizes = ModelDims(80, 200, 64, 1, 1, 1, 128, 128)
    model = random_whisper(sizes, 0)
    assert model.ops.key_block == bag_attention.KEY_BLOCK
    cross = noise(1, 2, 2, 1, 1500, 64)
    tokens, offsets = torch.tensor([[5], [6]]), torch.tensor([69, 3])
    caches = [noise(1, 2, 2, 1, 70, 64, seed=4), noise(1, 2, 2, 1, 70, 64, seed=4)]
    found = model.decode(tokens, offsets, caches[0], cross, n_keys=70)
    plain = random_whisper(
        sizes, 0, ops=replace(model.ops, decode_attention=torch_ops.matmul_decode_attention, key_block=1)
    )
    expected = plain.decode(tokens, offsets, caches[1], cross, n_keys=70)
    assert relative_error(found, expected) < 1e-5
