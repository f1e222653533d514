"""The loop with a fake runner: retries, cancellation, closing. Nothing is computed."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch
from fake_runner import FakeRunner, Script
from hypothesis import given, settings
from hypothesis import strategies as st
from turn_bench import (
    CHECKPOINT,
    GOOD,
    LANGUAGES,
    LOOP,
    OTHER,
    TIMEOUT_S,
    UNLIKELY,
    VOCABULARY,
    Bench,
    error,
    result,
    text_of,
)

from ifw.config import DecodeOptions
from ifw.engine.loop import EngineLoop
from ifw.engine.request import DecodeRequest, DetectRequest
from ifw.engine.scheduler import Scheduler, SchedulerPolicy
from ifw.engine.turns import Counters, Entry, Turns
from ifw.errors import CancelledError, ConfigError, EngineClosedError, EngineError


def test_a_window_becomes_its_text():
    with Bench({1: Script([GOOD], no_speech_prob=0.25)}) as bench:
        hypothesis = result(bench.submit(1))
        stats = bench.loop.stats()
    assert hypothesis.text == "Good morning."
    assert hypothesis.token_ids == tuple(token for token, _ in GOOD[:-1])
    assert hypothesis.avg_logprob == pytest.approx(-0.1)
    assert hypothesis.language == "en"
    assert hypothesis.no_speech_prob == 0.25
    assert (hypothesis.temperature, hypothesis.n_attempts) == (0.0, 1)
    assert hypothesis.suspect is None
    assert not hypothesis.is_silent
    assert (stats.n_encoded, stats.n_prefills, stats.n_tokens, stats.n_completed) == (1, 1, len(GOOD), 1)
    assert bench.runner.is_idle


def test_a_suspect_window_is_decoded_again_in_its_slot_at_the_next_temperature():
    with Bench({1: Script([UNLIKELY, LOOP, OTHER])}) as bench:
        hypothesis = result(bench.submit(1))
        stats = bench.loop.stats()
    assert hypothesis.text == text_of(OTHER)
    assert (hypothesis.temperature, hypothesis.n_attempts, hypothesis.suspect) == (0.4, 3, None)
    assert stats.n_encoded == stats.n_prefills == 1
    assert stats.n_retries == 2
    starts = bench.runner.starts[1]
    assert [start.temperature for start in starts] == [0.0, 0.2, 0.4]
    assert len({start.key for start in starts}) == 3


def test_a_loop_is_given_up_early_but_not_in_the_last_attempt():
    with Bench({1: Script([LOOP, LOOP])}) as bench:
        hypothesis = result(bench.submit(1, options=DecodeOptions(temperatures=(0.0, 0.5))))
        stats = bench.loop.stats()
    assert hypothesis.suspect
    assert hypothesis.n_attempts == 2
    assert len(LOOP) + 64 <= stats.n_tokens < len(LOOP) + 112


def test_of_suspect_attempts_the_likeliest_is_kept():
    worse = [(token, -9.0) for token, _ in OTHER]
    with Bench({1: Script([worse, UNLIKELY, worse])}) as bench:
        hypothesis = result(bench.submit(1, options=DecodeOptions(temperatures=(0.0, 0.5, 1.0))))
    assert hypothesis.suspect
    assert hypothesis.text == "Good morning."
    assert hypothesis.temperature == 0.5
    assert hypothesis.n_attempts == 3


def test_a_silent_window_has_no_text_and_is_not_tried_again():
    with Bench({1: Script([UNLIKELY], no_speech_prob=0.9)}) as bench:
        hypothesis = result(bench.submit(1))
    assert hypothesis.is_silent
    assert hypothesis.text == ""
    assert hypothesis.n_attempts == 1


def test_a_stock_phrase_where_nobody_speaks_is_kept_and_marked_and_not_tried_again():
    phrase = [(token, -0.7) for token, _ in GOOD]
    with Bench({1: Script([phrase], no_speech_prob=0.9)}) as bench:
        hypothesis = result(bench.submit(1))
    assert (hypothesis.text, hypothesis.suspect, hypothesis.n_attempts) == ("Good morning.", "no_speech", 1)
    assert not hypothesis.is_silent


def test_tokens_end_at_their_limit_or_at_the_end_of_the_context():
    endless = [(token, -0.1) for token in CHECKPOINT.tokenizer.encode(" one two three four five six seven" * 60)]
    options = DecodeOptions(temperatures=(0.0,))
    with Bench({1: endless, 2: endless, 3: endless}) as bench:
        short = bench.submit(1, options=DecodeOptions(temperatures=(0.0,), max_tokens=7))
        usual = bench.submit(2, options=options)
        prompted = bench.submit(3, options=DecodeOptions(temperatures=(0.0,), max_tokens=447), prompt_ids=(5,) * 300)
        assert [len(result(future).token_ids) for future in (short, usual)] == [7, 224]
        n_prefix = 1 + 223 + 3
        assert len(result(prompted).token_ids) == 448 - n_prefix + 1
    assert bench.runner.prefills[3].prefix.sot_index == 224


def test_language_is_detected_from_the_window_and_the_encoding_is_kept():
    german = Script([GOOD], languages={LANGUAGES.index("de"): 0.75, LANGUAGES.index("en"): 0.25}, no_speech_prob=0.125)
    with Bench({1: german}) as bench:
        hypothesis = result(bench.submit(1, language=None))
        assert hypothesis.language == "de"
        detection = result(bench.loop.submit(DetectRequest(samples=bench.runner.samples(1))))
        assert (detection.language, detection.probability, detection.no_speech_prob) == ("de", 0.75, 0.125)
        assert detection.probabilities["en"] == 0.25
        assert bench.loop.stats().n_encoded == 2
        again = bench.loop.submit(DecodeRequest(encoded=detection.encoded, language=detection.language))
        assert result(again).language == "de"
        assert bench.loop.stats().n_encoded == 2
    prefix = bench.runner.prefills[1].prefix.token_ids
    assert prefix[1] == CHECKPOINT.tokenizer.language_ids["de"]


def test_each_window_gets_its_own_encoding_back():
    with Bench(dict.fromkeys(range(4), Script([GOOD], languages={0: 1.0})), encode_batch=4) as bench:
        with bench.held():
            futures = [bench.loop.submit(DetectRequest(samples=bench.runner.samples(number))) for number in range(4)]
        assert [result(future).encoded.audio[0, 0].item() for future in futures] == [0, 1, 2, 3]
    assert max(len(numbers) for _, numbers in bench.runner.calls) > 1


def test_cancelled_requests_leave_wherever_they_are():
    with Bench(dict.fromkeys(range(4), GOOD), n_slots=1, max_encode_run=1) as bench:
        stepping, go_on = threading.Event(), threading.Event()

        def hold(name, numbers):
            if name == "step" and not stepping.is_set():
                stepping.set()
                assert go_on.wait(TIMEOUT_S)

        bench.runner.on_call = hold
        running = bench.submit(0, request_id="running")
        waiting = bench.submit(1, request_id="waiting")
        grouped = bench.submit(2, group="file")
        kept = bench.submit(3)
        assert stepping.wait(TIMEOUT_S)
        for request_id in ("running", "waiting", "unknown"):
            bench.loop.cancel(request_id)
        bench.loop.cancel_group("file")
        go_on.set()
        for future in (running, waiting, grouped):
            assert isinstance(error(future), CancelledError)
        assert result(kept).text == "Good morning."
        bench.loop.cancel("running")
        stats = bench.loop.stats()
    assert (stats.n_cancelled, stats.n_completed, stats.n_failed) == (3, 1, 0)
    assert [numbers for name, numbers in bench.runner.calls if name == "encode"] == [[0], [3]]


def test_closing_ends_what_is_left_and_can_be_repeated():
    bench = Bench(dict.fromkeys(range(3), GOOD), n_slots=1)
    stepping, go_on = threading.Event(), threading.Event()

    def hold(name, numbers):
        if name == "step":
            stepping.set()
            assert go_on.wait(TIMEOUT_S)

    bench.runner.on_call = hold
    futures = [bench.submit(number) for number in range(3)]
    assert stepping.wait(TIMEOUT_S)
    closers = [threading.Thread(target=bench.loop.close) for _ in range(3)]
    for closer in closers:
        closer.start()
    go_on.set()
    for closer in closers:
        closer.join(TIMEOUT_S)
        assert not closer.is_alive()
    for future in futures:
        assert isinstance(error(future), EngineClosedError)
    with pytest.raises(EngineClosedError):
        bench.submit(1)
    bench.loop.cancel("anything")
    bench.loop.close()


def test_a_callback_may_close_the_engine_that_calls_it():
    with Bench({1: GOOD, 2: GOOD}, n_slots=1) as bench:
        with bench.held():
            first, second = bench.submit(1), bench.submit(2)
            first.add_done_callback(lambda _: bench.loop.close())
        assert result(first).text == "Good morning."
        assert isinstance(error(second), EngineClosedError)


def test_the_runner_is_used_by_one_thread_and_let_go_at_the_end():
    def run() -> tuple[EngineLoop, weakref.ref[FakeRunner]]:
        bench = Bench({1: GOOD})
        with ThreadPoolExecutor(4) as pool:
            futures = list(pool.map(lambda _: bench.submit(1), range(8)))
        assert [result(future).text for future in futures] == ["Good morning."] * 8
        assert len(bench.runner.threads) == 1
        assert threading.get_ident() not in bench.runner.threads
        bench.loop.close()
        return bench.loop, weakref.ref(bench.runner)

    loop, runner = run()
    gc.collect()
    assert runner() is None
    assert loop.stats().n_completed == 8


@pytest.mark.parametrize("options", [DecodeOptions(), DecodeOptions(beam_size=2), DecodeOptions(temperatures=(0.0,))])
def test_a_window_leaves_memory_with_its_result_and_not_at_the_next_garbage_collection(options):
    with Bench({1: Script([UNLIKELY, GOOD])}) as bench:
        samples = bench.runner.samples(1)
        last_reference = weakref.ref(samples)
        request = DecodeRequest(samples=samples, language="en", options=options)
        gc.disable()  # a circle of references would keep it: the windows of a long file piled up like that
        try:
            future = bench.loop.submit(request)
            del samples, request
            assert result(future).text == "Good morning."
            result(bench.submit(1))  # by then the thread has let go of the plan of the first
            assert last_reference() is None
        finally:
            gc.enable()


def test_a_request_id_is_taken_once():
    with Bench({1: GOOD}) as bench:
        with bench.held():
            first, second = bench.submit(1, request_id="same"), bench.submit(1, request_id="same")
        with pytest.raises(ConfigError, match="request_id"):
            result(second)
        assert result(first).text == "Good morning."
        assert result(bench.submit(1, request_id="same")).text == "Good morning."


SCRIPTS = {
    0: Script([GOOD], languages={0: 1.0}),
    1: Script([UNLIKELY, GOOD], languages={1: 1.0}),
    2: Script([UNLIKELY], languages={2: 1.0}),
    3: Script([LOOP, OTHER], languages={0: 1.0}),
    4: Script([[(5, math.nan)]], languages={0: 1.0}),
    5: Script([OTHER], languages={0: math.nan}),
}
EVENT = st.one_of(
    st.tuples(
        st.just("decode"),
        st.integers(0, 5),
        st.booleans(),
        st.integers(0, 2),
        st.integers(0, 1),
        st.tuples(st.sampled_from([None, 2, 5]), st.integers(1, 3)),
    ),
    st.tuples(st.just("detect"), st.integers(0, 5)),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("cancel_group"), st.integers(0, 2)),
    st.tuples(st.just("advance"), st.integers(1, 30)),
)


class TurnHarness:
    """Turns without a thread, driven by events."""

    def __init__(self, n_slots: int, encode_batch: int, faults: set[int]) -> None:
        self.runner = FakeRunner(SCRIPTS, n_slots, len(LANGUAGES))
        self.runner.on_call = self.fault
        self.faults = faults
        self.scheduler = Scheduler(n_slots, SchedulerPolicy(encode_batch=encode_batch))
        self.turns = Turns(self.runner, VOCABULARY, self.scheduler, Counters())
        self.entries: list[Entry] = []

    def fault(self, name: str, numbers: list[int]) -> None:
        n_calls = len(self.runner.calls)
        if n_calls in self.faults and name in {"encode", "detect", "prefill", "begin_search", "search"}:
            raise torch.OutOfMemoryError("too big") if n_calls % 2 else ValueError("odd")

    def decode(self, number: int, detects: bool, group: int, priority: int, several: tuple[int | None, int]) -> None:
        beam_size, best_of = several
        self.add(
            DecodeRequest(
                samples=self.runner.samples(number),
                language=None if detects else "en",
                group=group,
                priority=priority,
                request_id=f"r{len(self.entries)}",
                options=DecodeOptions(temperatures=(0.0, 0.5), beam_size=beam_size, best_of=best_of),
            )
        )

    def detect(self, number: int) -> None:
        self.add(DetectRequest(samples=self.runner.samples(number), request_id=f"r{len(self.entries)}"))

    def add(self, request) -> None:
        self.entries.append(Entry(request, Future()))
        self.turns.add(self.entries[-1])

    def cancel(self, index: int) -> None:
        self.turns.cancel(f"r{index}")

    def cancel_group(self, group: int) -> None:
        self.turns.cancel_group(group)

    def advance(self, n_turns: int) -> bool:
        """Whether there was something to do until the end."""
        for _ in range(n_turns):
            plan = self.scheduler.next_plan()
            if plan is None:
                return False
            self.turns.carry_out(plan)
        return True


@given(st.lists(EVENT, max_size=25), st.integers(1, 4), st.integers(1, 3), st.sets(st.integers(0, 40), max_size=4))
@settings(max_examples=150, deadline=None)
def test_every_future_is_resolved_once_and_every_slot_is_freed(events, n_slots, encode_batch, faults):
    harness = TurnHarness(n_slots, encode_batch, faults)
    for name, *arguments in events:
        getattr(harness, name)(*arguments)
    assert not harness.advance(20_000), "does not come to an end"
    assert harness.runner.is_idle
    assert harness.scheduler.n_occupied == harness.scheduler.n_waiting == 0
    for entry in harness.entries:
        failure = entry.future.exception(0)
        number = int(entry.request.samples[0])
        if failure is not None:
            assert isinstance(failure, EngineError | CancelledError)
        elif isinstance(entry.request, DecodeRequest):
            expected = {0: GOOD, 1: GOOD, 2: UNLIKELY, 3: OTHER, 5: OTHER}[number]
            assert entry.future.result(0).text == text_of(expected)
            assert (entry.future.result(0).suspect is not None) == (number == 2)
