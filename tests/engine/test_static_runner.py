"""Steps on static buffers that are read one step late, without graphs: the texts are those of plain steps."""

from __future__ import annotations

from concurrent.futures import wait
from dataclasses import replace

import pytest
import tiny_models
import torch
import traffic

from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest, EncodedWindow
from ifw.engine.runner import ModelRunner
from ifw.engine.static_runner import StaticRunner
from ifw.engine.static_step import MAX_FED, StaticStep
from ifw.errors import ConfigError, EngineError, EngineMemoryError

TIMEOUT_S = 120


def engine(steps: str, n_slots: int, encode_batch: int = 1) -> Engine:
    config = EngineConfig(n_threads=1, n_slots=n_slots, encode_batch=encode_batch, steps=steps)
    return Engine(tiny_models.whisper(traffic.SIZES), tiny_models.checkpoint(traffic.SIZES), config)


@pytest.fixture(scope="module")
def plain():
    with engine("plain", n_slots=8, encode_batch=2) as plain_engine:
        return traffic.decode_all(plain_engine, traffic.requests())


@pytest.mark.parametrize(("n_slots", "encode_batch"), [(16, 5), (1, 1), (3, 2)])
def test_the_texts_are_those_of_plain_steps(plain, n_slots, encode_batch):
    """Prompts, forced prefixes, ladders, searches and word times, beside each other and in refilled slots."""
    with engine("static", n_slots, encode_batch) as static:
        for got, expected in zip(traffic.decode_all(static, traffic.requests()), plain, strict=True):
            traffic.assert_same(got, expected)
        stats = static.stats()
    assert stats.n_completed == len(plain)
    assert stats.n_occupied == 0


def test_beside_cancelled_and_failing_neighbours(plain):
    wanted = traffic.requests()
    broken = EncodedWindow(torch.full((1500, traffic.SIZES.d_model), float("nan")))
    with engine("static", n_slots=4, encode_batch=2) as static:
        victims = [static.submit(replace(traffic.fresh(request), group="victims")) for request in wanted[:6]]
        poison = [static.submit(DecodeRequest(encoded=broken, language="en")) for _ in range(3)]
        kept = [static.submit(traffic.fresh(request)) for request in wanted]
        kept[0].result(TIMEOUT_S)
        static.cancel_group("victims")
        for future, expected in zip(kept, plain, strict=True):
            traffic.assert_same(future.result(TIMEOUT_S), expected)
        for future in poison:
            assert type(future.exception(TIMEOUT_S)) is EngineError
        wait(victims, TIMEOUT_S)


def test_a_window_that_fills_the_context_to_its_last_position(plain):
    """The step after the last one has no room for its token; it must not write beyond the cache."""
    options = DecodeOptions(
        temperatures=(0.0,), max_tokens=447, suppress_tokens=(tiny_models.demo_checkpoint().tokenizer.eot,)
    )
    request = DecodeRequest(samples=tiny_models.window(1, 5), language="en", options=options)
    texts = []
    for steps in ("plain", "static"):
        with engine(steps, n_slots=2) as one:
            beside = one.submit(traffic.fresh(traffic.requests()[1]))
            texts.append(one.submit(traffic.fresh(request)).result(TIMEOUT_S).token_ids)
            traffic.assert_same(beside.result(TIMEOUT_S), plain[1])
            traffic.assert_same(one.submit(traffic.fresh(traffic.requests()[2])).result(TIMEOUT_S), plain[2])
    assert len(texts[0]) == 448 - 3 + 1
    assert texts[0] == texts[1]


def test_short_prefixes_are_fed_and_long_ones_computed_beforehand(plain, monkeypatch):
    computed, fed = [], []
    prefill, feed = ModelRunner.prefill, StaticStep.feed
    monkeypatch.setattr(ModelRunner, "prefill", lambda self, rows: computed.extend(rows) or prefill(self, rows))
    monkeypatch.setattr(StaticStep, "feed", lambda self, slot, ids: fed.append(ids) or feed(self, slot, ids))
    with engine("static", n_slots=4) as static:
        for got, expected in zip(traffic.decode_all(static, traffic.requests()[:4]), plain, strict=False):
            traffic.assert_same(got, expected)
    assert {len(ids) for ids in fed} == {3}
    assert {len(row.prefix.token_ids) for row in computed} == {1 + 9 + 3 + 1, 1 + 18 + 3, 1 + 27 + 3}
    assert min(len(row.prefix.token_ids) for row in computed) > MAX_FED


def test_steps_are_read_one_late(monkeypatch):
    """The device has the next step before the host looks at the one before: for each text one step too many."""
    launched = []
    launch = StaticRunner._launch
    monkeypatch.setattr(StaticRunner, "_launch", lambda self: launched.append(1) or launch(self))
    options = DecodeOptions(temperatures=(0.0,), max_tokens=10)
    request = DecodeRequest(samples=tiny_models.window(3, 2), language="en", options=options)
    with engine("static", n_slots=2) as static:
        n_tokens = len(static.submit(request).result(TIMEOUT_S).token_ids)
        assert n_tokens == 10
        n_fed = 3
        assert len(launched) == n_fed - 1 + n_tokens + 1
        assert static.stats().n_tokens == n_tokens


def test_out_of_memory_in_a_step_fails_its_windows_and_the_next_ones_are_not_touched(plain, monkeypatch):
    run, faults = StaticStep.run, iter([False] * 6 + [True])

    def fail_once(self, key):
        if next(faults, False):
            raise torch.OutOfMemoryError("too big")
        run(self, key)

    monkeypatch.setattr(StaticStep, "run", fail_once)
    with engine("static", n_slots=2) as static:
        assert isinstance(static.submit(traffic.fresh(traffic.requests()[2])).exception(TIMEOUT_S), EngineMemoryError)
        for index in (1, 2):
            traffic.assert_same(static.submit(traffic.fresh(traffic.requests()[index])).result(TIMEOUT_S), plain[index])


def test_graphs_need_cuda():
    with pytest.raises(ConfigError, match="steps: got 'graphs'"):
        engine("graphs", n_slots=1)
    with pytest.raises(ConfigError, match="steps: got 'fast'"):
        EngineConfig(steps="fast")
