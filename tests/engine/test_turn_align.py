"""The loop with a fake runner: which windows are aligned for word times, with which tokens, and when."""

from __future__ import annotations

import threading

from fake_runner import Script
from turn_bench import CHECKPOINT, EOT, GOOD, TIMEOUT_S, UNLIKELY, Bench, error, result

from ifw.config import DecodeOptions
from ifw.errors import CancelledError

WORDS = DecodeOptions(word_timestamps=True)


def test_the_row_that_is_aligned_is_that_of_find_alignment():
    tokenizer = CHECKPOINT.tokenizer
    stamp = tokenizer.timestamp_begin
    stamped = [(stamp, -0.1), *GOOD[:-1], (stamp + 50, -0.1), GOOD[-1]]
    with Bench({1: stamped}) as bench:
        hypothesis = result(bench.submit(1, options=WORDS, prompt_ids=(5, 6)))
        row = bench.runner.aligned[1]
    text_ids = tuple(token for token, _ in GOOD[:-1])
    prefix = (tokenizer.sot, tokenizer.language_ids["en"], tokenizer.transcribe, tokenizer.no_timestamps)
    assert row.token_ids == (*prefix, *text_ids, EOT), "no prompt, no timestamps"
    assert (row.n_prefix, row.n_positions) == (4, 1), "two samples are one position"
    assert hypothesis.attention.matrix.shape == (len(text_ids) + 1, 1)
    assert len(hypothesis.attention.probabilities) == len(text_ids)


def test_a_row_is_cut_to_the_context_of_the_decoder():
    endless = [(token, -0.1) for token in CHECKPOINT.tokenizer.encode(" Thank you." * 300)[:446]]
    options = DecodeOptions(word_timestamps=True, timestamps=False, max_tokens=447, compression_ratio_threshold=None)
    with Bench({1: endless}) as bench:
        hypothesis = result(bench.submit(1, options=options))
        row = bench.runner.aligned[1]
    assert len(row.token_ids) == CHECKPOINT.dims.n_text_positions
    assert row.token_ids[-1] == EOT
    assert len(hypothesis.attention.probabilities) == 448 - 5 < len(hypothesis.token_ids)


def test_nothing_is_aligned_without_words_or_for_those_who_did_not_ask():
    silent = Script([UNLIKELY], no_speech_prob=0.99)
    blank = [(CHECKPOINT.tokenizer.encode(" ")[0], -0.1), (EOT, -0.1)]
    with Bench({1: GOOD, 2: silent, 3: blank}) as bench:
        hypotheses = [result(bench.submit(1)), *(result(bench.submit(n, options=WORDS)) for n in (2, 3))]
    assert hypotheses[1].is_silent
    assert [hypothesis.attention for hypothesis in hypotheses] == [None] * 3
    assert bench.runner.aligned == {}


def test_windows_are_aligned_together_and_leave_together():
    with Bench(dict.fromkeys(range(4), GOOD), align_batch=4, encode_batch=4) as bench:
        with bench.held():
            futures = [bench.submit(number, options=WORDS) for number in range(4)]
        assert all(result(future).attention is not None for future in futures)
        stats = bench.loop.stats()
    assert [numbers for name, numbers in bench.runner.calls if name == "align"] == [[0, 1, 2, 3]]
    assert (stats.n_aligned, stats.n_completed) == (4, 4)
    assert stats.align_s > 0


def test_only_the_accepted_attempt_is_aligned():
    with Bench({1: Script([UNLIKELY, GOOD])}) as bench:
        hypothesis = result(bench.submit(1, options=WORDS))
    assert hypothesis.n_attempts == 2
    assert [name for name, _ in bench.runner.calls].count("align") == 1


def test_a_window_that_waits_to_be_aligned_can_be_cancelled():
    long = [*GOOD[:-1]] * 40
    with Bench({1: GOOD, 2: [*long, GOOD[-1]]}, align_batch=4, max_align_wait=10_000) as bench:
        seen, cancelled = threading.Event(), threading.Event()

        def stop_beside_the_waiting_window(name, numbers):
            if (name, numbers) == ("step", [2]):
                seen.set()
                assert cancelled.wait(TIMEOUT_S)

        bench.runner.on_call = stop_beside_the_waiting_window
        with bench.held():
            futures = [bench.submit(n, options=WORDS, request_id=f"r{n}") for n in (1, 2)]
        assert seen.wait(TIMEOUT_S)
        bench.loop.cancel("r1")
        cancelled.set()
        assert isinstance(error(futures[0]), CancelledError)
        assert result(futures[1]).attention is not None
    assert bench.runner.is_idle
