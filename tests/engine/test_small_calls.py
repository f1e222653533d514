"""Small decode calls run on one core, larger ones on all, and the numbers do not depend on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny_models
import torch

from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest
from ifw.engine.runner import ModelRunner
from ifw.engine.small_calls import MAX_MULTIPLICATIONS, decode_multiplications, suitable_cores

SMALL = tiny_models.dims()
LARGE = tiny_models.dims(layers=(2, 5), d_model=768)


def in_a_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def cores_of(sizes, n_threads, **call):
    def work():
        torch.set_num_threads(n_threads)
        with suitable_cores(tiny_models.whisper(sizes), **call):
            inside = torch.get_num_threads()
        return inside, torch.get_num_threads()

    return in_a_thread(work)


@pytest.mark.parametrize(
    ("sizes", "n_rows", "n_tokens", "expected"),
    [(SMALL, 16, 1, 1), (SMALL, 16, 200, 3), (LARGE, 1, 1, 1), (LARGE, 2, 1, 3), (LARGE, 1, 2, 3)],
)
def test_as_large_as_the_call(sizes, n_rows, n_tokens, expected):
    assert cores_of(sizes, 3, n_rows=n_rows, n_tokens=n_tokens) == (expected, 3)


def test_the_demo_model_decodes_all_its_slots_on_one_core():
    demo = tiny_models.demo_checkpoint().dims
    assert decode_multiplications(demo, 16) < MAX_MULTIPLICATIONS < decode_multiplications(demo, 16, 4)


def test_the_cores_come_back_after_an_error():
    def work():
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match="no"), suitable_cores(tiny_models.whisper(SMALL), 1):
            raise ValueError("no")
        return torch.get_num_threads()

    assert in_a_thread(work) == 2


def test_steps_of_the_engine_run_on_one_core_and_say_the_same(monkeypatch):
    choose, seen = ModelRunner._choose, []
    monkeypatch.setattr(
        ModelRunner, "_choose", lambda self, *args: seen.append(torch.get_num_threads()) or choose(self, *args)
    )
    results = []
    for n_threads in (1, 3):
        config = EngineConfig(n_threads=n_threads, n_slots=2)
        with Engine(tiny_models.whisper(SMALL), tiny_models.checkpoint(SMALL), config) as engine:
            options = DecodeOptions(temperatures=(0.0,), max_tokens=12)
            windows = [tiny_models.window(index, seconds=3) for index in range(3)]
            futures = [engine.submit(DecodeRequest(samples=w, language="en", options=options)) for w in windows]
            results.append([(f.result().token_ids, f.result().avg_logprob) for f in futures])
    assert results[0] == results[1]
    assert set(seen) == {1}
