"""The scheduler under every order of events: slots, turns, fairness, ends. Torch is not involved."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_follower import PlanFollower

from ifw.engine.scheduler import Phase, Plan, Scheduler, SchedulerPolicy, Seat
from ifw.engine.slots import SlotPool
from ifw.engine.waiting import WaitingQueue
from ifw.errors import ConfigError

POLICIES = st.builds(
    SchedulerPolicy,
    encode_batch=st.integers(1, 4),
    max_encode_run=st.integers(1, 6),
    steps_between_runs=st.integers(1, 4),
    max_bypasses=st.integers(0, 4),
    align_batch=st.integers(1, 4),
    max_align_wait=st.integers(0, 4),
)


def runner(n_slots: int, **policy: int) -> PlanFollower:
    return PlanFollower(Scheduler(n_slots, SchedulerPolicy(**policy)), n_slots)


SEARCHES = st.lists(st.integers(0, 4), max_size=3)
ADD = st.tuples(
    st.just("add"), st.integers(0, 3), st.integers(-1, 1), st.integers(1, 12), st.booleans(), st.booleans(), SEARCHES
)  # group, priority, steps, detect, align, steps of searches (0: in the slot again)
CANCEL = st.tuples(st.just("cancel"), st.integers(0, 60))
TURN = st.tuples(st.just("turn"))


@given(st.integers(1, 5), POLICIES, st.lists(st.one_of(ADD, CANCEL, TURN, TURN), max_size=80))
@settings(max_examples=300, deadline=None)
def test_every_request_ends_exactly_once_and_no_slot_is_shared_or_lost(n_slots, policy, events):
    fake = PlanFollower(Scheduler(n_slots, policy), n_slots)
    for event in events:
        if event[0] == "add":
            _, group, priority, n_steps, detect, align, searches = event
            fake.add(
                f"r{len(fake.detects)}",
                group=f"g{group}",
                priority=priority,
                n_steps=n_steps,
                detect=detect,
                align=align,
                searches=searches,
            )
        elif event[0] == "cancel":
            fake.cancel(f"r{event[1]}")
        else:
            fake.turn()
    fake.drain()
    assert fake.ended == Counter(list(fake.detects))
    assert fake.slot_of == {}
    # every slot is there again: n_slots long requests fill them all
    for index in range(n_slots):
        fake.add(f"last{index}", n_steps=1000)
    while len(fake.slot_of) < n_slots:
        assert fake.turn() is not None
    assert sorted(fake.slot_of.values()) == list(range(n_slots))


@given(POLICIES, st.integers(2, 6), st.data())
@settings(max_examples=100, deadline=None)
def test_a_running_request_waits_for_a_bounded_number_of_windows(policy, n_slots, data):
    fake = PlanFollower(Scheduler(n_slots, policy), n_slots)
    fake.add("watched", n_steps=40)
    assert [fake.turn().phase for _ in range(3)] == [Phase.ENCODE, Phase.PREFILL, Phase.DECODE]
    n_between, n_steps_between = 0, 1
    for index in range(400):
        if "watched" not in fake.slot_of:
            break
        if data.draw(st.booleans()):
            fake.add(f"r{index}", n_steps=data.draw(st.integers(1, 3)))
        plan = fake.turn()
        if plan.phase is Phase.ENCODE:
            assert n_between or n_steps_between >= policy.steps_between_runs
            n_between += len(plan.seats)
            n_steps_between = 0
        elif plan.phase is Phase.DECODE:
            n_between = 0
            n_steps_between += 1
        assert n_between <= policy.max_encode_run
    assert "watched" not in fake.slot_of


@given(POLICIES, st.integers(2, 6), st.data())
@settings(max_examples=100, deadline=None)
def test_searches_and_steps_take_turns(policy, n_slots, data):
    fake = PlanFollower(Scheduler(n_slots, policy), n_slots)
    fake.add("decoding", n_steps=60)
    fake.add("searching", searches=[60])
    n_steps = n_searches = n_encoded = 0
    for index in range(400):
        if data.draw(st.booleans()):
            fake.add(f"r{index}", n_steps=data.draw(st.integers(1, 3)), searches=data.draw(SEARCHES))
        plan = fake.turn()
        if "decoding" in fake.slot_of and "searching" in fake.slot_of:
            n_steps += plan.phase is Phase.DECODE
            n_searches += plan.phase is Phase.SEARCH
            n_encoded += len(plan.seats) if plan.phase is Phase.ENCODE else 0
            if fake.steps_left["searching"] == 0:
                assert n_steps <= 1, "a search waits for more than one step"
                assert n_searches <= 1
                assert n_encoded <= policy.max_encode_run
            else:
                n_steps = n_encoded = 0
            if plan.phase in {Phase.DECODE, Phase.SEARCH}:
                n_encoded = 0
            if plan.phase is Phase.SEARCH:
                n_steps = 0
            if plan.phase is Phase.DECODE:
                n_searches = 0
        elif "decoding" not in fake.slot_of and "searching" not in fake.slot_of and index > 200:
            return
    fake.drain()


def test_windows_have_the_workspace_in_the_order_in_which_they_came():
    fake = runner(3, max_encode_run=3)
    for index, searches in enumerate([[2, 2], [3], [1]]):
        fake.add(f"r{index}", searches=searches)
    fake.add("waits")
    order = []
    while (plan := fake.turn()) is not None:
        if plan.phase is Phase.SEARCH:
            order.append(plan.seats[0].request_id)
    assert order == ["r0"] * 2 + ["r1"] * 3 + ["r2"] + ["r0"] * 2


def test_waiting_windows_are_encoded_while_only_a_search_runs():
    fake = runner(2, max_encode_run=1, steps_between_runs=2)
    fake.add("searching", searches=[100])
    while not fake.searching:
        fake.turn()
    fake.add("late", n_steps=1)
    phases = [fake.turn().phase for _ in range(8)]
    assert phases.count(Phase.ENCODE) == 1


@given(st.integers(1, 4), st.integers(1, 30), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_a_short_request_is_not_held_up_by_a_long_file(n_slots, n_long, n_before):
    fake = runner(n_slots, max_encode_run=1, steps_between_runs=1)
    for index in range(n_long):
        fake.add(f"long{index}", group="long", n_steps=3)
    for _ in range(n_before):
        fake.turn()
    n_served = len(fake.encoded_in_order)
    fake.add("short", group="short", n_steps=1)
    fake.drain()
    assert fake.encoded_in_order.index("short") - n_served <= 1


@given(st.integers(0, 5), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_low_priority_is_served_under_a_stream_of_high_priority(max_bypasses, n_older):
    fake = runner(1, max_bypasses=max_bypasses)
    for index in range(n_older):
        fake.add(f"older{index}", group=f"g{index % 3}", priority=index % 2)
    fake.add("low", priority=0)
    bound = (max_bypasses + 1) * (n_older + 1)
    for index in range(bound + 5):
        fake.add(f"high{index}", group=f"h{index}", priority=5)
        fake.add(f"higher{index}", group=f"h{index}", priority=6)
        while "low" not in fake.encoded_in_order and fake.turn().phase is not Phase.DECODE:
            pass
        if "low" in fake.encoded_in_order:
            break
    assert fake.encoded_in_order.index("low") < 2 * bound + 2
    assert "low" in fake.encoded_in_order


def test_priority_then_turns_then_age():
    queue = WaitingQueue()
    for name, group, priority in [
        ("a1", "a", 0), ("a2", "a", 0), ("a3", "a", 0), ("b1", "b", 0), ("c1", "c", 1), ("b2", "b", 0), ("a4", "a", 0),
    ]:  # fmt: skip
        queue.push(name, group, priority)
    assert queue.remove("a3")
    assert not queue.remove("a3")
    assert [queue.pop() for _ in range(len(queue))] == ["c1", "a1", "b1", "a2", "b2", "a4"]


def test_after_the_bypasses_the_oldest_of_all_lower_priorities_comes():
    queue = WaitingQueue(max_bypasses=2)
    queue.push("low-old", "a", 0)
    queue.push("mid-new", "b", 1)
    for index in range(5):
        queue.push(f"high{index}", "c", 2)
    assert [queue.pop() for _ in range(7)] == ["high0", "high1", "low-old", "high2", "high3", "mid-new", "high4"]


def test_slots_are_filled_from_the_bottom():
    pool = SlotPool(4)
    assert [pool.acquire() for _ in range(4)] == [0, 1, 2, 3]
    pool.release(2)
    pool.release(0)
    assert pool.n_free == 2
    assert pool.occupied == {1, 3}
    assert pool.acquire() == 0
    pool.release(3)
    assert [pool.acquire(), pool.acquire()] == [2, 3]
    with pytest.raises(AssertionError):
        pool.acquire()
    pool.release(1)
    with pytest.raises(AssertionError):
        pool.release(1)


def test_cold_start_fills_slots_in_runs_and_then_steps():
    fake = runner(8, encode_batch=2, max_encode_run=4, steps_between_runs=2)
    for index in range(8):
        fake.add(f"r{index}", n_steps=100)
    phases = [fake.turn().phase.value for _ in range(11)]
    assert phases == ["encode", "encode", "prefill", "decode", "decode"] * 2 + ["decode"]


def test_a_smaller_encode_batch_is_kept():
    fake = runner(8, encode_batch=8, max_encode_run=8)
    fake.scheduler.limit_encode_batch(2)
    fake.scheduler.limit_encode_batch(5)
    for index in range(8):
        fake.add(f"r{index}", n_steps=100)
    assert len(fake.turn().seats) == 2


def phases_after_cold_start(fake, n_turns):
    return [(plan.phase.value, len(plan.seats)) for plan in (fake.turn() for _ in range(n_turns)) if plan]


def test_windows_gather_to_be_aligned_while_others_decode():
    fake = runner(4, encode_batch=4, align_batch=2, max_align_wait=100)
    for index, n_steps in enumerate([1, 3, 5, 9]):
        fake.add(f"r{index}", n_steps=n_steps, align=True)
    assert phases_after_cold_start(fake, 5)[2:] == [("decode", 4), ("decode", 3), ("decode", 3)]
    assert phases_after_cold_start(fake, 1) == [("align", 2)], "two wait"
    phases = phases_after_cold_start(fake, 8)
    assert phases == [("decode", 2), ("decode", 2), *[("decode", 1)] * 4, ("align", 2)]
    assert fake.ended == Counter([f"r{index}" for index in range(4)])


def test_a_window_is_aligned_at_once_where_nothing_else_goes_on():
    fake = runner(4, encode_batch=4, align_batch=4)
    fake.add("only", align=True)
    assert [phase for phase, _ in phases_after_cold_start(fake, 9)] == ["encode", "prefill", "decode", "align"]


@pytest.mark.parametrize("max_align_wait", [0, 3])
def test_a_window_waits_for_company_for_a_bounded_number_of_steps(max_align_wait):
    fake = runner(4, encode_batch=4, align_batch=4, max_align_wait=max_align_wait)
    fake.add("long", n_steps=100)
    fake.add("short", n_steps=1, align=True)
    phases = [phase for phase, _ in phases_after_cold_start(fake, 4 + max_align_wait)]
    assert phases == ["encode", "prefill", "decode", *["decode"] * max_align_wait, "align"]
    fake.add("next", n_steps=1, align=True)
    later = [phase for phase, _ in phases_after_cold_start(fake, 30)]
    between = later[later.index("prefill") : later.index("align")]
    assert between.count("decode") == 1 + max_align_wait, "the wait begins anew"


def test_no_more_are_aligned_in_one_turn_than_the_policy_says():
    fake = runner(6, encode_batch=6, max_encode_run=6, align_batch=4)
    for index in range(6):
        fake.add(f"r{index}", align=True)
    assert phases_after_cold_start(fake, 9)[3:] == [("align", 4), ("align", 2)]


@pytest.mark.parametrize("name", ["encode_batch", "align_batch", "max_encode_run", "steps_between_runs"])
def test_a_policy_without_progress_is_refused(name):
    with pytest.raises(ConfigError, match=name):
        SchedulerPolicy(**{name: 0})
    for least_zero in ("max_bypasses", "max_align_wait"):
        with pytest.raises(ConfigError, match=least_zero):
            SchedulerPolicy(**{least_zero: -1})


def test_scheduler_and_requests_need_no_torch():
    code = (
        "import sys, ifw.engine.scheduler, ifw.engine.request, ifw.engine.segments; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_windows_that_the_device_still_encodes_let_the_others_decode():
    scheduler = Scheduler(4, SchedulerPolicy(encode_batch=2, steps_between_runs=1))
    for request_id in ("a", "b"):
        scheduler.add(request_id)
    assert scheduler.next_plan(lambda slot: False).phase is Phase.ENCODE
    scheduler.advance("a", Phase.PREFILL)
    scheduler.advance("b", Phase.DETECT)
    assert scheduler.next_plan(lambda slot: slot == 0) == Plan(Phase.PREFILL, (Seat(0, "a"),))
    scheduler.advance("a", Phase.DECODE)
    for _ in range(5):
        assert scheduler.next_plan(lambda slot: slot == 0) == Plan(Phase.DECODE, (Seat(0, "a"),))
    assert scheduler.next_plan(lambda slot: True) == Plan(Phase.DETECT, (Seat(1, "b"),))
    scheduler.remove("a")
    assert scheduler.next_plan(lambda slot: False) == Plan(Phase.DETECT, (Seat(1, "b"),)), "nothing else to do: wait"


def test_of_windows_that_are_encoded_only_the_filled_ones_go_on():
    scheduler = Scheduler(4, SchedulerPolicy(encode_batch=4, steps_between_runs=1))
    for request_id in "abc":
        scheduler.add(request_id)
    for seat in scheduler.next_plan().seats:
        scheduler.advance(seat.request_id, Phase.PREFILL)
    assert scheduler.next_plan(lambda slot: slot != 1).seats == (Seat(0, "a"), Seat(2, "c"))
    assert scheduler.next_plan(lambda slot: False).seats == (Seat(0, "a"), Seat(1, "b"), Seat(2, "c"))
