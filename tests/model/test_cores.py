"""The number of cores is one of the thread, whatever other threads do meanwhile."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from ifw.errors import ShapeError
from ifw.model.cores import cores, give_way, use_cores


def kernel_version():
    return tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])


def in_a_new_thread(work):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def test_a_new_thread_keeps_what_it_has_set_while_another_sets_something_else():
    is_set, may_ask = threading.Event(), threading.Event()

    def work():
        use_cores(3)
        is_set.set()
        may_ask.wait()
        return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(work)
        is_set.wait()
        pool.submit(torch.set_num_threads, 2).result()
        may_ask.set()
        assert asked.result() == 3


def test_the_cores_come_back_also_after_an_error():
    def work():
        use_cores(3)
        with pytest.raises(ShapeError), cores(1):
            raise ShapeError(str(torch.get_num_threads()))
        return torch.get_num_threads()

    assert in_a_new_thread(work) == 3


def test_a_function_that_several_threads_call_at_once():
    """Each call has a context of its own."""
    inside = threading.Barrier(2)

    @cores(1)
    def wait_inside():
        inside.wait()
        return torch.get_num_threads()

    def work(n_cores):
        use_cores(n_cores)
        return wait_inside(), torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, (2, 3))) == [(1, 2), (1, 3)]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_a_thread_gives_way_alone():
    def niceness():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work():
        give_way()
        return niceness()

    before = niceness()
    assert in_a_new_thread(work) > before
    assert niceness() == in_a_new_thread(niceness) == before


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or kernel_version() < (6, 12),
    reason="threads have slices of their own from Linux 6.12 on",
)
def test_a_thread_that_gives_way_takes_long_turns():
    """So that others, whose turns are shorter, need not wait for the end of its own."""

    def slice_ns():
        attributes = ctypes.create_string_buffer(48)
        assert ctypes.CDLL(None).syscall(315, 0, attributes, 48, 0) == 0  # sched_getattr
        return struct.unpack("IIQiIQQQ", attributes.raw)[5]

    def work():
        before = slice_ns()
        give_way()
        return before, slice_ns()

    before, after = in_a_new_thread(work)
    assert before < 10_000_000 < after
    assert slice_ns() == before


@pytest.mark.skipif(sys.platform != "linux", reason="threads have policies of their own on Linux only")
@pytest.mark.parametrize("policy", ["SCHED_BATCH", "SCHED_IDLE"])
def test_a_thread_that_gives_way_stays_a_batch_or_an_idle_job(policy):
    def work():
        os.sched_setscheduler(0, getattr(os, policy), os.sched_param(0))
        give_way()
        return os.sched_getscheduler(0)

    assert in_a_new_thread(work) == getattr(os, policy)
