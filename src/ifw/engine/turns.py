"""Carries out the scheduler's plans, one turn at a time, and hands out results. Used by one thread."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ifw.engine.decoding import WindowDecoding
from ifw.engine.request import (
    DecodeRequest,
    EncodedWindow,
    Hypothesis,
    LanguageDetection,
    Request,
)
from ifw.engine.runner_interface import AlignInput, Prefilled, Runner, Verified, WindowInput
from ifw.engine.scheduler import Phase, Plan, Scheduler, Seat
from ifw.engine.search import Candidates
from ifw.engine.vocabulary import Vocabulary
from ifw.errors import CancelledError, ConfigError, EngineError, EngineMemoryError
from ifw.model.memory import is_out_of_memory

Seats = Sequence[Seat]


@dataclass(slots=True)
class Counters:
    """What has been done; the fields are those of `EngineStats`."""

    n_encoded: int = 0
    n_prefills: int = 0
    n_aligned: int = 0
    n_steps: int = 0
    n_search_steps: int = 0
    n_tokens: int = 0
    n_drafted: int = 0
    n_accepted: int = 0
    n_retries: int = 0
    n_completed: int = 0
    n_failed: int = 0
    n_cancelled: int = 0
    encode_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    search_s: float = 0.0
    align_s: float = 0.0


@dataclass(slots=True, eq=False)
class Entry:
    """A request inside the engine."""

    request: Request
    future: Future[Any]
    encoded: EncodedWindow | None = None
    decoding: WindowDecoding | None = None
    align_input: AlignInput | None = None
    hypothesis: Hypothesis | None = None  # the result, but for its attention


class Turns:
    """The engine's state between two turns, and what one turn does to it.

    A request that fails takes no other with it, except in a decode step: that is one computation for all rows.
    """

    def __init__(self, runner: Runner, vocabulary: Vocabulary, scheduler: Scheduler, counters: Counters) -> None:
        self._runner = runner
        self._vocabulary = vocabulary
        self._scheduler = scheduler
        self._counters = counters
        self._entries: dict[str, Entry] = {}

    def add(self, entry: Entry) -> None:
        """Take a request in."""
        request = entry.request
        if request.request_id in self._entries:
            entry.future.set_exception(
                ConfigError(f"request_id: got {request.request_id!r}, allowed: one that is not in the engine already")
            )
            return
        self._entries[request.request_id] = entry
        self._scheduler.add(request.request_id, request.group, request.priority)

    def cancel(self, request_id: str) -> None:
        """Let a request leave; nothing happens where it has left already."""
        if request_id in self._entries:
            self._counters.n_cancelled += 1
            self._leave(request_id).set_exception(CancelledError("the request was cancelled by its caller"))

    def cancel_group(self, group: Hashable) -> None:
        """Let all requests of a group leave."""
        for request_id in [key for key, entry in self._entries.items() if entry.request.group == group]:
            self.cancel(request_id)

    def fail_all(self, error: EngineError) -> None:
        """Let every request end with `error`; the runner is not used any more."""
        for entry in self._entries.values():
            self._counters.n_failed += 1
            self._scheduler.remove(entry.request.request_id)
            entry.future.set_exception(error)
        self._entries.clear()

    def carry_out(self, plan: Plan) -> None:
        """Do one turn."""
        started, counters = time.perf_counter(), self._counters
        if plan.phase is Phase.ENCODE:
            self._each_on_its_own(plan.seats, self._encode)
            counters.encode_s += time.perf_counter() - started
        elif plan.phase is Phase.DECODE:
            self._step(plan.seats)
            counters.decode_s += time.perf_counter() - started
        elif plan.phase is Phase.SEARCH:
            self._search(plan.seats[0])
            counters.search_s += time.perf_counter() - started
        elif plan.phase is Phase.ALIGN:
            self._each_on_its_own(plan.seats, self._align)
            counters.align_s += time.perf_counter() - started
        else:
            self._each_on_its_own(plan.seats, self._detect if plan.phase is Phase.DETECT else self._prefill)
            counters.prefill_s += time.perf_counter() - started

    def _each_on_its_own(self, seats: Seats, work: Callable[[Seats], None]) -> None:
        """Do `work` for all seats together; where that fails, for ever fewer, until the one at fault is alone."""
        try:
            work(seats)
            return
        except Exception as error:  # whatever one window provokes must not end the others
            failure = _as_engine_error(error)
        if len(seats) == 1:
            self._fail(seats[0], failure)
            return
        half = len(seats) // 2
        if isinstance(failure, EngineMemoryError):
            self._runner.free_memory()
            if work == self._encode:
                self._scheduler.limit_encode_batch(half)
        self._each_on_its_own(seats[:half], work)
        self._each_on_its_own(seats[half:], work)

    def _encode(self, seats: Seats) -> None:
        entries = [self._entries[seat.request_id] for seat in seats]
        windows = [
            WindowInput(seat.slot, entry.request.samples, getattr(entry.request, "encoded", None))
            for seat, entry in zip(seats, entries, strict=True)
        ]
        encoded = self._runner.encode(windows)
        self._counters.n_encoded += sum(window.encoded is None for window in windows)
        for seat, entry, window in zip(seats, entries, encoded, strict=True):
            if self._vocabulary.needs_detection(entry.request):
                entry.encoded = window
                self._scheduler.advance(seat.request_id, Phase.DETECT)
            else:
                self._begin(seat, entry, None)

    def _detect(self, seats: Seats) -> None:
        detected = self._runner.detect([seat.slot for seat in seats])
        for seat, row in zip(seats, detected, strict=True):
            entry = self._entries[seat.request_id]
            assert entry.encoded is not None
            try:
                detection = self._vocabulary.detection(row, entry.encoded)
                if isinstance(entry.request, DecodeRequest):
                    self._begin(seat, entry, detection)
                    continue
            except Exception as error:  # whatever one window provokes must not end the others
                self._fail(seat, _as_engine_error(error))
                continue
            self._complete(seat, detection)

    def _begin(self, seat: Seat, entry: Entry, detection: LanguageDetection | None) -> None:
        assert isinstance(entry.request, DecodeRequest)
        entry.encoded = None
        entry.decoding = self._vocabulary.begin(entry.request, detection)
        self._scheduler.advance(seat.request_id, Phase.PREFILL)

    def _prefill(self, seats: Seats) -> None:
        decodings = [self._decoding(seat) for seat in seats]
        inputs = [
            self._vocabulary.prefill_input(seat.slot, decoding) for seat, decoding in zip(seats, decodings, strict=True)
        ]
        prefilled = self._runner.prefill(inputs)
        self._counters.n_prefills += len(seats)
        for seat, decoding, row in zip(seats, decodings, prefilled, strict=True):
            self._scheduler.advance(seat.request_id, Phase.DECODE)
            if row is not None:
                self._take_first(seat, decoding, row)

    def _step(self, seats: Seats) -> None:
        try:
            sampled = self._runner.step([seat.slot for seat in seats])
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            for seat in seats:
                self._fail(seat, _as_engine_error(error))
            self._runner.free_memory()
            return
        self._counters.n_steps += 1
        for seat, row in zip(seats, sampled, strict=True):
            if isinstance(row, Prefilled):
                self._take_first(seat, self._decoding(seat), row)
            elif isinstance(row, Verified):
                self._take_several(seat, self._decoding(seat), row)
            elif row is not None:
                self._take(seat, self._decoding(seat), [[row]])

    def _search(self, seat: Seat) -> None:
        """One step for the hypotheses of one window; what goes wrong in it concerns that window alone."""
        decoding = self._decoding(seat)
        try:
            if not decoding.moves:
                self._runner.begin_search(self._vocabulary.search_input(seat.slot, decoding))
            candidates = self._runner.search(decoding.moves)
        except Exception as error:
            failure = _as_engine_error(error)
            self._fail(seat, failure)
            if isinstance(failure, EngineMemoryError):
                self._runner.free_memory()
            return
        self._counters.n_search_steps += 1
        self._take(seat, decoding, candidates)

    def _take_first(self, seat: Seat, decoding: WindowDecoding, row: Prefilled) -> None:
        """The first attempt goes on from the token behind the prefix, or it has several hypotheses, which all do."""
        decoding.no_speech_prob = row.no_speech_prob
        if decoding.attempt_options.is_single:
            self._take(seat, decoding, [[row.sampled]])
        else:
            self._start_again(seat, decoding)

    def _take_several(self, seat: Seat, decoding: WindowDecoding, row: Verified) -> None:
        """Add tokens in their order; those behind the last one of an attempt belong to nothing."""
        self._counters.n_drafted += row.n_drafted
        for index, sampled in enumerate(row.sampled, 1):
            self._counters.n_accepted += index < len(row.sampled)
            if not self._take(seat, decoding, [[sampled]]):
                return

    def _take(self, seat: Seat, decoding: WindowDecoding, candidates: Candidates) -> bool:
        """Add a token to each hypothesis of a window; end it, or let it start again, where those were the last.

        Returns:
            Whether the attempt goes on.
        """
        self._counters.n_tokens += len(candidates)
        try:
            if not decoding.advance(candidates):
                return True
            hypothesis = decoding.conclude()
            align_input = None
            if hypothesis is not None:
                align_input = self._vocabulary.align_input(seat.slot, decoding.request, hypothesis)
        except Exception as error:  # whatever one window provokes must not end the others
            self._fail(seat, _as_engine_error(error))
            return False
        if hypothesis is None:
            self._counters.n_retries += 1
            self._start_again(seat, decoding)
        elif align_input is None:
            self._complete(seat, hypothesis)
        else:
            entry = self._entries[seat.request_id]
            entry.align_input, entry.hypothesis = align_input, hypothesis
            self._runner.stop(seat.slot)
            self._scheduler.advance(seat.request_id, Phase.ALIGN)
        return False

    def _start_again(self, seat: Seat, decoding: WindowDecoding) -> None:
        """Begin an attempt behind the prefix, which is computed already."""
        try:
            start = self._vocabulary.row_starts(decoding)[0]
            if decoding.attempt_options.is_single:
                self._runner.restart(seat.slot, start)
            else:
                self._runner.park(seat.slot, start)
        except Exception as error:  # whatever one window provokes must not end the others
            self._fail(seat, _as_engine_error(error))
            return
        self._scheduler.advance(seat.request_id, Phase.DECODE if decoding.attempt_options.is_single else Phase.SEARCH)

    def _align(self, seats: Seats) -> None:
        entries = [self._entries[seat.request_id] for seat in seats]
        attentions = self._runner.align([entry.align_input for entry in entries if entry.align_input is not None])
        self._counters.n_aligned += len(seats)
        for seat, entry, attention in zip(seats, entries, attentions, strict=True):
            assert entry.hypothesis is not None
            if np.isfinite(attention.matrix).all():
                self._complete(seat, replace(entry.hypothesis, attention=attention))
            else:
                self._fail(
                    seat,
                    EngineError(
                        "the model gave attention that is not finite: its weights are damaged, or the compute type "
                        "does not suit it; try float32"
                    ),
                )

    def _decoding(self, seat: Seat) -> WindowDecoding:
        decoding = self._entries[seat.request_id].decoding
        assert decoding is not None
        return decoding

    def _complete(self, seat: Seat, result: object) -> None:
        self._counters.n_completed += 1
        self._leave(seat.request_id).set_result(result)

    def _fail(self, seat: Seat, error: EngineError) -> None:
        self._counters.n_failed += 1
        self._leave(seat.request_id, wipe=True).set_exception(error)

    def _leave(self, request_id: str, *, wipe: bool = False) -> Future[Any]:
        """Forget a request and free its slot."""
        entry = self._entries.pop(request_id)
        seat = self._scheduler.remove(request_id)
        if seat is not None:
            self._runner.release(seat.slot, wipe=wipe)
        return entry.future


def _as_engine_error(error: Exception) -> EngineError:
    """An error of ours as it is, any other one as an `EngineError` that names it.

    The frames that it came through are emptied: they hold tensors, and the memory may be needed at once.
    """
    traceback.clear_frames(error.__traceback__)
    if isinstance(error, EngineError):
        return error
    if is_out_of_memory(error):
        wrapped: EngineError = EngineMemoryError(f"the device is out of memory, even with the smallest batch: {error}")
    else:
        wrapped = EngineError(f"decoding a window failed: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
