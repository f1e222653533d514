"""Does what the scheduler says, as the turns would, without computing anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ifw.engine.scheduler import Phase, Plan, Scheduler


@dataclass
class PlanFollower:
    """Carries out plans without computing anything, and checks that they make sense."""

    scheduler: Scheduler
    n_slots: int
    detects: dict[str, bool] = field(default_factory=dict)
    aligns: dict[str, bool] = field(default_factory=dict)
    steps_left: dict[str, int] = field(default_factory=dict)
    searches: dict[str, list[int]] = field(default_factory=dict)  # steps of each search that follows the first decoding
    searching: str | None = None
    done: dict[str, set[Phase]] = field(default_factory=dict)
    slot_of: dict[str, int] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    encoded_in_order: list[str] = field(default_factory=list)

    def add(self, request_id: str, *, group="g", priority=0, n_steps=1, detect=False, align=False, searches=()):
        self.searches[request_id] = list(searches)
        self.detects[request_id] = detect
        self.aligns[request_id] = align
        self.steps_left[request_id] = n_steps
        self.scheduler.add(request_id, group, priority)

    def cancel(self, request_id: str) -> None:
        if request_id in self.scheduler:
            seat = self.scheduler.remove(request_id)
            assert (seat.slot if seat else None) == self.slot_of.pop(request_id, None)
            self.ended[request_id] += 1
            if self.searching == request_id:
                self.searching = None
        else:
            assert self.scheduler.remove(request_id) is None

    def turn(self) -> Plan | None:
        plan = self.scheduler.next_plan()
        if plan is None:
            assert self.scheduler.n_waiting == self.scheduler.n_occupied == 0, "work is left, but no plan"
            return None
        assert plan.seats
        assert list(plan.seats) == sorted(plan.seats)
        for slot, request_id in plan.seats:
            assert 0 <= slot < self.n_slots
            self._carry_out(plan.phase, slot, request_id)
        assert len(set(self.slot_of.values())) == len(self.slot_of) == self.scheduler.n_occupied
        return plan

    def _carry_out(self, phase: Phase, slot: int, request_id: str) -> None:
        assert self.ended[request_id] == 0, "ended already"
        history = self.done.setdefault(request_id, set())
        if phase is Phase.ENCODE:
            assert request_id not in self.slot_of, "encoded twice"
            assert slot not in self.slot_of.values(), "slot used twice"
            self.slot_of[request_id] = slot
            self.encoded_in_order.append(request_id)
            self.scheduler.advance(request_id, Phase.DETECT if self.detects[request_id] else Phase.PREFILL)
        else:
            assert self.slot_of[request_id] == slot, "moved"
            assert Phase.ENCODE in history
            if phase is Phase.DETECT:
                assert self.detects[request_id]
                self.scheduler.advance(request_id, Phase.PREFILL)
            elif phase is Phase.PREFILL:
                assert (Phase.DETECT in history) == self.detects[request_id]
                self.scheduler.advance(request_id, Phase.DECODE)
            elif phase is Phase.DECODE:
                assert Phase.PREFILL in history
                assert Phase.ALIGN not in history
                self.steps_left[request_id] -= 1
                if self.steps_left[request_id] == 0:
                    self._next_attempt(slot, request_id)
            elif phase is Phase.SEARCH:
                assert self.searching in {None, request_id}, "two in the workspace"
                self.searching = request_id
                self.searches[request_id][0] -= 1
                if self.searches[request_id][0] == 0:
                    self.searching = None
                    del self.searches[request_id][0]
                    self._next_attempt(slot, request_id)
            else:
                assert self.aligns[request_id]
                assert self.steps_left[request_id] == 0
                assert not self.searches[request_id]
                self._end(slot, request_id)
        history.add(phase)

    def _next_attempt(self, slot: int, request_id: str) -> None:
        searches = self.searches[request_id]
        if searches and searches[0] > 0:
            self.scheduler.advance(request_id, Phase.SEARCH)
        elif searches:  # an attempt in the slot again, of one step
            del searches[0]
            self.steps_left[request_id] = 1
            self.scheduler.advance(request_id, Phase.DECODE)
        elif self.aligns[request_id]:
            self.scheduler.advance(request_id, Phase.ALIGN)
        else:
            self._end(slot, request_id)

    def _end(self, slot: int, request_id: str) -> None:
        assert self.scheduler.remove(request_id) == (slot, request_id)
        del self.slot_of[request_id]
        self.ended[request_id] += 1

    def drain(self, limit: int = 10_000) -> int:
        turns = 0
        while self.turn() is not None:
            turns += 1
            assert turns < limit, "does not come to an end"
        return turns
