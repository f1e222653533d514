"""The decoder as one call against the same operations one by one."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from native_kernels import each_level, noise, relative_error

from ifw.errors import ShapeError
from ifw.model.cores import use_cores
from ifw.model.dims import ModelDims
from ifw.model.eight_bit_kv import EightBitKv
from ifw.model.native_ops import bfloat16_ops, int8_ops
from ifw.model.random_weights import random_whisper

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


def int8_cache(cross_kv):
    """The same keys and values in int8: a view on the middle of a larger cache."""
    n_layers, _, n_groups, *vectors = cross_kv.shape
    whole = EightBitKv.zeros(n_layers, 2, n_groups + 2, *vectors, device=torch.device("cpu"))
    view = whole[:, :, 1:-1]
    view.copy_(cross_kv)
    return view


@each_level
@pytest.mark.parametrize(("n_rows", "n_new", "n_groups"), [(1, 1, 1), (5, 1, 5), (2, 7, 2), (6, 2, 2)])
@pytest.mark.parametrize("n_cross", [1, 16, 70, 300])
def test_keys_and_values_of_int8_are_read_as_what_they_stand_for(kernels, *, n_rows, n_new, n_groups, n_cross):
    fused, _ = models(kernels)
    generator = torch.Generator().manual_seed(3)
    token_ids = torch.randint(0, DIMS.n_vocab, (n_rows, n_new), generator=generator)
    offsets = torch.randint(0, 448 - n_new + 1, (n_rows,), generator=generator)
    _, self_kv, cross_kv = caches(n_rows, n_groups, n_cross)
    kept = int8_cache(cross_kv)
    # powers of two of all sizes: then bfloat16 holds the same numbers
    kept.scales.copy_(2.0 ** torch.randint(-9, -3, kept.scales.shape, generator=generator))
    found = fused.decode(token_ids, offsets, self_kv.clone(), kept, 448)
    expected = fused.decode(token_ids, offsets, self_kv.clone(), kept.to(torch.bfloat16), 448)
    assert relative_error(found, expected) < 0.002


@each_level
@pytest.mark.parametrize("how", ["same", "int8"])
def test_who_asks_for_the_queries_gets_those_of_every_layer(kernels, how):
    fused, apart = models(kernels)
    token_ids, offsets = torch.arange(10).view(2, 5), torch.tensor([0, 100])
    _, self_kv, cross_kv = caches(2, 2)
    cache = cross_kv
    if how == "int8":
        cache = int8_cache(cross_kv)
        cache.scales.fill_(2.0**-6)  # then bfloat16 holds the same numbers
    found, expected = {}, {}
    hidden = fused.decode(token_ids, offsets, self_kv.clone(), cache, 448, on_query=found.__setitem__)
    apart.decode(token_ids, offsets, self_kv.clone(), cache, 448, on_query=expected.__setitem__)
    assert torch.equal(hidden, fused.decode(token_ids, offsets, self_kv.clone(), cache, 448))
    assert list(found) == list(expected) == list(range(DIMS.n_decoder_layers))
    for layer, queries in found.items():
        assert queries.shape == expected[layer].shape == (2, 5, DIMS.n_heads, 64)
        assert relative_error(queries, expected[layer]) < 0.01
    assert torch.equal(found[0], expected[0])


@each_level
@pytest.mark.parametrize("n_threads", [2, 3, 9])
def test_any_number_of_threads_gives_the_same_bits(kernels, n_threads):
    """Also while somebody else has the crew, and more threads than the machine has."""
    fused, _ = models(kernels)
    token_ids, offsets = torch.arange(24)[:, None], torch.arange(24) * 18
    _, self_kv, cross_kv = caches(24, 24, 3000)  # enough for five threads
    kept = int8_cache(cross_kv)

    def outputs(n):
        use_cores(n)
        return [fused.decode(token_ids, offsets, self_kv.clone(), cache, 448) for cache in (cross_kv, kept) * 3]

    with ThreadPoolExecutor(3) as pool:
        alone = pool.submit(outputs, 1).result()
        for future in [pool.submit(outputs, n_threads) for _ in range(3)]:
            assert all(map(torch.equal, future.result(), alone))


@each_level
def test_the_crew_does_not_outlive_a_fork(kernels):
    """Its threads stay in the process that made them: another makes its own."""
    run = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", AFTER_A_FORK, kernels.name]
    assert subprocess.run(run, check=True, capture_output=True, text=True, timeout=120).stdout.split() == ["0", "0"]


AFTER_A_FORK = """
import os, sys, torch
from ifw.kernels.library import load
from ifw.kernels.linear import NativeLinear
torch.set_num_threads(3)
kernels = next(kernels for kernels in load().kernels if kernels.name == sys.argv[1])
linear = NativeLinear(kernels, torch.ones(2048, 2048), None, is_int8=True, dtype=torch.float32)
rows = torch.ones(20, 2048)  # enough for five threads
expected = linear(rows).numpy().tobytes()  # torch's own threads do not survive a fork either
for _ in range(2):
    child = os.fork()
    if not child:
        torch.set_num_threads(3)
        os._exit(not all(linear(rows).numpy().tobytes() == expected for _ in range(20)))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


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
    kept = int8_cache(cross_kv)
    for cache, scales in (
        (kept.values, None),
        (kept.values.float(), kept.scales),
        (kept.values, kept.scales[..., :-1]),
        (kept.values, kept.scales.float()),
        (kept.values, kept.scales.transpose(3, 4).contiguous().transpose(3, 4)),
    ):
        with pytest.raises(ShapeError, match=r"^(cross_cache|cross_scales): got"):
            decode(token_ids, offsets, self_kv, cache, cross_scales=scales)
    room = torch.empty(DIMS.n_decoder_layers, 4, 2, DIMS.n_heads, 64, dtype=torch.bfloat16)
    for queries in (room.float(), room[1:], room.transpose(1, 2).contiguous().transpose(1, 2)):
        with pytest.raises(ShapeError, match=r"^queries: got"):
            decode(token_ids, offsets, self_kv, cross_kv, queries=queries)
    assert torch.equal(self_kv, before)
    assert torch.equal(decode(token_ids, offsets, self_kv, cross_kv), expected)
