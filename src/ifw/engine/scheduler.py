"""What the engine does next: encode, detect, prefill, decode, search or align; `waiting` says for whom.

Pure bookkeeping, without torch, tokens or threads.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

from ifw.engine.slots import SlotPool
from ifw.engine.waiting import DEFAULT_MAX_BYPASSES, WaitingQueue
from ifw.errors import ConfigError


class Phase(enum.Enum):
    """What a request in a slot needs next."""

    ENCODE = "encode"
    DETECT = "detect"
    PREFILL = "prefill"
    DECODE = "decode"
    SEARCH = "search"
    ALIGN = "align"


class Seat(NamedTuple):
    """A request and the slot that it occupies."""

    slot: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One turn of the engine: `phase` is carried out for all `seats`, which are in slot order; a search has one."""

    phase: Phase
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class SchedulerPolicy:
    """How encoding and decoding share the device.

    Attributes:
        encode_batch: Windows encoded in one turn.
        max_encode_run: Windows encoded between two decode steps, at most, while anything is in a slot: what a
            running request waits for others.
        steps_between_runs: Decode steps between two such runs, at least.
        max_bypasses: Requests served in a row while a lower priority waits.
        align_batch: Windows aligned in one turn; as many are gathered while others decode.
        max_align_wait: Decode steps that a decoded window waits for others to be aligned with, at most.
    """

    encode_batch: int = 1
    max_encode_run: int = 4
    steps_between_runs: int = 4
    max_bypasses: int = DEFAULT_MAX_BYPASSES
    align_batch: int = 1
    max_align_wait: int = 8

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("encode_batch", "max_encode_run", "steps_between_runs", "align_batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: got {getattr(self, name)!r}, allowed: an integer of at least 1")
        for name in ("max_bypasses", "max_align_wait"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: got {getattr(self, name)!r}, allowed: an integer of at least 0")


def _always(slot: int) -> bool:
    return True


class Scheduler:
    """Decides each turn; the engine carries it out and reports back with `advance` and `finish`.

    A request goes from waiting into a slot (phase encode), through detect (where its language is unknown), prefill,
    decode and align (where word times are wanted), and out. A suspect hypothesis is decoded again in its slot, so it
    never has to be encoded twice.

    Attempts with several hypotheses are phase search. There is room for one at a time: the window that came first has
    it until it moves on, and while others decode, every decode step is followed by one of the search.
    """

    def __init__(self, n_slots: int, policy: SchedulerPolicy) -> None:
        self._policy = policy
        self._slots = SlotPool(n_slots)
        self._waiting = WaitingQueue(policy.max_bypasses)
        self._seats: dict[str, Seat] = {}
        self._phases: dict[Phase, dict[Seat, None]] = {phase: {} for phase in Phase}  # in order of arrival
        self._phase_of: dict[str, Phase] = {}
        self._encode_batch = policy.encode_batch
        self._n_encoded_since_step = 0
        self._n_steps_since_encode = 0
        self._is_search_due = False
        self._n_steps_before_align = 0  # since the oldest window that is to be aligned came to that

    @property
    def n_waiting(self) -> int:
        """Requests without a slot."""
        return len(self._waiting)

    @property
    def n_occupied(self) -> int:
        """Requests in a slot."""
        return len(self._seats)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._seats or request_id in self._waiting

    def add(self, request_id: str, group: Hashable = None, priority: int = 0) -> None:
        """Let a new request wait for a slot."""
        assert request_id not in self._seats, f"request {request_id} is in a slot already"
        self._waiting.push(request_id, group, priority)

    def remove(self, request_id: str) -> Seat | None:
        """Forget a request, wherever it is, and free its slot.

        Returns:
            The seat that became free; None where the request had none or was not known.
        """
        if self._waiting.remove(request_id):
            return None
        seat = self._seats.pop(request_id, None)
        if seat is not None:
            del self._phases[self._phase_of.pop(request_id)][seat]
            self._slots.release(seat.slot)
        return seat

    def advance(self, request_id: str, phase: Phase) -> None:
        """Report that a request in a slot is now in `phase`, after the others that are."""
        seat = self._seats[request_id]
        del self._phases[self._phase_of[request_id]][seat]
        self._phases[phase][seat] = None
        self._phase_of[request_id] = phase

    def limit_encode_batch(self, encode_batch: int) -> None:
        """Encode at most this many windows in one turn from now on."""
        self._encode_batch = max(1, min(self._encode_batch, encode_batch))

    def next_plan(self, is_encoded: Callable[[int], bool] = _always) -> Plan | None:
        """What to do now; None where nothing is to be done.

        Args:
            is_encoded: Whether the device has filled a slot. Windows whose slot is not filled yet let the others
                decode meanwhile.
        """
        if self._phases[Phase.ENCODE]:  # admitted, but its turn did not come to an end
            return self._plan(Phase.ENCODE)
        if self._is_search_due and self._phases[Phase.SEARCH]:
            self._is_search_due = False
            return self._plan(Phase.SEARCH)
        if self._is_time_to_align():
            return self._plan(Phase.ALIGN, self._policy.align_batch)
        n_windows = self._n_may_encode()
        if n_windows:
            return self._admit(n_windows)
        return self._begin(is_encoded) or self._go_on() or self._begin(_always)

    def _begin(self, is_encoded: Callable[[int], bool]) -> Plan | None:
        """The windows that are encoded and have not begun to decode."""
        for phase in (Phase.DETECT, Phase.PREFILL):
            seats = sorted(seat for seat in self._phases[phase] if is_encoded(seat.slot))
            if seats:
                return Plan(phase, tuple(seats))
        return None

    def _go_on(self) -> Plan | None:
        """A step of those that have begun."""
        for phase in (Phase.DECODE, Phase.SEARCH):
            if self._phases[phase]:
                self._n_encoded_since_step = 0
                self._n_steps_since_encode += 1
                self._n_steps_before_align += bool(self._phases[Phase.ALIGN])
                self._is_search_due = phase is Phase.DECODE
                return self._plan(phase)
        return None

    def _plan(self, phase: Phase, n_seats: int | None = None) -> Plan:
        seats = self._phases[phase]
        return Plan(phase, (next(iter(seats)),) if phase is Phase.SEARCH else tuple(sorted(seats)[:n_seats]))

    def _is_time_to_align(self) -> bool:
        """Whether enough windows wait for it, or one has waited long enough, or nothing else goes on in the slots."""
        n_windows = len(self._phases[Phase.ALIGN])
        if not n_windows:
            self._n_steps_before_align = 0
            return False
        is_due = n_windows >= self._policy.align_batch or self._n_steps_before_align >= self._policy.max_align_wait
        return is_due or n_windows == len(self._seats)

    def _n_may_encode(self) -> int:
        """How many windows may be encoded now."""
        n_windows = min(len(self._waiting), self._slots.n_free, self._encode_batch)
        if not self._seats:
            self._n_encoded_since_step = 0
            return n_windows
        if not self._n_encoded_since_step and self._n_steps_since_encode < self._policy.steps_between_runs:
            return 0
        return max(0, min(n_windows, self._policy.max_encode_run - self._n_encoded_since_step))

    def _admit(self, n_windows: int) -> Plan:
        for _ in range(n_windows):
            seat = Seat(self._slots.acquire(), self._waiting.pop())
            self._seats[seat.request_id] = seat
            self._phases[Phase.ENCODE][seat] = None
            self._phase_of[seat.request_id] = Phase.ENCODE
        self._n_encoded_since_step += n_windows
        self._n_steps_since_encode = 0
        return self._plan(Phase.ENCODE)
