"""The guards, against openai-whisper's rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifw.config import DecodeOptions
from ifw.engine.guards import LOOP_TOKENS, Attempt, Verdict, best_attempt, compression_ratio, is_looping, judge

GOOD = Attempt((1, 2), "a fine sentence", avg_logprob=-0.3, no_speech_prob=0.01, temperature=0.0)
LOOP_TEXT = "thank you. " * 30


def openai_needs_fallback(attempt: Attempt, options: DecodeOptions) -> bool:
    needs = False
    if options.compression_ratio_threshold is not None:
        needs |= compression_ratio(attempt.text) > options.compression_ratio_threshold
    if options.logprob_threshold is not None:
        needs |= attempt.avg_logprob < options.logprob_threshold
        if options.no_speech_threshold is not None and attempt.no_speech_prob > options.no_speech_threshold:
            needs &= not attempt.avg_logprob < options.logprob_threshold
    return needs


def openai_is_skipped(attempt: Attempt, options: DecodeOptions) -> bool:
    if options.no_speech_threshold is None:
        return False
    skip = attempt.no_speech_prob > options.no_speech_threshold
    if options.logprob_threshold is not None and attempt.avg_logprob > options.logprob_threshold:
        skip = False
    return skip


@given(
    st.builds(
        replace,
        st.just(GOOD),
        text=st.sampled_from(["", "a fine sentence", LOOP_TEXT]),
        avg_logprob=st.sampled_from([-2.0, -1.0, -0.7, -0.5, -0.1]),
        no_speech_prob=st.sampled_from([0.1, 0.6, 0.9]),
    ),
    st.builds(
        DecodeOptions,
        compression_ratio_threshold=st.sampled_from([None, 2.4]),
        logprob_threshold=st.sampled_from([None, -1.0, -0.5]),
        no_speech_threshold=st.sampled_from([None, 0.6]),
    ),
)
def test_verdict_is_openai_whispers(attempt, options):
    verdict = judge(attempt, options)
    is_skipped = openai_is_skipped(attempt, options)
    assert (verdict is Verdict.SILENT) == is_skipped
    if not is_skipped:
        assert verdict.is_retried == openai_needs_fallback(attempt, options)


@pytest.mark.parametrize(
    ("no_speech_prob", "avg_logprob", "expected"),
    [
        (0.7, -0.6, "no_speech"),
        (0.5, -0.6, None),
        (0.7, -0.4, None),
        (0.7, -1.1, None),  # silent
        (0.5, -1.1, "low_probability"),
    ],
)
def test_text_where_nobody_seems_to_speak_is_marked_unless_it_is_likely_beyond_doubt(
    no_speech_prob, avg_logprob, expected
):
    attempt = replace(GOOD, no_speech_prob=no_speech_prob, avg_logprob=avg_logprob)
    assert judge(attempt, DecodeOptions()).suspect == expected
    off = DecodeOptions(no_speech_threshold=None, logprob_threshold=None)
    assert judge(attempt, off).suspect is None


def test_a_cut_attempt_is_suspect():
    assert judge(replace(GOOD, is_cut=True), DecodeOptions()) is Verdict.REPETITIVE


def test_the_likeliest_attempt_that_does_not_loop_is_kept():
    loop = replace(GOOD, text=LOOP_TEXT, avg_logprob=-0.1)
    cut = replace(GOOD, avg_logprob=-0.05, is_cut=True)
    likely, unlikely = replace(GOOD, avg_logprob=-1.2), replace(GOOD, avg_logprob=-3.0)
    assert best_attempt([loop, cut, likely, unlikely], DecodeOptions()) is likely


def test_where_all_loop_the_least_repetitive_is_kept():
    worse = replace(GOOD, text=LOOP_TEXT * 2)
    better = replace(GOOD, text=LOOP_TEXT)
    assert best_attempt([worse, better, worse], DecodeOptions()) is better


@pytest.mark.parametrize("period", [1, 3, 16])
def test_a_loop_is_seen_once_it_is_long_enough(period):
    phrase = list(range(period))
    tokens = [*range(500, 520), *(phrase * LOOP_TOKENS)[:LOOP_TOKENS]]
    assert is_looping(tokens)
    assert not is_looping(tokens[:-1])
    assert not is_looping([*tokens, 999])


@given(st.lists(st.integers(0, 3), max_size=200))
def test_no_loop_without_a_period(tokens):
    tail = tokens[-LOOP_TOKENS:]
    has_period = len(tail) == LOOP_TOKENS and any(
        all(tail[i] == tail[i + period] for i in range(LOOP_TOKENS - period)) for period in range(1, 17)
    )
    assert is_looping(tokens) == has_period


def test_compression_ratio_of_nothing_is_zero():
    assert compression_ratio("") == 0
    assert compression_ratio(LOOP_TEXT) > 2.4
