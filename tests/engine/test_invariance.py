"""A window's tokens depend on the window and its request alone, whatever else the engine is doing."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from traffic import N_WINDOWS, SIZES, TIMEOUT_S, assert_same, decode_all, fresh, requests

import ifw.engine.engine
from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest, DetectRequest, EncodedWindow, Hypothesis
from ifw.engine.runner import ModelRunner
from ifw.errors import CancelledError, EngineError


def engine(n_slots: int, encode_batch: int = 1) -> Engine:
    config = EngineConfig(n_threads=1, n_slots=n_slots, encode_batch=encode_batch)
    return Engine(tiny_models.whisper(SIZES), tiny_models.checkpoint(SIZES), config)


@pytest.fixture(scope="module")
def alone() -> list[Hypothesis]:
    """Each window as the only one of a fresh engine."""
    hypotheses = []
    for request in requests():
        with engine(n_slots=1) as single:
            hypotheses.append(single.submit(fresh(request)).result(TIMEOUT_S))
    return hypotheses


def test_the_windows_are_worth_comparing(alone):
    assert len({hypothesis.token_ids for hypothesis in alone}) == N_WINDOWS
    assert [alone[index].n_attempts for index in (4, 5, 8, 9, 10)] == [3, 3, 3, 1, 2]
    assert sum(len(set(hypothesis.token_ids)) > 8 for hypothesis in alone) > N_WINDOWS // 2


@pytest.mark.parametrize(("n_slots", "encode_batch"), [(16, 1), (16, 5), (1, 1), (3, 2)])
def test_beside_others_and_in_refilled_slots(alone, n_slots, encode_batch):
    with engine(n_slots, encode_batch) as shared:
        for got, expected in zip(decode_all(shared, requests()), alone, strict=True):
            assert_same(got, expected)
        stats = shared.stats()
    assert stats.n_completed == N_WINDOWS
    assert stats.n_occupied == 0


@pytest.mark.parametrize(("align_batch", "n_slots"), [(3, 5), (16, 16)])
def test_aligned_together_with_others(alone, monkeypatch, align_batch, n_slots):
    policy = ifw.engine.engine.SchedulerPolicy
    patient = {"align_batch": align_batch, "max_align_wait": 10_000}
    monkeypatch.setattr("ifw.engine.engine.SchedulerPolicy", lambda **kw: policy(**kw | patient))
    sizes = []
    align = ModelRunner.align
    monkeypatch.setattr(ModelRunner, "align", lambda self, rows: sizes.append(len(rows)) or align(self, rows))
    with engine(n_slots, encode_batch=3) as shared:
        for got, expected in zip(decode_all(shared, requests()), alone, strict=True):
            assert_same(got, expected)
    assert max(sizes) >= 3, "or nothing was aligned together"
    assert sum(sizes) == sum(hypothesis.attention is not None for hypothesis in alone)


def test_in_any_order_of_submission(alone):
    order = list(range(N_WINDOWS))
    with engine(n_slots=5) as shared:
        for seed in (1, 2):
            random.Random(seed).shuffle(order)
            wanted = requests()
            for index, got in zip(order, decode_all(shared, [wanted[index] for index in order]), strict=True):
                assert_same(got, alone[index])


def test_beside_cancelled_and_failing_neighbours(alone):
    wanted = requests()
    broken = EncodedWindow(torch.full((1500, SIZES.d_model), float("nan")))
    with engine(n_slots=4) as shared:
        victims = [shared.submit(replace(fresh(request), group="victims")) for request in wanted[:6]]
        poison = [shared.submit(DecodeRequest(encoded=broken, language="en")) for _ in range(3)]
        kept = [shared.submit(fresh(request)) for request in wanted]
        kept[0].result(TIMEOUT_S)
        shared.cancel_group("victims")
        for future, expected in zip(kept, alone, strict=True):
            assert_same(future.result(TIMEOUT_S), expected)
        for future in poison:
            assert type(future.exception(TIMEOUT_S)) is EngineError
        assert all(isinstance(future.exception(TIMEOUT_S), CancelledError | None) for future in victims)


def test_from_an_encoded_window(alone):
    request = requests()[0]
    with engine(n_slots=2) as shared:
        detection = shared.detect_language(DetectRequest(samples=request.samples)).result(TIMEOUT_S)
        again = replace(fresh(request), samples=None, encoded=detection.encoded)
        assert_same(shared.submit(again).result(TIMEOUT_S), alone[0])
        assert shared.stats().n_encoded == 1


@pytest.fixture(scope="module")
def busy_engine():
    with engine(n_slots=3, encode_batch=2) as shared:
        yield shared


@given(st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_under_random_traffic(alone, busy_engine, data):
    wanted = requests()
    chosen = data.draw(st.lists(st.integers(0, N_WINDOWS - 1), min_size=1, max_size=8))
    flights = []
    for index in chosen:
        request = replace(fresh(wanted[index]), priority=data.draw(st.integers(0, 1)))
        flights.append((index, request.request_id, busy_engine.submit(request)))
    cancelled = set(data.draw(st.lists(st.sampled_from([flight[1] for flight in flights]), max_size=3)))
    for request_id in cancelled:
        busy_engine.cancel(request_id)
    for index, request_id, future in flights:
        failure = future.exception(TIMEOUT_S)
        if failure is None:
            assert_same(future.result(), alone[index])
        else:
            assert isinstance(failure, CancelledError)
            assert request_id in cancelled


def test_the_sampler_follows_seed_window_and_attempt():
    request = requests()[0]
    assert request.options.temperatures == (0.8,)
    with engine(n_slots=4) as shared:
        variants = [
            request,
            request,
            replace(request, window_index=99),
            replace(request, options=replace(request.options, seed=1)),
        ]
        tokens = [hypothesis.token_ids for hypothesis in decode_all(shared, variants)]
    assert tokens[0] == tokens[1]
    assert len(set(tokens)) == 3


def test_padding_is_silence():
    short = tiny_models.window(3, seconds=2)
    padded = np.concatenate([short, np.zeros(480_000 - len(short), np.float32)])
    options = DecodeOptions(temperatures=(0.0,), max_tokens=20)
    with engine(n_slots=2) as shared:
        got = decode_all(
            shared, [DecodeRequest(samples=samples, language="en", options=options) for samples in (short, padded)]
        )
    assert got[0].token_ids == got[1].token_ids
