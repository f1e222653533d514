"""Beam search and samples against openai-whisper's own classes, on logits that depend on the tokens before."""

from __future__ import annotations

import math
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper.decoding import BeamSearchDecoder, MaximumLikelihoodRanker

from ifw.config import DecodeOptions
from ifw.engine.attempts import AttemptOptions, attempt_ladder
from ifw.engine.search import BeamSearch, Move, SampleSearch, SearchHypothesis, SearchLimits
from ifw.errors import EngineError

N_VOCAB, EOT, SOT = 14, 10, 11


def logits_after(seed: int, tokens: tuple[int, ...], eot_bias: float) -> torch.Tensor:
    """[V]; the end cannot come first, as in Whisper."""
    random = np.random.default_rng(zlib.crc32(f"{seed}/{tokens}".encode()))
    logits = 2 * random.standard_normal(N_VOCAB).astype(np.float32)
    logits[EOT] += eot_bias if tokens else -30
    return torch.from_numpy(logits)


def limits(max_tokens: int, is_hopeless=lambda token_ids: False) -> SearchLimits:
    return SearchLimits(EOT, max_tokens, is_hopeless)


def their_beam(seed: int, beam_size: int, max_tokens: int, eot_bias: float) -> tuple[dict[tuple, float], tuple]:
    """What openai-whisper's main loop does with its decoder and ranker."""
    inference = SimpleNamespace(rearrange_kv_cache=lambda sources: None)
    decoder = BeamSearchDecoder(beam_size, EOT, inference)
    tokens, sums = torch.full((beam_size, 1), SOT), torch.zeros(beam_size)
    for _ in range(max_tokens):
        rows = [logits_after(seed, tuple(row[1:].tolist()), eot_bias) for row in tokens]
        tokens, completed = decoder.update(tokens, torch.stack(rows), sums)
        if completed:
            break
    found, found_sums = decoder.finalize(tokens[None], sums[None])
    texts = [[row[1 : (row == EOT).nonzero()[0, 0]] for row in rows] for rows in found]
    best = MaximumLikelihoodRanker(None).rank(texts, found_sums)[0]
    paths = [tuple(row.tolist()) for row in texts[0]]
    return dict(zip(paths, found_sums[0], strict=True)), paths[best]


def our_beam(seed: int, beam_size: int, max_tokens: int, eot_bias: float) -> BeamSearch:
    search = BeamSearch(beam_size, limits(max_tokens))
    rows: list[tuple[int, ...]] = [()]
    while True:
        logits = torch.stack([logits_after(seed, row, eot_bias) for row in rows])
        logprobs, tokens = logits.log_softmax(-1).topk(beam_size + 1)
        pairs = zip(tokens.tolist(), logprobs.tolist(), strict=True)
        if search.advance([list(zip(*pair, strict=True)) for pair in pairs]):
            return search
        rows = [(*rows[move.source], move.token) for move in search.moves]


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 12), st.floats(-2, 4))
@settings(max_examples=1000, deadline=None)
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # numpy, on their argsort of a tensor
def test_beam_search_is_openai_whispers(seed, beam_size, max_tokens, eot_bias):
    expected, their_best = their_beam(seed, beam_size, max_tokens, eot_bias)
    search = our_beam(seed, beam_size, max_tokens, eot_bias)
    got = {one.token_ids: one.sum_logprob for one in search.hypotheses}
    assert list(got) == list(expected)
    assert got == pytest.approx(expected, abs=1e-4)
    assert search.best().token_ids == their_best


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 12), st.floats(-2, 4))
def test_every_hypothesis_of_a_beam_knows_the_probability_of_each_of_its_tokens(seed, beam_size, max_tokens, eot_bias):
    for one in our_beam(seed, beam_size, max_tokens, eot_bias).hypotheses:
        expected = [
            logits_after(seed, one.token_ids[:index], eot_bias).log_softmax(-1)[token].item()
            for index, token in enumerate(one.token_ids)
        ]
        assert one.token_logprobs == pytest.approx(expected, abs=1e-5)


