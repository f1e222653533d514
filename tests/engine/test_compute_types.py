"""Whole models in each compute type: how far they are from float32, and that windows do not depend on each other."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tiny_models
import torch
from native_kernels import KERNELS, each_level, relative_error

from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.cache import DecoderCache
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest, EncodedWindow
from ifw.engine.rules import RuleTokens
from ifw.engine.runner import ModelRunner, RunnerTokens
from ifw.errors import EngineError
from ifw.kernels.library import load
from ifw.model.compute_type import DTYPES, ops_for
from ifw.model.native_ops import bfloat16_ops, int8_ops
from ifw.model.ops_choice import choose_ops
from ifw.model.random_weights import random_whisper
from ifw.model.split_kv import SplitKv
from ifw.model.torch_ops import can_pack

CPU = torch.device("cpu")
SIZES = tiny_models.dims(layers=(2, 2), d_model=128, n_heads=2)
OTHER_HEADS = tiny_models.dims(layers=(2, 2), d_model=64, n_heads=2)
TIMEOUT_S = 120

needs_kernels = pytest.mark.skipif(not KERNELS, reason=load().reason)


def passes(model):
    """Encoder outputs of two windows, and the logits of a few tokens in two rows at different positions."""
    mel = torch.randn(2, SIZES.n_mels, 3000, generator=torch.Generator().manual_seed(3))
    cache = DecoderCache.allocate(model.dims, 2, CPU, model.dtype)
    audio = model.encode(mel)
    model.cross_kv(audio, cache.cross_kv)
    tokens = torch.tensor([[5, 6, 7], [8, 9, 10]])
    model.decode(tokens, torch.zeros(2, dtype=torch.int64), cache.self_kv, cache.cross_kv, n_keys=3)
    hidden = model.decode(tokens[:, :1], torch.tensor([3, 2]), cache.self_kv, cache.cross_kv, n_keys=4)
    return audio, model.logits(hidden[:, 0])


@each_level
@pytest.mark.parametrize("sizes", [SIZES, OTHER_HEADS])
def test_int8_and_bfloat16_are_near_float32(kernels, sizes):
    exact = passes(random_whisper(sizes, 0))
    wanted = {int8_ops: 0.05, bfloat16_ops: 0.015} if kernels.has_bfloat16 else {int8_ops: 0.05}
    for make_ops, allowed in wanted.items():
        audio, logits = passes(random_whisper(sizes, 0, dtype=torch.bfloat16, ops=make_ops(kernels)))
        assert audio.dtype == torch.bfloat16
        assert logits.dtype == torch.float32
        assert relative_error(audio, exact[0]) < allowed
        assert relative_error(logits, exact[1]) < allowed


@needs_kernels
@pytest.mark.parametrize("sizes", [SIZES, OTHER_HEADS])
def test_float32_with_kernels_is_float32(sizes):
    exact = passes(random_whisper(sizes, 0))
    found = passes(random_whisper(sizes, 0, ops=ops_for(CPU, "float32")))
    for one, other in zip(found, exact, strict=True):
        assert relative_error(one, other) < 5e-6


def decode_all(compute_type, n_slots, encode_batch, n_threads, requests, *, is_plain=False, is_multilingual=True):
    ops = choose_ops(CPU, DTYPES[compute_type]) if is_plain else ops_for(CPU, compute_type)
    model = random_whisper(SIZES, 0, CPU, DTYPES[compute_type], ops)
    config = EngineConfig(n_threads=n_threads, n_slots=n_slots, encode_batch=encode_batch)
    with Engine(model, tiny_models.checkpoint(SIZES, is_multilingual=is_multilingual), config) as engine:
        assert engine.arithmetic == f"cpu {compute_type}"
        futures = [engine.submit(dataclasses.replace(request, request_id=str(i))) for i, request in enumerate(requests)]
        return [future.result(TIMEOUT_S) for future in futures]


@pytest.mark.parametrize(
    ("compute_type", "is_plain"),
    [
        *(pytest.param(name, False, marks=needs_kernels) for name in ("float32", "bfloat16", "int8")),
        ("float32", True),
        pytest.param(
            "bfloat16",
            True,
            marks=pytest.mark.skipif(not can_pack(torch.bfloat16), reason="the processor has no bfloat16"),
        ),
    ],
)
def test_a_window_does_not_depend_on_its_neighbours(compute_type, is_plain):
    """Alone, beside others, in a slot that was used before, on one thread or two: the same, bit for bit."""
    requests = []
    for index in range(8):
        options = DecodeOptions(
            temperatures=(0.0,) if index != 6 else (0.8,),
            suppress_tokens=(10, 11, 300) if index == 3 else None,
            max_tokens=4 + 5 * (index % 4),
            timestamps=index % 2 == 0,
            logprob_threshold=None,
            compression_ratio_threshold=None,
            no_speech_threshold=None,
            word_timestamps=index % 3 == 0,
            token_logprobs=True,
            beam_size=3 if index == 5 else 1,
        )
        samples = tiny_models.window(index, seconds=30 - 3 * index)
        prompt = tuple(range(20, 20 + 9 * (index % 3)))
        requests.append(DecodeRequest(samples=samples, language="en", prompt_ids=prompt, options=options))
    alone = [decode_all(compute_type, 1, 1, 1, [request], is_plain=is_plain)[0] for request in requests]
    assert len({hypothesis.token_ids for hypothesis in alone}) == len(requests)
    for n_slots, encode_batch, n_threads in ((8, 1, 1), (3, 2, 2)):
        for got, expected in zip(
            decode_all(compute_type, n_slots, encode_batch, n_threads, requests, is_plain=is_plain), alone, strict=True
        ):
            assert got.token_ids == expected.token_ids
            assert got.token_logprobs == expected.token_logprobs
            assert (got.attention is None) == (expected.attention is None)
            if got.attention is not None:
                np.testing.assert_allclose(got.attention.matrix, expected.attention.matrix, atol=2e-3)  # torch's


@pytest.mark.parametrize("n_prompt", [1, 2, 40])
def test_a_prefix_of_one_token_does_not_depend_on_longer_ones(n_prompt):
    """A checkpoint that knows English only is given one token where there are timestamps and no prompt."""
    options = DecodeOptions(temperatures=(0.0,), max_tokens=8, logprob_threshold=None, token_logprobs=True)
    samples = [tiny_models.window(index, seconds=10) for index in range(3)]
    bare = DecodeRequest(samples=samples[0], options=options)
    others = [
        DecodeRequest(samples=each, prompt_ids=tuple(range(20, 20 + n_prompt)), options=options) for each in samples
    ]
    alone = decode_all("float32", 1, 1, 1, [bare], is_plain=True, is_multilingual=False)[0]
    beside = decode_all("float32", 4, 4, 1, [bare, *others], is_plain=True, is_multilingual=False)[0]
    assert beside.token_ids == alone.token_ids
    assert beside.token_logprobs == alone.token_logprobs


@needs_kernels
def test_a_window_that_is_not_finite_is_an_error_beside_one_that_is():
    broken = EncodedWindow(torch.full((1500, SIZES.d_model), float("nan"), dtype=torch.bfloat16))
    options = DecodeOptions(temperatures=(0.0,), max_tokens=6)
    sound = DecodeRequest(samples=tiny_models.window(1), language="en", options=options)
    expected = decode_all("int8", 1, 1, 1, [sound])[0]
    model = random_whisper(SIZES, 0, CPU, torch.bfloat16, ops_for(CPU, "int8"))
    with Engine(model, tiny_models.checkpoint(SIZES), EngineConfig(n_threads=1, n_slots=2)) as engine:
        poison = engine.submit(DecodeRequest(encoded=broken, language="en", options=options))
        kept = engine.submit(dataclasses.replace(sound, request_id="kept"))
        with pytest.raises(EngineError, match="log-probability of nan"):
            poison.result(TIMEOUT_S)
        assert kept.result(TIMEOUT_S).token_ids == expected.token_ids


@pytest.mark.parametrize("is_split", [False, True])
def test_slots_keep_what_the_operations_read_best(is_split):
    ops = dataclasses.replace(choose_ops(CPU, torch.float32), splits_cross_kv=is_split)
    rules = RuleTokens(50257, 50363, 50364, ())
    tokens = RunnerTokens(rules, sot=50258, no_speech=50362, language_ids=(50259,))
    runner = ModelRunner(random_whisper(SIZES, 0, ops=ops), tokens, n_slots=2)
    assert isinstance(runner._cache.cross_kv, SplitKv if is_split else torch.Tensor)
