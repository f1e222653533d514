"""Runs one task: takes it, goes through its stages, and ends it."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from ifw.errors import DiskFullError, IfwError
from ifw.tasks.database_retries import may_pass, persist
from ifw.tasks.disk import is_disk_full
from ifw.tasks.execution import Abandoned, ExecutionError, Step
from ifw.tasks.flusher import Flusher
from ifw.tasks.probation import Probation
from ifw.tasks.records import TaskFailure
from ifw.tasks.rows import dump
from ifw.tasks.run import TaskRun
from ifw.tasks.site import Site
from ifw.tasks.stage import Stage, StageContext

_log: Final = logging.getLogger("ifw.tasks")
_Value = TypeVar("_Value")


class Worker:
    """What this process does with a task that is its turn.

    Args:
        site: Where the tasks are.
        stages: What is done with each task, in order.
        flusher: Writes what stages report.
    """

    def __init__(self, site: Site, stages: Sequence[Stage], flusher: Flusher) -> None:
        self._worker_id = site.worker_id
        self._stages = tuple(stages)
        self._claims = site.claims
        self._flusher = flusher
        self._bell = site.bell
        self._spool = site.spool
        self._probation = Probation()
        self._closing = threading.Event()

    def work(self, run_id: str, step: Step) -> None:
        """Run the task of a name, from where an earlier run of it was.

        Raises:
            Abandoned: Somebody else will go on with it.
        """
        if self._closing.is_set():
            raise Abandoned
        leave = _nothing
        if self._persist(partial(self._claims.is_suspect, run_id)):
            entered = self._probation.enter()
            if entered is None:  # the upkeep queues it again, before all others
                self._persist(partial(self._claims.rename_queued, [run_id]))
                return
            leave = entered
        try:
            self._run(run_id, step, leave)
        finally:
            leave()

    def close(self, grace_s: float, leave_s: float) -> None:
        """Begin no more; let what runs end, and hand back what does not.

        Args:
            grace_s: How long what runs may go on.
            leave_s: How long it may take to stop after that.
        """
        self._closing.set()
        if self._flusher.wait_until_idle(grace_s):
            return
        for run in self._flusher.runs():
            try:
                self._flusher.flush([run])
                self._claims.hand_back(run.claim)
            except SQLAlchemyError as error:
                _log.warning("task %s could not be handed back: %s", run.task.id, type(error).__name__)
            run.stop("handed_back")
            self._bell.ring([run.task.id])
        if not self._flusher.wait_until_idle(leave_s):
            _log.warning("%d tasks did not stop within %g s", len(self._flusher.runs()), leave_s)

    def _run(self, run_id: str, step: Step, on_advanced: Callable[[], None]) -> None:
        claim = uuid.uuid4().hex
        self._flusher.expect(claim)
        try:
            task = self._persist(partial(self._claims.take, run_id, self._worker_id, claim))
            if task is None:
                return
            run = TaskRun(
                task, claim, partial(self._spool.folder, task.id), self._claims, on_advanced, closing=self._closing
            )
            self._flusher.add(run)
            self._bell.ring([task.id])
            self._run_stages(run, step)
            if self._persist(partial(self._claims.has_ended, task.id)):
                self._spool.remove(task.id)
            self._bell.ring([task.id])
        finally:
            self._flusher.drop(claim)

    def _run_stages(self, run: TaskRun, step: Step) -> None:
        results: dict[str, Any] = {}
        for stage in self._stages:
            try:
                outcome = step(stage.name, partial(self._run_stage, run, stage, MappingProxyType(dict(results))))
            except ExecutionError as error:
                # Such as other stages than those that an older version had recorded.
                _log.warning("task %s starts over, as its execution broke: %s", run.task.id, error)
                self._persist(partial(self._claims.start_over, run.claim))
                return
            if "failure" in outcome:
                self._persist(partial(self._claims.fail, run.claim, TaskFailure(*outcome["failure"])))
                return
            if "result" not in outcome:
                return
            results[stage.name] = outcome["result"]
        self._persist(partial(self._flusher.flush, [run]))
        self._persist(partial(self._claims.succeed, run.claim))

    def _run_stage(self, run: TaskRun, stage: Stage, results: Mapping[str, Any]) -> dict[str, Any]:
        """Run a stage; what it returns is kept by DBOS, so it raises nothing but `Abandoned`."""
        run.set_stage(stage.name)
        started = time.monotonic()
        outcome: dict[str, Any]
        try:
            run.cancel.raise_if_cancelled()
            outcome = {"result": json.loads(dump(stage.run(StageContext(run, results))))}
        except IfwError as error:
            outcome = {"failure": [error.code, str(error)]}
        except Exception as error:
            if isinstance(error, SQLAlchemyError) and may_pass(error):  # this process is about to end
                raise Abandoned from error
            if run.stop_reason is None:
                _log.exception("task %s failed in stage %s", run.task.id, stage.name)
            outcome = {"failure": _failure(error, stage.name)}
        run.add_timing(stage.name, time.monotonic() - started)
        if run.stop_reason is None:
            # A stage that has ended before, in a run under another name, brings the task no further.
            run.set_stage(None, is_advanced="result" in outcome and stage.name not in run.task.timings)
            self._persist(partial(self._flusher.flush, [run]))
        if run.stop_reason is not None:
            return self._stopped(run)
        return outcome

    def _stopped(self, run: TaskRun) -> dict[str, Any]:
        """A run that is to stop: its workflow ends with its task, and goes on elsewhere with a task that goes on."""
        if run.stop_reason == "ended" or self._persist(partial(self._claims.has_ended, run.task.id)):
            return {}
        raise Abandoned

    def _persist(self, write: Callable[[], _Value]) -> _Value:
        try:
            return persist(write, self._closing)
        except SQLAlchemyError as error:
            raise Abandoned from error


def _failure(error: Exception, stage: str) -> list[str]:
    """Code and message of what no stage raises on purpose."""
    if is_disk_full(error):
        message = "the disk of the data folder is full; submit the task again when there is room"
        return [DiskFullError.code, message]
    return ["internal", f"stage {stage} failed for an internal reason; the log has details"]


def _nothing() -> None:
    """A task that is not under suspicion has nothing to leave."""
