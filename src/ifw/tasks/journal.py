"""Records of the journals of tasks in the database."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from ifw.tasks import schema


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
