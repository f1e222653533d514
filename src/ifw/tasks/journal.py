"""The journal of a task, by which a stage goes on where its last run was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ifw.tasks.run import TaskRun


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
