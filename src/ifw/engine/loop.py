"""The thread that owns the device, and the way in and out of it."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

import torch

from ifw.engine.request import EngineStats, Request
from ifw.engine.runner_interface import Runner
from ifw.engine.scheduler import Scheduler, SchedulerPolicy
from ifw.engine.turns import Counters, Entry, Turns
from ifw.engine.vocabulary import Vocabulary
from ifw.errors import EngineClosedError, EngineError
from ifw.model.cores import use_cores

Command = Callable[[Turns], None]


class EngineLoop:
    """Runs turns in one daemon thread while there is work. All methods may be called from any thread.

    The thread stays behind where the process forks: in the child, only `check_process` and `submit` say so, and the
    rest does nothing. No lock is taken there, since the thread may have held it at that moment.

    Args:
        runner: The device; only the thread uses it, and it is let go when the thread ends.
        vocabulary: Of the checkpoint.
        policy: How encoding and decoding share the device.
        n_threads: CPU threads of torch; None takes those of the calling thread.
    """

    def __init__(
        self, runner: Runner, vocabulary: Vocabulary, policy: SchedulerPolicy, n_threads: int | None = None
    ) -> None:
        self.n_slots = runner.n_slots
        self._scheduler = Scheduler(runner.n_slots, policy)
        self._counters = Counters()
        self._condition = threading.Condition()
        self._inbox: deque[Command] = deque()
        self._is_closing = False
        self._is_ended = False
        self._pid = os.getpid()
        self._failure: Exception | None = None
        is_ready = threading.Event()
        turns = Turns(runner, vocabulary, self._scheduler, self._counters)
        self._thread = threading.Thread(
            target=self._run,
            args=(runner, turns, n_threads or torch.get_num_threads(), is_ready),
            name="ifw-engine",
            daemon=True,
        )
        self._thread.start()
        is_ready.wait()  # whoever waits for the whole device meanwhile would break the recording of a CUDA graph

    def check_process(self) -> None:
        """Refuse a process that the engine was not made in.

        Raises:
            EngineError: This is a child of the engine's process.
        """
        if self._is_forked:
            raise EngineError(
                f"the engine was made in another process ({self._pid}), and its thread and its device did not come "
                "along when that process forked: make one here, in the child"
            )

    @property
    def is_open(self) -> bool:
        """Whether it takes requests."""
        with self._condition:
            return not (self._is_closing or self._is_ended)

    def submit(self, request: Request) -> Future[Any]:
        """Let a request in.

        Returns:
            Its result; `cancel` of the future itself has no effect.

        Raises:
            EngineClosedError: The engine was closed, or has failed.
            EngineError: The engine was made in another process.
        """
        self.check_process()
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        entry = Entry(request, future)
        with self._condition:
            if self._is_closing or self._is_ended:
                raise self._closed_error("takes no more requests")
            self._put(lambda turns: turns.add(entry))
        return future

    def cancel(self, request_id: str) -> None:
        """Let a request leave at the next turn."""
        self._send(lambda turns: turns.cancel(request_id))

    def cancel_group(self, group: Hashable) -> None:
        """Let all requests of a group leave at the next turn."""
        self._send(lambda turns: turns.cancel_group(group))

    def stats(self) -> EngineStats:
        """What is being done and has been done."""
        return EngineStats(
            n_slots=self.n_slots,
            n_occupied=self._scheduler.n_occupied,
            n_waiting=self._scheduler.n_waiting,
            **asdict(self._counters),
        )

    def close(self) -> None:
        """End the thread after the turn that it is in; what is left ends with `EngineClosedError`."""
        if self._is_forked:
            return
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    @property
    def _is_forked(self) -> bool:
        return os.getpid() != self._pid

    def _send(self, command: Command) -> None:
        if not self._is_forked:
            with self._condition:
                self._put(command)

    def _put(self, command: Command) -> None:
        if not self._is_ended:
            self._inbox.append(command)
            self._condition.notify_all()

    def _run(self, runner: Runner, turns: Turns, n_threads: int, is_ready: threading.Event) -> None:
        try:
            use_cores(n_threads)
            with torch.inference_mode(), runner.session():
                is_ready.set()
                while self._take_commands(turns):
                    plan = self._scheduler.next_plan(runner.is_encoded)
                    if plan is not None:
                        turns.carry_out(plan)
        except Exception as error:  # a device that fails in a step fails for everyone
            self._failure = error
        finally:
            self._end(turns)
            is_ready.set()

    def _take_commands(self, turns: Turns) -> bool:
        """Wait until there is something to do; False to end."""
        with self._condition:
            while not (self._is_closing or self._inbox or self._scheduler.n_waiting or self._scheduler.n_occupied):
                self._condition.wait()
            if self._is_closing:
                return False
            commands = list(self._inbox)
            self._inbox.clear()
        for command in commands:
            command(turns)
        return True

    def _end(self, turns: Turns) -> None:
        with self._condition:
            self._is_ended = True
            commands = list(self._inbox)
            self._inbox.clear()
        for command in commands:
            command(turns)
        if self._failure is None:
            turns.fail_all(self._closed_error("was closed before the request ended"))
        else:
            error = EngineError(f"the engine failed: {type(self._failure).__name__}: {self._failure}")
            error.__cause__ = self._failure
            turns.fail_all(error)

    def _closed_error(self, what: str) -> EngineClosedError:
        if self._failure is None:
            return EngineClosedError(f"the engine {what}")
        error = EngineClosedError(f"the engine {what}: it failed with {type(self._failure).__name__}: {self._failure}")
        error.__cause__ = self._failure
        return error
