"""The loop with a fake runner: attempts with several hypotheses, and what happens to their window and to others."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
import torch
from fake_runner import Script
from turn_bench import GOOD, LOOP, OTHER, TIMEOUT_S, UNLIKELY, Bench, error, result, text_of

from ifw.config import DecodeOptions
from ifw.errors import CancelledError, EngineError, EngineMemoryError

BEAM = DecodeOptions(temperatures=(0.0, 0.4, 0.8), beam_size=3, best_of=2)
WORSE = [(token, -9.0) for token, _ in OTHER]


def test_a_window_that_is_not_suspect_never_searches():
    with Bench({1: GOOD}) as bench:
        assert result(bench.submit(1, options=BEAM)).n_attempts == 1
        stats = bench.loop.stats()
    assert stats.n_search_steps == stats.search_s == 0
    assert not bench.runner.searches


def test_after_greedy_comes_the_beam_then_the_samples():
    with Bench({1: Script([UNLIKELY, WORSE, WORSE, OTHER])}) as bench:
        hypothesis = result(bench.submit(1, options=BEAM))
        stats = bench.loop.stats()
    assert (hypothesis.text, hypothesis.suspect) == (text_of(OTHER), None)
    assert (hypothesis.temperature, hypothesis.n_attempts) == (0.8, 4)
    assert stats.n_encoded == stats.n_prefills == 1
    assert stats.n_retries == 3
    assert stats.n_search_steps > len(OTHER)
    searches = [search for _, search in bench.runner.searches]
    assert [(len(search.starts), search.n_rows, search.n_candidates) for search in searches] == [
        (1, 3, 4),
        (2, 2, 1),
        (2, 2, 1),
    ]
    assert [start.temperature for search in searches for start in search.starts] == [0.0, 0.4, 0.4, 0.8, 0.8]
    keys = [start.key for search in searches for start in search.starts]
    assert len(set(keys)) == len(keys)


def test_of_beam_and_samples_that_are_all_suspect_the_best_is_kept_and_marked():
    with Bench({1: Script([WORSE, UNLIKELY, LOOP, WORSE])}) as bench:
        hypothesis = result(bench.submit(1, options=BEAM))
    assert hypothesis.text == text_of(UNLIKELY)
    assert (hypothesis.suspect, hypothesis.n_attempts, hypothesis.temperature) == ("low_probability", 4, 0.0)


def test_one_sample_a_temperature_goes_on_in_the_slot_behind_a_beam():
    options = DecodeOptions(temperatures=(0.0, 0.5), beam_size=2)
    with Bench({1: Script([UNLIKELY, WORSE, OTHER])}) as bench:
        hypothesis = result(bench.submit(1, options=options))
    assert (hypothesis.text, hypothesis.n_attempts) == (text_of(OTHER), 3)
    assert len(bench.runner.searches) == 1
    assert bench.runner.is_idle


def test_a_ladder_that_begins_above_0_begins_with_samples():
    with Bench({1: Script([WORSE, GOOD])}) as bench:  # what the prefill samples is not used
        hypothesis = result(bench.submit(1, options=DecodeOptions(temperatures=(0.5,), best_of=3, beam_size=3)))
    assert (hypothesis.text, hypothesis.n_attempts, hypothesis.suspect) == ("Good morning.", 1, None)
    assert [search.n_rows for _, search in bench.runner.searches] == [3]


def test_a_beam_in_a_loop_is_given_up_early():
    with Bench({1: Script([UNLIKELY, LOOP, GOOD])}) as bench:
        hypothesis = result(bench.submit(1, options=BEAM))
        stats = bench.loop.stats()
    assert (hypothesis.text, hypothesis.suspect) == ("Good morning.", None)
    assert stats.n_search_steps < 112 + len(GOOD)


@pytest.mark.parametrize("call", ["begin_search", "search"])
@pytest.mark.parametrize("fault", [ValueError("odd"), torch.OutOfMemoryError("too big")])
def test_a_fault_in_a_search_fails_that_window_only(call, fault):
    with Bench({number: Script([UNLIKELY, GOOD]) for number in range(4)}) as bench:

        def raise_at_2(name, numbers):
            if name == call and numbers == [2]:
                raise fault

        bench.runner.on_call = raise_at_2
        with bench.held():
            futures = [bench.submit(number, options=BEAM) for number in range(4)]
        failure = error(futures[2])
        assert type(failure) is (EngineError if isinstance(fault, ValueError) else EngineMemoryError)
        assert [result(futures[number]).text for number in (0, 1, 3)] == ["Good morning."] * 3
        stats = bench.loop.stats()
    assert (stats.n_failed, stats.n_completed, stats.n_occupied) == (1, 3, 0)
    assert (("free_memory", []) in bench.runner.calls) == isinstance(failure, EngineMemoryError)
    assert len(bench.runner.wiped) == 1


def test_cancelling_a_search_ends_it_within_a_step_and_frees_the_workspace():
    with Bench({1: Script([UNLIKELY, LOOP]), 2: Script([UNLIKELY, GOOD])}) as bench:
        searching, go_on = threading.Event(), threading.Event()

        def hold(name, numbers):
            if name == "search" and numbers == [1] and not searching.is_set():
                searching.set()
                assert go_on.wait(TIMEOUT_S)

        bench.runner.on_call = hold
        with bench.held():
            victim = bench.submit(1, options=BEAM, request_id="victim")
            other = bench.submit(2, options=BEAM)
        assert searching.wait(TIMEOUT_S)
        bench.loop.cancel("victim")
        go_on.set()
        assert isinstance(error(victim), CancelledError)
        assert result(other).text == "Good morning."
        assert bench.runner.calls.count(("search", [1])) == 1
    assert bench.runner.is_idle


def test_a_search_and_the_other_windows_take_turns():
    long = [(token, -0.1) for token in range(1000, 1030)] + GOOD[-1:]
    slow = [(token, -5.0) for token, _ in long]
    with Bench({1: Script([UNLIKELY, slow, GOOD]), 2: Script([long])}) as bench:
        with bench.held():
            futures = [bench.submit(number, options=BEAM) for number in (1, 2)]
        for future in futures:
            result(future)
    names = [name for name, _ in bench.runner.calls]
    last_step = len(names) - 1 - names[::-1].index("step")
    shared = [name for name in names[names.index("search") : last_step] if name in {"step", "search"}]
    assert len(shared) > 30
    assert all(left != right for left, right in pairwise(shared))
