"""The probabilities of a window's tokens are those that its score is made of, and are kept only where asked for."""

from dataclasses import replace

import pytest
import tiny_models

from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest

SIZES = tiny_models.dims(layers=(2, 2), d_model=64, n_heads=1)
CUT_SHORT = DecodeOptions(
    temperatures=(0.0,), max_tokens=9, token_logprobs=True, no_speech_threshold=None, compression_ratio_threshold=None
)
WAYS = {
    "greedy": replace(CUT_SHORT, logprob_threshold=None),
    "beam": replace(CUT_SHORT, beam_size=4, logprob_threshold=-0.001),
    "samples": replace(CUT_SHORT, temperatures=(0.9,), best_of=3),
}


@pytest.fixture(scope="module")
def engine():
    with Engine(tiny_models.whisper(SIZES), tiny_models.checkpoint(SIZES), EngineConfig(n_threads=1)) as shared:
        yield shared


def decoded(engine, options, **changes):
    request = DecodeRequest(samples=tiny_models.window(3, seconds=4), language="en", options=options, **changes)
    return engine.submit(request).result(120)


@pytest.mark.parametrize("way", WAYS)
def test_they_add_up_to_the_score_of_a_window_whose_end_was_not_sampled(engine, way):
    hypothesis = decoded(engine, WAYS[way])
    assert len(hypothesis.token_logprobs) == len(hypothesis.token_ids) == 9
    assert all(logprob < 0 for logprob in hypothesis.token_logprobs)
    assert sum(hypothesis.token_logprobs) == pytest.approx(hypothesis.avg_logprob * 10, abs=1e-5)


def test_tokens_that_were_given_count_as_certain(engine):
    hypothesis = decoded(engine, WAYS["greedy"], prefix_ids=(20, 21, 22))
    assert hypothesis.token_ids[1:4] == (20, 21, 22)
    assert hypothesis.token_logprobs[:4] == (0.0,) * 4
    assert len(hypothesis.token_logprobs) == len(hypothesis.token_ids) > 4
    assert all(logprob < 0 for logprob in hypothesis.token_logprobs[4:])


def test_they_are_left_out_unless_asked_for(engine):
    asked, plain = (decoded(engine, replace(WAYS["greedy"], token_logprobs=is_asked)) for is_asked in (True, False))
    assert plain.token_logprobs is None
    assert plain.token_ids == asked.token_ids
