"""The loop with a fake runner: what a fault takes with it, and what it does not."""

from __future__ import annotations

import contextlib
import math
import threading
import weakref

import pytest
import torch
from fake_runner import FakeRunner, Script
from turn_bench import (
    GOOD,
    Bench,
    error,
    result,
)

from ifw.config import DecodeOptions
from ifw.errors import EngineClosedError, EngineError, EngineMemoryError


@pytest.mark.parametrize("phase", ["encode", "detect", "prefill"])
def test_a_fault_on_one_window_takes_no_other_with_it(phase):
    with Bench(dict.fromkeys(range(4), Script([GOOD], languages={0: 1.0})), encode_batch=4) as bench:

        def fault(name, numbers):
            if name == phase and 2 in numbers:
                raise ValueError("no such window")

        bench.runner.on_call = fault
        with bench.held():
            futures = [bench.submit(number, language=None) for number in range(4)]
        failure = error(futures[2])
        assert isinstance(failure, EngineError)
        assert "no such window" in str(failure)
        assert isinstance(failure.__cause__, ValueError)
        assert [result(futures[number]).text for number in (0, 1, 3)] == ["Good morning."] * 3
        assert result(bench.submit(1)).text == "Good morning."
        stats = bench.loop.stats()
    assert (stats.n_failed, stats.n_completed, stats.n_occupied) == (1, 4, 0)
    assert bench.runner.is_idle
    assert len(bench.runner.wiped) == 1


def test_a_fault_while_aligning_takes_no_other_window_with_it():
    with Bench({**dict.fromkeys(range(3), GOOD), 3: Script([GOOD], evidence=math.nan)}, align_batch=4) as bench:

        def fault(name, numbers):
            if name == "align" and 2 in numbers:
                raise torch.OutOfMemoryError("too big")

        bench.runner.on_call = fault
        with bench.held():
            futures = [bench.submit(number, options=DecodeOptions(word_timestamps=True)) for number in range(4)]
        assert isinstance(error(futures[2]), EngineMemoryError)
        assert "not finite" in str(error(futures[3]))
        assert all(result(futures[number]).attention is not None for number in (0, 1))
        assert result(bench.submit(2)).attention is None, "the engine goes on"
        stats = bench.loop.stats()
    assert (stats.n_failed, stats.n_completed, stats.n_occupied) == (2, 3, 0)
    assert ("free_memory", []) in bench.runner.calls
    assert bench.runner.is_idle
    assert len(bench.runner.wiped) == 2


def test_out_of_memory_halves_the_batch_and_tries_again():
    with Bench(dict.fromkeys(range(8), GOOD), n_slots=8, encode_batch=4, max_encode_run=8) as bench:
        largest = 2

        def fault(name, numbers):
            if name == "encode" and len(numbers) > largest:
                raise torch.OutOfMemoryError("too big")

        bench.runner.on_call = fault
        with bench.held():
            futures = [bench.submit(number) for number in range(8)]
        assert [result(future).text for future in futures] == ["Good morning."] * 8
    encodes = [len(numbers) for name, numbers in bench.runner.calls if name == "encode"]
    first_failure = next(index for index, size in enumerate(encodes) if size > largest)
    assert max(encodes[first_failure + 1 :]) <= largest, "the smaller batch is kept"
    assert ("free_memory", []) in bench.runner.calls


def test_out_of_memory_on_one_window_fails_that_request_alone():
    with Bench(dict.fromkeys(range(3), GOOD), encode_batch=3) as bench:

        def fault(name, numbers):
            if name == "encode" and 1 in numbers:
                raise torch.OutOfMemoryError("too big")

        bench.runner.on_call = fault
        with bench.held():
            futures = [bench.submit(number) for number in (0, 1, 2)]
        assert isinstance(error(futures[1]), EngineMemoryError)
        assert result(futures[0]).text == result(futures[2]).text == "Good morning."


def test_out_of_memory_in_a_step_fails_its_windows_and_the_engine_goes_on():
    faults = iter([torch.OutOfMemoryError("too big")])
    with Bench({1: GOOD, 2: GOOD}) as bench:

        def fault(name, numbers):
            if name == "step":
                for exception in faults:
                    raise exception

        bench.runner.on_call = fault
        assert isinstance(error(bench.submit(1)), EngineMemoryError)
        assert result(bench.submit(2)).text == "Good morning."
    assert bench.runner.is_idle


def test_a_step_that_fails_ends_everything_and_says_why():
    with Bench({1: GOOD, 2: GOOD, 3: GOOD}, n_slots=1) as bench:

        def fault(name, numbers):
            if name == "step":
                raise RuntimeError("device lost")

        bench.runner.on_call = fault
        assert bench.loop.is_open
        with bench.held():
            futures = [bench.submit(number) for number in (1, 2, 3)]
        for future in futures:
            failure = error(future)
            assert type(failure) is EngineError
            assert "device lost" in str(failure)
        assert not bench.loop.is_open
        with pytest.raises(EngineClosedError, match="device lost"):
            bench.submit(1)
        assert bench.loop.stats().n_failed == 3
        assert bench.loop.stats().n_occupied == bench.loop.stats().n_waiting == 0


def test_numbers_that_are_not_finite_fail_their_window_and_its_slot_is_wiped():
    with Bench({1: [(5, -0.1), (6, math.nan)], 2: GOOD}) as bench:
        bad, good = bench.submit(1), bench.submit(2)
        assert "not finite" not in str(error(good))
        failure = error(bad)
        assert isinstance(failure, EngineError)
        assert "nan" in str(failure)
        assert result(good).text == "Good morning."
    assert len(bench.runner.wiped) == 1


def test_what_a_failed_batch_held_is_free_before_the_next_try():
    """A traceback keeps the local variables of its frames alive: on a device, the tensors that took the memory."""

    class Activations:
        pass

    held: list[weakref.ref[Activations]] = []
    alive_at_retry: list[bool] = []

    def fault(name, numbers):
        if name == "encode":
            alive_at_retry.extend(ref() is not None for ref in held)
            activations = Activations()
            held.append(weakref.ref(activations))
            if 1 in numbers:
                raise torch.OutOfMemoryError("too big")

    with Bench(dict.fromkeys(range(4), GOOD), encode_batch=4) as bench:
        bench.runner.on_call = fault
        with bench.held():
            futures = [bench.submit(number) for number in range(4)]
        failure = error(futures[1])
        assert isinstance(failure, EngineMemoryError)
        assert [result(futures[number]).text for number in (0, 2, 3)] == ["Good morning."] * 3
    assert alive_at_retry
    assert not any(alive_at_retry)
    assert not any(ref() for ref in held)


def test_a_device_that_cannot_be_made_ready_fails_the_engine_and_holds_nobody_up(monkeypatch):
    @contextlib.contextmanager
    def broken(self):
        raise RuntimeError("no device")
        yield

    monkeypatch.setattr(FakeRunner, "session", broken)
    with Bench({1: GOOD}) as bench, pytest.raises(EngineClosedError, match="no device"):
        bench.submit(1)


def test_an_engine_is_there_when_its_device_is_ready(monkeypatch):
    """Until then, whoever made it must not use the device either: it may be recording."""
    seen = []

    @contextlib.contextmanager
    def slow(self):
        threading.Event().wait(0.1)  # long enough for a constructor that does not wait to come back
        seen.append("ready")
        yield
        seen.append("left")

    monkeypatch.setattr(FakeRunner, "session", slow)
    with Bench({1: GOOD}) as bench:
        assert seen == ["ready"]
        assert result(bench.submit(1)).text == "Good morning."
    assert seen == ["ready", "left"]
