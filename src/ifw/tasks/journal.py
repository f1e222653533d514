"""The journal of a task, by which a stage goes on where its last run was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ifw.tasks import schema

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


def add_records(connection: sa.Connection, task_id: str, records: Sequence[str]) -> None:
    """Write records, as JSON, behind those that a task has."""
    if records:
        connection.execute(sa.insert(schema.journal), [{"task_id": task_id, "record": record} for record in records])


def records_of(connection: sa.Connection, task_id: str) -> list[str]:
    """The records of a task, as JSON, in the order in which they were written."""
    table = schema.journal
    query = sa.select(table.c.record).where(table.c.task_id == task_id).order_by(table.c.number)
    return list(connection.execute(query).scalars())


def forget(connection: sa.Connection, task_id: str) -> None:
    """Remove the records of a task, and the events that came of them."""
    for table in (schema.journal, schema.events):
        connection.execute(sa.delete(table).where(table.c.task_id == task_id))
