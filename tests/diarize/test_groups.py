"""Groups of chunks that are heard at once: how many, in which order they are handed on, and how they end."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ifw.cancellation import CancelToken
from ifw.diarize.groups import Groups
from ifw.errors import CancelledError


class Waits:
    """Hears a group once it may; what it heard is the group itself."""

    def __init__(self, n_at_once):
        self.n_at_once = n_at_once
        self.pool = ThreadPoolExecutor(8)
        self.may_end = {}
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()

    def begin(self, samples, cancel):
        del cancel
        self.may_end[samples] = threading.Event()
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        return self.pool.submit(self.hear, samples)

    def hear(self, samples):
        assert self.may_end[samples].wait(60)
        with self.lock:
            self.running -= 1
        if samples == "fails":
            raise ValueError("this one")
        return samples


def begin_in_a_thread(groups, samples):
    thread = threading.Thread(target=groups.begin, args=(samples,))
    thread.start()
    return thread


def test_a_group_begins_as_soon_as_any_other_is_done():
    listener = Waits(2)
    groups = Groups(listener, CancelToken())
    groups.begin("a")
    groups.begin("b")
    third = begin_in_a_thread(groups, "c")
    listener.may_end["b"].set()
    third.join()
    assert "c" in listener.may_end
    assert groups.done() == [], "the first is not done, so that none leaves"
    for group in "ac":
        listener.may_end[group].set()
    assert groups.rest() == ["a", "b", "c"]
    assert groups.rest() == groups.done() == []
    assert listener.most == 2


def test_what_is_done_leaves_in_turn():
    listener = Waits(3)
    groups = Groups(listener, CancelToken())
    for group in "ab":
        groups.begin(group)
    begun = list(groups._begun)
    listener.may_end["a"].set()
    begun[0].result()
    assert groups.done() == ["a"]
    assert groups.done() == []
    listener.may_end["b"].set()
    assert groups.rest() == ["b"]


def test_a_group_that_fails_ends_all_and_leaves_nothing_running():
    listener = Waits(3)
    groups = Groups(listener, CancelToken())
    for group in ("a", "fails", "c"):
        groups.begin(group)
    for group in ("a", "fails", "c"):
        listener.may_end[group].set()
    with pytest.raises(ValueError, match="this one"):
        groups.rest()
    assert listener.running == 0
    assert groups.rest() == []


def test_a_cancelled_recording_begins_nothing_and_waits_for_what_runs():
    listener, cancel = Waits(3), CancelToken()
    groups = Groups(listener, cancel)
    groups.begin("a")
    cancel.cancel()
    listener.may_end["a"].set()
    with pytest.raises(CancelledError):
        groups.begin("b")
    assert listener.running == 0
    assert "b" not in listener.may_end
