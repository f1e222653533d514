"""A draft proposes, the model decides: the texts are those of plain steps, whatever is proposed."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from concurrent.futures import wait
from dataclasses import replace
from typing import get_args

import pytest
import tiny_models
import torch
import traffic

from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest, EncodedWindow
from ifw.engine.speculative_runner import SpeculativeRunner
from ifw.engine.vocabulary import Vocabulary
from ifw.errors import ConfigError, EngineError
from ifw.model.eight_bit_kv import EightBits
from ifw.model.random_weights import random_tensor, random_weight
from ifw.model.weights import build_whisper, tensor_shapes
from ifw.model.whisper import Whisper

TIMEOUT_S = 120
SIZES = traffic.SIZES
SMALLER = tiny_models.dims(layers=(2, 1), d_model=64, n_heads=1)
CHECKPOINT = tiny_models.checkpoint(SIZES)


@functools.cache
def model() -> Whisper:
    return tiny_models.whisper(SIZES)


@functools.cache
def draft(kind: str) -> Whisper:
    """One that is always right, one that is right half of the time, one that never is, and one of broken weights."""
    if kind == "itself":
        return model()
    if kind == "stranger":
        return tiny_models.whisper(SMALLER, seed=3)

    def read(name: str) -> torch.Tensor:
        weight = random_weight(name, SIZES, 0)
        if kind == "broken":
            return torch.full_like(weight, float("nan"))
        return weight + 0.15 * weight.std() * random_tensor("noise", tensor_shapes(SIZES)[name], 1).sign()

    with torch.inference_mode():
        return build_whisper(SIZES, read, tiny_models.CPU, torch.float32)


def engine(kind: str | None, n_slots: int = 4, encode_batch: int = 1, **config) -> Engine:
    config = EngineConfig(n_threads=1, n_slots=n_slots, encode_batch=encode_batch, **config)
    return Engine(model(), CHECKPOINT, config, None if kind is None else draft(kind))


@pytest.fixture(scope="module")
def plain():
    with engine(None, n_slots=8, encode_batch=2) as plain_engine:
        return traffic.decode_all(plain_engine, traffic.requests())


@pytest.mark.parametrize(
    ("kind", "n_slots", "draft_tokens"),
    [("itself", 16, 5), ("itself", 1, 1), ("near", 4, 5), ("near", 3, 2), ("stranger", 5, 4), ("broken", 4, 3)],
)
def test_the_texts_are_those_of_plain_steps(plain, kind, n_slots, draft_tokens):
    """Prompts, prefixes, ladders, searches, temperatures, detected languages and word times, in refilled slots."""
    with engine(kind, n_slots, encode_batch=2, draft_tokens=draft_tokens) as speculative:
        for got, expected in zip(traffic.decode_all(speculative, traffic.requests()), plain, strict=True):
            traffic.assert_same(got, expected)
        stats = speculative.stats()
    assert stats.n_completed == len(plain)
    assert stats.n_occupied == 0
    assert stats.n_drafted > 0


def long_requests(n_windows: int, *, eot_comes: bool) -> list[DecodeRequest]:
    """Greedy windows with and without timestamps, some with a prompt; they end by themselves, or nowhere."""
    eot = CHECKPOINT.tokenizer.eot
    return [
        DecodeRequest(
            samples=tiny_models.window(index, seconds=30 - index % 29),
            language="de" if index % 2 else "en",
            prompt_ids=tuple(range(20, 20 + 7 * (index % 5))),
            options=DecodeOptions(
                temperatures=(0.0,),
                timestamps=index % 3 != 1,
                max_tokens=440,
                suppress_tokens=() if eot_comes else (eot, 10 + index),
                logprob_threshold=None,
                compression_ratio_threshold=None,
                no_speech_threshold=None,
                token_logprobs=True,
            ),
        )
        for index in range(n_windows)
    ]


@pytest.fixture(scope="module")
def many():
    """Windows of hundreds of tokens each, and their texts without a draft."""
    requests = long_requests(16, eot_comes=False)
    with engine(None, n_slots=16) as plain_engine:
        return requests, traffic.decode_all(plain_engine, requests)


@pytest.mark.parametrize("kind", ["near", "stranger"])
def test_thousands_of_tokens_are_the_same(many, kind, monkeypatch):
    accepted = Counter()
    verified = SpeculativeRunner._verified

    def counted(self, slot, results, n_drafted):
        row = verified(self, slot, results, n_drafted)
        accepted[len(row.sampled) - 1] += 1
        return row

    monkeypatch.setattr(SpeculativeRunner, "_verified", counted)
    requests, expected = many
    with engine(kind, n_slots=16, draft_tokens=4) as speculative:
        got = traffic.decode_all(speculative, requests)
    assert sum(len(hypothesis.token_ids) for hypothesis in expected) > 6_000
    for one, other in zip(got, expected, strict=True):
        traffic.assert_same(one, other)
    if kind == "near":
        assert all(accepted[count] > 20 for count in range(5)), "a draft that is right now and then"


def test_windows_that_end_by_themselves(plain):
    del plain
    requests = long_requests(8, eot_comes=True)
    with engine(None, n_slots=4) as plain_engine:
        expected = traffic.decode_all(plain_engine, requests)
        n_tokens = plain_engine.stats().n_tokens
    with engine("near", n_slots=4) as speculative:
        for one, other in zip(traffic.decode_all(speculative, requests), expected, strict=True):
            traffic.assert_same(one, other)
        assert speculative.stats().n_tokens == n_tokens, "what comes behind the end counts for nothing"


@pytest.mark.parametrize("draft_tokens", [1, 5])
def test_a_draft_that_is_right_saves_steps(draft_tokens):
    request = long_requests(1, eot_comes=False)[0]
    request = replace(request, options=replace(request.options, max_tokens=61))
    with engine("itself", draft_tokens=draft_tokens) as speculative:
        assert len(speculative.submit(request).result(TIMEOUT_S).token_ids) == 61
        stats = speculative.stats()
    n_rounds = 60 // (draft_tokens + 1)
    assert stats.n_steps == n_rounds
    assert stats.n_drafted == stats.n_accepted == n_rounds * draft_tokens


def test_an_attempt_that_begins_again_has_a_draft_that_knows_its_prefix():
    """Whatever the draft had not been given when the attempt before was given up."""
    request = long_requests(1, eot_comes=False)[0]
    ladder = replace(request.options, max_tokens=61, temperatures=(0.0, 0.3, 0.6), logprob_threshold=-1e-6)
    with engine("itself", draft_tokens=5) as speculative:
        assert speculative.submit(replace(request, options=ladder)).result(TIMEOUT_S).n_attempts == 3
        stats = speculative.stats()
    n_rounds = 60 // 6 + 2 * -(-61 // 6)  # the first token of the first attempt comes with the prefix
    assert stats.n_steps == n_rounds


def test_samples_are_drawn_with_the_same_noise(plain):
    """So a draft that knows what the model knows is right above temperature 0 too."""
    sampled = [index for index, one in enumerate(plain) if one.temperature == 0.8 and one.n_attempts == 1]
    sampled = [index for index in sampled if traffic.requests()[index].options.best_of < 2]
    assert len(sampled) > 2
    with engine("itself", n_slots=1, draft_tokens=2) as speculative:
        wanted = [traffic.requests()[index] for index in sampled]
        for index, got in zip(sampled, traffic.decode_all(speculative, wanted), strict=True):
            traffic.assert_same(got, plain[index])
        stats = speculative.stats()
    assert stats.n_accepted > 0.8 * stats.n_drafted
    assert stats.n_steps < 0.45 * stats.n_tokens


def test_beside_cancelled_and_failing_neighbours(plain):
    wanted = traffic.requests()
    broken = EncodedWindow(torch.full((1500, SIZES.d_model), float("nan")))
    with engine("near", n_slots=4, encode_batch=2) as speculative:
        victims = [speculative.submit(replace(traffic.fresh(request), group="victims")) for request in wanted[:6]]
        poison = [speculative.submit(DecodeRequest(encoded=broken, language="en")) for _ in range(3)]
        kept = [speculative.submit(traffic.fresh(request)) for request in wanted]
        kept[0].result(TIMEOUT_S)
        speculative.cancel_group("victims")
        for future, expected in zip(kept, plain, strict=True):
            traffic.assert_same(future.result(TIMEOUT_S), expected)
        for future in poison:
            assert type(future.exception(TIMEOUT_S)) is EngineError
        wait(victims, TIMEOUT_S)


@pytest.mark.parametrize("kind", ["itself", "near"])
def test_no_position_outside_of_the_context_is_asked_for(kind, monkeypatch):
    """Torch would wrap around where a row that was ahead ends beside others; the native kernels refuse."""
    decode, asked = Whisper.decode, Counter()

    def watched(self, token_ids, offsets, *args, **kwargs):
        last = offsets + token_ids.shape[1] - 1
        assert int(offsets.min()) >= 0
        assert int(last.max()) < min(SIZES.n_text_positions, kwargs.get("n_keys", SIZES.n_text_positions))
        asked[token_ids.shape[1]] += 1
        return decode(self, token_ids, offsets, *args, **kwargs)

    monkeypatch.setattr(Whisper, "decode", watched)
    requests = [traffic.requests()[index] for index in (1, 2, 3, 4, 8, 11)]
    requests[0] = replace(long_requests(1, eot_comes=False)[0], priority=1)  # to its end, beside all others
    with engine(kind, n_slots=3, encode_batch=2, draft_tokens=3) as speculative:
        traffic.decode_all(speculative, requests)
        assert speculative.stats().n_failed == 0
    assert {2, 4} <= set(asked)


def test_what_is_not_finite_leaves_the_caches_of_both_decoders():
    tokens = Vocabulary(CHECKPOINT).runner_tokens
    runner = SpeculativeRunner(model(), draft("stranger"), tokens, 3, n_drafted=2)
    for cache in (runner._cache, runner._draft.cache):
        cache.self_kv.fill_(float("nan"))
    runner.release(1, wipe=True)
    for cache in (runner._cache, runner._draft.cache):
        assert torch.isfinite(cache.self_kv[:, :, 1]).all()
        assert not torch.isfinite(cache.self_kv[:, :, 0]).any()


def test_a_failed_window_leaves_the_draft_as_good_as_it_was():
    """Numbers that are not finite would stay in its cache, and nothing that it says in that slot would be right."""
    broken = EncodedWindow(torch.full((1500, SIZES.d_model), float("nan")))
    request = long_requests(1, eot_comes=False)[0]
    with engine("itself", n_slots=1) as speculative:
        assert (
            type(speculative.submit(DecodeRequest(encoded=broken, language="en")).exception(TIMEOUT_S)) is EngineError
        )
        before = speculative.stats()
        speculative.submit(request).result(TIMEOUT_S)
        after = speculative.stats()
    n_drafted, n_accepted = after.n_drafted - before.n_drafted, after.n_accepted - before.n_accepted
    assert n_accepted > 0.95 * n_drafted


@pytest.mark.parametrize("kind", ["itself", "near"])
def test_a_window_that_fills_the_context_to_its_last_position(plain, kind):
    """Fewer tokens are proposed where there is room for fewer, and the neighbours do not notice."""
    options = DecodeOptions(temperatures=(0.0,), max_tokens=447, suppress_tokens=(CHECKPOINT.tokenizer.eot,))
    request = DecodeRequest(samples=tiny_models.window(1, 5), language="en", options=options)
    texts = []
    for which in (None, kind):
        with engine(which, n_slots=2, draft_tokens=7) as one:
            beside = one.submit(traffic.fresh(traffic.requests()[1]))
            texts.append(one.submit(traffic.fresh(request)).result(TIMEOUT_S).token_ids)
            traffic.assert_same(beside.result(TIMEOUT_S), plain[1])
            traffic.assert_same(one.submit(traffic.fresh(traffic.requests()[2])).result(TIMEOUT_S), plain[2])
    assert len(texts[0]) == 448 - 3 + 1
    assert texts[0] == texts[1]


def test_of_several_rows_each_goes_on_from_its_own_position():
    """Rows of one batch accept different numbers of tokens, round by round."""
    requests = long_requests(3, eot_comes=False)
    offsets = []
    step = SpeculativeRunner.step

    def watched(self, slots):
        stepped = step(self, slots)
        offsets.append(tuple(self._rows[slot].offset for slot in slots))
        return stepped

    with pytest.MonkeyPatch.context() as patch, engine("near", n_slots=3) as speculative:
        patch.setattr(SpeculativeRunner, "step", watched)
        traffic.decode_all(speculative, requests)
    gains = [
        tuple(now - before for before, now in zip(*pair, strict=True))
        for pair in itertools.pairwise(offsets)
        if len(pair[0]) == len(pair[1]) == 3
    ]
    assert len({len(set(gain)) for gain in gains}) > 1


@pytest.mark.parametrize("cross_kv", get_args(EightBits))
def test_keys_and_values_in_8_bits(cross_kv):
    requests = traffic.requests()[:6]
    with engine(None, cross_kv=cross_kv) as plain_engine:
        expected = traffic.decode_all(plain_engine, requests)
    with engine("near", cross_kv=cross_kv) as speculative:
        for got, wanted in zip(traffic.decode_all(speculative, requests), expected, strict=True):
            traffic.assert_same(got, wanted)


def test_how_many_tokens_may_be_proposed():
    for n_tokens in (0, 33, 2.5):
        with pytest.raises(ConfigError, match="draft_tokens: got"):
            EngineConfig(draft_tokens=n_tokens)