def test_a_continuation_without_probability_is_none():
    search = BeamSearch(3, limits(9))
    assert not search.advance([[(1, -0.1), (2, -math.inf), (EOT, -math.inf)]])
    assert search.moves == [Move(0, 1)]
    assert search.advance([[(EOT, 0.0), (2, -math.inf), (3, -math.inf)]])
    assert search.hypotheses == [SearchHypothesis((1,), -0.1, token_logprobs=(-0.1,))]


def test_a_hypothesis_in_a_loop_has_ended_and_counts_only_where_nothing_better_has():
    search = BeamSearch(2, limits(40, is_hopeless=lambda token_ids: set(token_ids) == {1}))
    row = [(1, -0.1), (2, -1.0), (3, -2.0)]
    assert not search.advance([row])
    for _ in range(14):
        assert not search.advance([row, row])
    assert [move.token for move in search.moves] == [1, 1]
    assert not search.advance([row, row])  # the 16th token: the first of the two is cut
    assert search.hypotheses[0] == SearchHypothesis((1,) * 16, pytest.approx(-1.6), True, (-0.1,) * 16)
    assert search.advance([[(EOT, -0.5), (2, -4.0), (3, -4.0)]] * 2)
    assert not search.best().is_cut
    assert search.best().sum_logprob < -2.4


def test_where_all_loop_the_attempt_ends_and_says_so():
    for search in (BeamSearch(2, limits(99, lambda _: True)), SampleSearch(2, limits(99, lambda _: True))):
        rows = [[(1, -0.1), (2, -1.0), (3, -2.0)]] if isinstance(search, BeamSearch) else [[(1, -0.1)]] * 2
        n_steps = 1
        while not search.advance(rows):
            rows = (rows * 2)[:2]
            n_steps += 1
        assert n_steps == 16
        assert search.best().is_cut
        assert search.best().token_ids == (1,) * 16


def test_the_likeliest_sample_a_token_is_kept_and_rows_that_ended_leave():
    search = SampleSearch(3, limits(3))
    assert not search.advance([[(1, -0.5)], [(2, -0.2)], [(3, -0.4)]])
    assert not search.advance([[(EOT, -0.1)], [(4, -0.2)], [(5, -0.1)]])
    assert search.moves == [Move(1, 4), Move(2, 5)]
    assert search.advance([[(EOT, -3.0)], [(6, -0.1)]])
    # sums a token: -0.6, -3.4 / 2, -0.6 / 3: the end counts in the sum, not in the length, as openai-whisper ranks
    assert search.best() == SearchHypothesis((3, 5, 6), pytest.approx(-0.6), token_logprobs=(-0.4, -0.1, -0.1))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_an_error(bad):
    for search in (BeamSearch(2, limits(9)), SampleSearch(1, limits(9))):
        with pytest.raises(EngineError, match="log-probability"):
            search.advance([[(1, bad)]])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [("sample", 1, t) for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]),
        ({"temperatures": (0.0,)}, [("sample", 1, 0.0)]),
        ({"temperatures": (0.0,), "best_of": 5}, [("sample", 1, 0.0)]),
        ({"temperatures": (0.0,), "beam_size": 1}, [("sample", 1, 0.0)]),
        (
            {"temperatures": (0.0, 0.4, 0.8), "beam_size": 5, "best_of": 3},
            [("sample", 1, 0.0), ("beam", 5, 0.0), ("sample", 3, 0.4), ("sample", 3, 0.8)],
        ),
        ({"temperatures": (0.4,), "beam_size": 5, "best_of": 2}, [("sample", 2, 0.4)]),
    ],
)
def test_the_ladder(options, expected):
    ladder = attempt_ladder(DecodeOptions(**options))
    assert list(ladder) == [AttemptOptions(*attempt) for attempt in expected]
    assert [attempt.is_single for attempt in ladder] == [n == 1 for _, n, _ in expected]
