"""The decoder as one call against the same operations one by one."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from native_kernels import each_level, noise, relative_error

from ifw.errors import ShapeError
from ifw.model.dims import ModelDims
from ifw.model.native_ops import bfloat16_ops, int8_ops
from ifw.model.random import random_whisper

DIMS = ModelDims(
    n_mels=80,
    n_vocab=300,
    d_model=128,
    n_heads=2,
    n_encoder_layers=1,
    n_decoder_layers=3,
    encoder_ffn=256,
    decoder_ffn=320,
)


def models(kernels, make_ops=int8_ops):
    fused = random_whisper(DIMS, 0, dtype=torch.bfloat16, ops=make_ops(kernels))
    assert fused.fused_decode is not None
    return fused, dataclasses.replace(fused, fused_decode=None)


def caches(n_rows, n_groups, n_cross=70):
    """Views on the middle of larger caches: what lies around them must stay."""
    whole_self = noise(DIMS.n_decoder_layers, 2, n_rows + 2, DIMS.n_heads, 448, 64, seed=1).to(torch.bfloat16)
    whole_cross = noise(DIMS.n_decoder_layers, 2, n_groups + 2, DIMS.n_heads, n_cross, 64, seed=2).to(torch.bfloat16)
    return whole_self, whole_self[:, :, 1:-1], whole_cross[:, :, 1:-1]


@each_level
@pytest.mark.parametrize("make_ops", [int8_ops, bfloat16_ops])
@pytest.mark.parametrize(
    ("n_rows", "n_new", "n_groups", "n_threads"),
    [(1, 1, 1, 1), (3, 1, 3, 2), (16, 1, 16, 3), (2, 7, 2, 2), (6, 2, 2, 1)],
)
def test_one_call_is_what_its_parts_are(kernels, make_ops, *, n_rows, n_new, n_groups, n_threads):
    fused, apart = models(kernels, make_ops)
    generator = torch.Generator().manual_seed(3)
    token_ids = torch.randint(0, DIMS.n_vocab, (n_rows, n_new), generator=generator)
    offsets = torch.randint(0, 448 - n_new + 1, (n_rows,), generator=generator)
    offsets[0] = 448 - n_new
    whole, self_kv, cross_kv = caches(n_rows, n_groups)
    other, other_kv, _ = caches(n_rows, n_groups)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        found = fused.decode(token_ids, offsets, self_kv, cross_kv, 448)
        expected = apart.decode(token_ids, offsets, other_kv, cross_kv, 448)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(whole, other)  # keys and values of the new tokens, and nothing else
    assert found.shape == expected.shape == (n_rows, n_new, DIMS.d_model)
    assert relative_error(found, expected) < 0.002  # the last norm is torch's


@each_level
def test_rows_do_not_depend_on_their_neighbours(kernels):
    fused, _ = models(kernels)
    token_ids, offsets = torch.arange(20).view(5, 4), torch.tensor([0, 9, 100, 30, 444])
    _, self_kv, cross_kv = caches(5, 5)
    together = fused.decode(token_ids, offsets, self_kv.clone(), cross_kv, 448)
    for row in range(5):
        one = slice(row, row + 1)
        alone = fused.decode(token_ids[one], offsets[one], self_kv[:, :, one].clone(), cross_kv[:, :, one], 448)
        assert torch.equal(alone, together[one])
        by_token = self_kv[:, :, one].clone()
        steps = [
            fused.decode(token_ids[one, i : i + 1], offsets[one] + i, by_token, cross_kv[:, :, one], 448)
            for i in range(4)
        ]
        assert torch.equal(torch.cat(steps, 1), together[one])


@each_level
def test_without_rows_nothing_happens(kernels):
    fused, _ = models(kernels)
    _, self_kv, cross_kv = caches(0, 1)
    empty = torch.zeros(0, 1, dtype=torch.int64)
    assert fused.fused_decode(empty, empty[:, 0], self_kv, cross_kv).shape == (0, 1, DIMS.d_model)


@each_level
def test_what_does_not_fit_is_refused(kernels):
    decode = models(kernels)[0].fused_decode
    _, self_kv, cross_kv = caches(4, 2)
    token_ids, offsets = torch.arange(8).view(4, 2), torch.tensor([0, 1, 2, 446])
    expected = decode(token_ids, offsets, self_kv, cross_kv)
    before = self_kv.clone()
    wrong = [
        (token_ids.int(), offsets, self_kv, cross_kv),
        (token_ids[0], offsets, self_kv, cross_kv),
        (token_ids, offsets[:3], self_kv, cross_kv),
        (token_ids, offsets, self_kv[:, :, :3], cross_kv),
        (token_ids, offsets, self_kv[..., :447, :], cross_kv),
        (token_ids, offsets, self_kv.float(), cross_kv),
        (token_ids, offsets, self_kv.transpose(4, 5).contiguous().transpose(4, 5), cross_kv),
        (token_ids, offsets, self_kv, cross_kv[:, :, :0]),
        (token_ids, offsets, self_kv, cross_kv[..., :0, :]),
        (token_ids, offsets, self_kv, cross_kv[0]),
        (token_ids, offsets, self_kv, caches(4, 3)[2]),
        (token_ids, offsets + 1, self_kv, cross_kv),
        (token_ids, offsets - 1, self_kv, cross_kv),
        (token_ids - 1, offsets, self_kv, cross_kv),
        (token_ids + DIMS.n_vocab - 7, offsets, self_kv, cross_kv),
    ]
    for arguments in wrong:
        with pytest.raises(ShapeError, match=r"^(token_ids, offsets|self_cache|cross_cache): got"):
            decode(*arguments)
    assert torch.equal(self_kv, before)
    assert torch.equal(decode(token_ids, offsets, self_kv, cross_kv), expected)
