"""A task that runs in this process: what it has reported and is not written yet, and why it is to stop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ifw.cancellation import CancelToken
from ifw.errors import CancelledError
from ifw.tasks.claims import Changes, Claims
from ifw.tasks.database_retries import persist
from ifw.tasks.records import Task
from ifw.tasks.rows import dump

StopReason = Literal["ended", "lost", "handed_back"]


class TaskRun:
    """One run of a task on this worker.

    Args:
        task: As it stood when it was taken.
        claim: Under which it was taken.
        make_folder: Makes its spool folder where it is not there, and names it.
        claims: Where its writes go.
        on_advanced: Is called when it has got further than any run before it, which may be more than once.
        closing: Is set when this process ends, so that a database that is away is not waited for any more.
    """

    def __init__(
        self,
        task: Task,
        claim: str,
        make_folder: Callable[[], Path],
        claims: Claims,
        on_advanced: Callable[[], None],
        *,
        closing: threading.Event,
    ) -> None:
        self.task = task
        self.claim = claim
        self._make_folder = make_folder
        self.on_advanced = on_advanced
        self.cancel = CancelToken()
        self.stop_reason: StopReason | None = None
        self._claims = claims
        self._closing = closing
        self._lock = threading.Lock()
        self._changes = Changes(claim, task.id)
        self._progress: dict[str, tuple[float, float | None]] = {
            name: (one.done_s, one.total_s) for name, one in task.progress.items()
        }
        self._timings = dict(task.timings)

    @property
    def folder(self) -> Path:
        """Its spool folder; it is there."""
        return self._make_folder()

    def stop(self, reason: StopReason) -> None:
        """Have the stage that runs end soon; the first reason counts."""
        with self._lock:
            self.stop_reason = self.stop_reason or reason
        self.cancel.cancel()

    def lose(self) -> None:
        """The task is somebody else's, or has ended elsewhere."""
        self.stop("lost")

    def begin_journal(self, identity: Mapping[str, Any]) -> list[str]:
        """See `Claims.begin_journal`; raises `CancelledError` where the task is no longer ours."""
        with self._lock:
            self._changes.records.clear()
        known = json.loads(dump(identity))
        records = persist(lambda: self._claims.begin_journal(self.claim, self.task.id, known), self._closing)
        if records is None:
            self.lose()
            raise CancelledError("the task is no longer this worker's")
        return records

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep a journal record."""
        text = dump(record)
        with self._lock:
            self._changes.records.append(text)
            self._changes.is_advanced = True

    def emit(self, seq: int, event: Mapping[str, Any]) -> None:
        """Keep an event."""
        text = dump(event)
        with self._lock:
            self._changes.events[seq] = text

    def report(self, stage: str, done_s: float, total_s: float | None) -> None:
        """Keep how far a stage is."""
        with self._lock:
            self._progress[stage] = (done_s, total_s)
            self._changes.columns["progress"] = dump(self._progress)

    def add_timing(self, name: str, seconds: float) -> None:
        """Add to a timing."""
        with self._lock:
            self._timings[name] = round(self._timings.get(name, 0.0) + seconds, 3)
            self._changes.columns["timings"] = dump(self._timings)

    def set_stage(self, stage: str | None, *, is_advanced: bool = False) -> None:
        """Say which stage runs."""
        with self._lock:
            self._changes.columns["stage"] = stage
            self._changes.is_advanced |= is_advanced

    def set_result(self, text: str) -> bool:
        """See `Claims.keep_result`."""
        return persist(lambda: self._claims.keep_result(self.claim, self.task.id, text), self._closing)

    def take_changes(self) -> Changes | None:
        """What was reported since the last call; None where nothing was."""
        with self._lock:
            changes = self._changes
            if not (changes.columns or changes.records or changes.events or changes.is_advanced):
                return None
            self._changes = Changes(self.claim, self.task.id)
            return changes

    def put_back(self, unwritten: Changes) -> None:
        """Changes that could not be written come before those that were reported since."""
        with self._lock:
            later = self._changes
            self._changes = Changes(
                self.claim,
                self.task.id,
                {**unwritten.columns, **later.columns},
                unwritten.records + later.records,
                {**unwritten.events, **later.events},
                unwritten.is_advanced or later.is_advanced,
            )


class TaskJournal:
    """Journal records of a task, kept in the database (see `ifw.pipeline.journal.Journal`).

    A record is safe after at most `flush_s` seconds; the work of that time is done again after a death.

    Args:
        run: The task.
    """

    def __init__(self, run: TaskRun) -> None:
        self._run = run

    def begin(self, identity: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The records of earlier runs of this task; none where they belong to another audio, model or options."""
        return [json.loads(record) for record in self._run.begin_journal(identity)]

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep a record."""
        self._run.append(record)
