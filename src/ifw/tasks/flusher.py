"""Writes what running tasks report, all of them in one transaction, and finds out which of them are to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from ifw.tasks.bell import Bell
from ifw.tasks.claims import Claims
from ifw.tasks.run import TaskRun

_log: Final = logging.getLogger("ifw.tasks")


class Flusher:
    """The runs of this process, and the thread that writes for them.

    Args:
        claims: Where it writes.
        bell: Is rung for every task that it wrote for.
        flush_s: Seconds between two flushes.
    """

    def __init__(self, claims: Claims, bell: Bell, flush_s: float) -> None:
        self._claims = claims
        self._bell = bell
        self._flush_s = flush_s
        self._changed = threading.Condition()
        self._runs: dict[str, TaskRun] = {}
        self._expected: set[str] = set()
        self._is_closed = False
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._loop, name="ifw-task-flusher", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def expect(self, claim: str) -> None:
        """A claim is about to be taken, so nobody is to think that its task was forgotten."""
        with self._changed:
            self._expected.add(claim)

    def add(self, run: TaskRun) -> None:
        """A run has begun."""
        with self._changed:
            self._runs[run.claim] = run
            self._changed.notify_all()

    def drop(self, claim: str) -> None:
        """A run has ended, or never began."""
        with self._changed:
            self._expected.discard(claim)
            self._runs.pop(claim, None)
            self._changed.notify_all()

    def runs(self) -> list[TaskRun]:
        """Those that run now."""
        with self._changed:
            return list(self._runs.values())

    def known_claims(self) -> list[str]:
        """Those of runs that run now or are about to."""
        with self._changed:
            return [*self._expected, *self._runs]

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Whether all runs have ended before the time is over."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._runs and not self._expected, timeout_s)

    def stop_task(self, task_id: str) -> None:
        """Have the runs of a task that has ended stop at once."""
        for run in self.runs():
            if run.task.id == task_id:
                run.stop("ended")

    def flush(self, runs: Sequence[TaskRun]) -> None:
        """Write now what some runs have reported.

        Raises:
            SQLAlchemyError: It could not be written; it will be tried again with what comes later.
        """
        with self._writing:
            batch = {run.claim: (run, changes) for run in runs if (changes := run.take_changes()) is not None}
            if not batch:
                return
            try:
                lost = self._claims.flush([changes for _, changes in batch.values()])
            except SQLAlchemyError:
                for run, changes in batch.values():
                    run.put_back(changes)
                raise
        for changes in lost:
            batch.pop(changes.claim)[0].lose()
        for run, changes in batch.values():
            if changes.is_advanced:
                run.on_advanced()
        self._bell.ring(run.task.id for run, _ in batch.values())

    def check(self) -> None:
        """Stop the runs whose claims do not hold any more."""
        runs = self.runs()
        held = self._claims.held([run.claim for run in runs]) if runs else set()
        for run in runs:
            if run.claim not in held:
                run.lose()

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or bool(self._runs))
                if not self._is_closed:
                    self._changed.wait_for(lambda: self._is_closed, self._flush_s)
                is_last = self._is_closed
            try:
                self.flush(self.runs())
                self.check()
            except SQLAlchemyError as error:
                _log.warning(
                    "the progress of tasks could not be written, which is tried again: %s", type(error).__name__
                )
            except Exception:
                _log.exception("the progress of tasks could not be written, which is tried again")
            if is_last:
                return
