"""What others do on the processors of a measured process."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ifw.benchmark import interference
from ifw.benchmark.interference import MAX_FOREIGN, Foreign, Watch, parse_busy_s, processors, tree_s, wait_until_idle

linux_only = pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="the system tells nothing about processors")
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
STAT = [
    "cpu  900 0 0 0 0 0 0 0 0 0",
    "cpu0 100 10 20 5000 77 1 2 3 4 5",
    "cpu1 200 0 0 5000 0 0 0 0 0 0",
    "cpu10 999 0 0 0 0 0 0 0 0 0",
    "intr 1 2 3",
]


def test_waiting_is_not_working():
    assert parse_busy_s(STAT, (0,), 100) == pytest.approx(1.36)
    assert parse_busy_s(STAT, (0, 1), 100) == pytest.approx(3.36)


def test_more_than_the_limit_disturbs():
    assert not Foreign(None).is_disturbed
    assert not Foreign(MAX_FOREIGN).is_disturbed
    assert Foreign(MAX_FOREIGN + 0.001).is_disturbed


def test_processors_are_the_last_ones():
    every = sorted(os.sched_getaffinity(0))
    assert processors(1) == (every[-1],)
    assert processors(len(every)) == tuple(every)


def spend(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@linux_only
def test_work_of_children_belongs_to_their_parent():
    before = tree_s(os.getpid())
    child = multiprocessing.get_context("fork").Process(target=spend, args=(0.3,))
    child.start()
    child.join()
    spent = tree_s(os.getpid()) - before
    assert 0.25 <= spent <= 1.0


@linux_only
def test_own_work_is_not_foreign_and_that_of_others_is(monkeypatch):
    busy = iter([10.0, 13.0, 20.0, 23.0])
    own = iter([1.0, 1.0, 1.0, 4.0])
    clock = iter([0.0, 2.0, 0.0, 2.0])
    monkeypatch.setattr(interference, "busy_s", lambda cpus: next(busy))
    monkeypatch.setattr(interference, "tree_s", lambda pid: next(own))
    monkeypatch.setattr(interference.time, "perf_counter", lambda: next(clock))
    others = Watch((0, 1), 1).end(1)
    assert others.share == pytest.approx(0.75)
    alone = Watch((0, 1), 1).end(1)
    assert alone.share == 0.0
    assert others.is_disturbed
    assert not alone.is_disturbed


@linux_only
def test_waiting_ends_when_it_is_idle_or_after_its_limit(monkeypatch):
    seconds = iter(range(100))
    monkeypatch.setattr(interference.time, "sleep", lambda _: None)
    monkeypatch.setattr(interference, "busy_s", lambda cpus: next(seconds))
    assert wait_until_idle((0,), 0.0) is False
    monkeypatch.setattr(interference, "busy_s", lambda cpus: 5.0)
    assert wait_until_idle((0,), 0.0) is True
    monkeypatch.setattr(interference, "busy_s", lambda cpus: None)
    assert wait_until_idle((0,), 0.0) is True


@linux_only
def test_all_that_a_process_did_since_the_watch_began_is_its_own():
    watch = Watch(())
    child = subprocess.Popen([sys.executable, "-c", "sum(range(20_000_000)); print(1, flush=True); input()"], **PIPES)
    child.stdout.readline()
    foreign = watch.end(child.pid)
    child.communicate(b"\n")
    assert foreign.own_s >= 0.1
    assert foreign.share is None
