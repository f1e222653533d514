"""Dynamic time warping and the median filter, against openai-whisper's own on the same numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whisper import timing

from ifw.engine.alignment_attention import AlignmentAttention, median_filter
from ifw.engine.time_warping import starts_by_kernel, starts_by_rows, token_starts
from ifw.kernels.library import load

KERNELS = [pytest.param(partial(starts_by_kernel, kernels), id=kernels.name) for kernels in load().kernels]
each_way = pytest.mark.parametrize("find", [pytest.param(starts_by_rows, id="rows"), *KERNELS])


def reference_starts(matrix):
    """openai-whisper's loop over cells, as Python: compiling it takes longer than all of these tests."""
    text_indices, time_indices = timing.dtw_cpu.py_func(-matrix.astype(np.float64))
    jumps = np.pad(np.diff(text_indices), (1, 0), constant_values=1).astype(bool)
    return time_indices[jumps]


@pytest.fixture(autouse=True)
def without_compiler(monkeypatch):
    monkeypatch.setattr(timing, "backtrace", timing.backtrace.py_func)


@each_way
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 20), st.integers(1, 40), st.integers(0, 10**6))
def test_the_path_is_that_of_openai_whisper(find, n_tokens, n_positions, seed):
    matrix = np.random.default_rng(seed).standard_normal((n_tokens, n_positions)).astype(np.float32)
    assert find(matrix).tolist() == reference_starts(matrix).tolist()


@each_way
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 12), st.integers(1, 20), st.integers(0, 10**6))
def test_of_paths_that_are_equally_good_it_is_that_of_openai_whisper_too(find, n_tokens, n_positions, seed):
    matrix = np.random.default_rng(seed).integers(0, 2, (n_tokens, n_positions)).astype(np.float32)
    assert find(matrix).tolist() == reference_starts(matrix).tolist()


@each_way
@pytest.mark.parametrize("n_tokens", [1, 2, 7])
@pytest.mark.parametrize("n_positions", [1, 2, 7])
def test_where_all_is_equal_the_path_stays_with_the_last_token(find, n_tokens, n_positions):
    matrix = np.zeros((n_tokens, n_positions), np.float32)
    assert find(matrix).tolist() == reference_starts(matrix).tolist() == [0] * n_tokens


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 10**6))
def test_clear_evidence_is_followed_exactly(n_tokens, n_more, seed):
    n_positions = n_tokens + n_more
    inner = np.random.default_rng(seed).permutation(n_positions - 1)[: n_tokens - 1] + 1
    starts = np.sort(np.append(0, inner))
    owner = np.searchsorted(starts, np.arange(n_positions), side="right") - 1
    matrix = np.where(np.arange(n_tokens)[:, None] == owner, 1.0, -1.0).astype(np.float32)
    assert token_starts(matrix).tolist() == starts.tolist()


def test_a_whole_window_gives_the_same_path_every_way_and_whatever_was_there_before():
    random = np.random.default_rng(0)
    large = random.standard_normal((1500, 300)).astype(np.float32).T  # not in the order of its rows
    large[:, 200:400] = -1e3  # as outside of a segment
    ways = [starts_by_rows, token_starts, *(way.values[0] for way in KERNELS)]
    for matrix in (large, random.standard_normal((20, 700)).astype(np.float32)):
        first, *others = [find(matrix).tolist() for find in ways]
        assert all(other == first for other in others)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 50])
def test_the_median_is_that_of_openai_whisper(n):
    x = torch.randn(3, 4, n, generator=torch.Generator().manual_seed(n))
    torch.testing.assert_close(median_filter(x), timing.median_filter(x, 7), rtol=0, atol=0)
    torch.testing.assert_close(median_filter(x[0]), timing.median_filter(x[0], 7), rtol=0, atol=0)


def test_attention_is_summed_over_the_named_heads_and_never_over_padding():
    generator = torch.Generator().manual_seed(0)
    n_layers, n_rows, n_heads, head_dim, n_positions = 3, 2, 2, 4, 30
    cross = torch.randn(n_layers, 2, n_rows, n_heads, n_positions, head_dim, generator=generator)
    queries = torch.randn(n_layers, n_rows, 9, n_heads, head_dim, generator=generator)
    heads, lengths = ((1, 1), (2, 0)), ((9, 30), (5, 11))
    attention = AlignmentAttention(heads, cross, lengths)
    for layer in range(n_layers):
        attention(layer, queries[layer])
    for row, (matrix, (n_tokens, n_content)) in enumerate(zip(attention.matrices(), lengths, strict=True)):
        weights = torch.stack(
            [
                (queries[layer, row, :n_tokens, head] @ cross[layer, 0, row, head, :n_content].T).softmax(-1)
                for layer, head in heads
            ]
        )
        std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
        expected = timing.median_filter((weights - mean) / std, 7).mean(0)
        assert matrix.shape == (n_tokens, n_content)
        torch.testing.assert_close(matrix, expected, rtol=1e-4, atol=1e-5)


def test_a_position_that_no_token_prefers_counts_for_nothing():
    attention = AlignmentAttention(((0, 0),), torch.zeros(1, 2, 1, 1, 20, 4), ((5, 20),))
    attention(0, torch.ones(1, 5, 1, 4))
    assert attention.matrices()[0].abs().max() == 0
