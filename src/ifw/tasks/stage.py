"""What a stage is, and what it is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ifw.errors import CancelledError
from ifw.tasks.run import TaskJournal, TaskRun

if TYPE_CHECKING:
    from ifw.cancellation import CancelToken


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of every task. Once it has ended it is not run again, even if its worker dies.

    Attributes:
        name: Unique among the stages.
        run: Does the work. What it returns, small and made of what JSON knows, is there for later stages. It may run
            again from its start after the death of a worker, so it must find what it left behind: its files in
            `folder`, its records in `journal`. Where `cancel` is cancelled it raises `CancelledError`, soon.
    """

    name: str
    run: Callable[[StageContext], Any]


class StageContext:
    """A task as its stages see it. Every method may be called from any thread.

    Args:
        run: The task that is run.
        results: What earlier stages returned, by their names.

    Attributes:
        task_id: Its name.
        payload: As submitted.
        priority: As submitted.
        results: What earlier stages returned, by their names.
        cancel: Is cancelled when the task is to stop here, whatever the reason.
        folder: For files of this task; removed with it.
        journal: Survives the death of the worker.
    """

    def __init__(self, run: TaskRun, results: Mapping[str, Any]) -> None:
        self._run = run
        self.task_id = run.task.id
        self.payload = run.task.payload
        self.priority = run.task.priority
        self.results = results
        self.cancel: CancelToken = run.cancel
        self.folder: Path = run.folder
        self.journal = TaskJournal(run)

    def report(self, stage: str, done_s: float, total_s: float | None = None) -> None:
        """Say how far a stage is; cheap, so call it as often as there is news.

        Args:
            stage: Usually its own name; a stage with several parts may name each.
            done_s: Seconds of audio that are done, or whatever it counts.
            total_s: How many there are; None where that is not known.
        """
        self._run.report(stage, done_s, total_s)

    def emit(self, seq: int, event: Mapping[str, Any]) -> None:
        """Add an event to the task; a number that is there already is not written again.

        Args:
            seq: Its number, from 0, in order; a stage that runs again gives the same event the same number.
            event: Made of what JSON knows.
        """
        self._run.emit(seq, event)

    def set_result(self, text: str) -> None:
        """Keep the result of the task; it can be seen once the task has succeeded.

        Raises:
            CancelledError: The task is no longer this worker's.
        """
        if not self._run.set_result(text):
            self._run.lose()
            raise CancelledError("the task is no longer this worker's")

    def add_timing(self, name: str, seconds: float) -> None:
        """Add wall seconds to one of the timings of the task; each stage has one of its name anyway."""
        self._run.add_timing(name, seconds)
