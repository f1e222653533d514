"""Windows of every kind for an engine of small random weights, and what makes two texts of one window the same."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import tiny_models

from ifw.config import DecodeOptions
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest, Hypothesis, new_request_id
from ifw.engine.time_warping import token_starts

N_WINDOWS = 16
TIMEOUT_S = 120
SIZES = tiny_models.dims(layers=(2, 2), d_model=64, n_heads=1)


@functools.cache
def requests() -> tuple[DecodeRequest, ...]:
    """Windows of many lengths, greedy and sampled, with and without timestamps, prompts and lists of their own."""
    made = []
    for index in range(N_WINDOWS):
        options = DecodeOptions(
            temperatures=(0.0,) if index % 3 else (0.8,),
            timestamps=index % 4 != 1,
            max_tokens=5 + 7 * (index % 6),
            suppress_tokens=(10, 11, 300) if index % 5 == 2 else None,
            logprob_threshold=None,
            compression_ratio_threshold=None,
            no_speech_threshold=None,
        )
        made.append(
            DecodeRequest(
                samples=tiny_models.window(index, seconds=30 - index),
                language="de" if index % 2 else "en",
                prompt_ids=tuple(range(20, 20 + 9 * (index % 4))),
                window_index=index,
                options=replace(options, word_timestamps=index % 2 == 0, token_logprobs=True),
            )
        )
    # a ladder: suspect at every temperature, so that the row starts again in its slot
    made[4] = replace(made[4], options=replace(made[4].options, temperatures=(0.0, 0.4, 0.9), logprob_threshold=-0.01))
    made[7] = replace(made[7], language=None)
    # searches at several windows, which wait for each other
    for index, several in {5: {"beam_size": 3}, 8: {"beam_size": 5, "best_of": 2}, 10: {"best_of": 3}}.items():
        ladder = replace(made[index].options, temperatures=(0.0, 0.7), logprob_threshold=-0.01, **several)
        made[index] = replace(made[index], options=ladder)
    made[9] = replace(made[9], options=replace(made[9].options, best_of=2))  # samples from the start
    return tuple(made)


def fresh(request: DecodeRequest) -> DecodeRequest:
    """The same window again, under a new id."""
    return replace(request, request_id=new_request_id())


def decode_all(engine: Engine, wanted: Sequence[DecodeRequest]) -> list[Hypothesis]:
    futures = [engine.submit(fresh(request)) for request in wanted]
    return [future.result(TIMEOUT_S) for future in futures]


def assert_same(got: Hypothesis, expected: Hypothesis) -> None:
    assert got.token_ids == expected.token_ids
    assert got.token_logprobs == pytest.approx(expected.token_logprobs, abs=1e-4)
    assert got.avg_logprob == pytest.approx(expected.avg_logprob, abs=1e-4)
    assert got.no_speech_prob == pytest.approx(expected.no_speech_prob, rel=1e-3)
    assert (got.attention is None) == (expected.attention is None)
    if got.attention is not None:
        np.testing.assert_allclose(got.attention.matrix, expected.attention.matrix, atol=2e-3)
        np.testing.assert_allclose(got.attention.probabilities, expected.attention.probabilities, atol=1e-5)
        assert token_starts(got.attention.matrix).tolist() == token_starts(expected.attention.matrix).tolist()
    assert (got.language, got.temperature, got.n_attempts) == (
        expected.language,
        expected.temperature,
        expected.n_attempts,
    )
