"""How a task ends: in one transaction, once, with the event for its webhook."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

import sqlalchemy as sa

from ifw.tasks import schema
from ifw.tasks.records import TaskFailure, TaskState
from ifw.tasks.rows import webhook_of

UNENDED = schema.tasks.c.state.in_(("queued", "running"))


def end_task(
    connection: sa.Connection,
    condition: sa.ColumnElement[bool],
    state: TaskState,
    *,
    now: float,
    ttl_s: float,
    failure: TaskFailure | None = None,
) -> list[str]:
    """End the tasks that meet a condition and have not ended yet.

    Args:
        connection: In a transaction that writes.
        condition: On the table of tasks.
        state: The final state.
        now: Seconds since 1970.
        ttl_s: How long they are kept from now on.
        failure: Why, where the state is `failed`.

    Returns:
        The ids of those that ended here.
    """
    table = schema.tasks
    ended = connection.execute(
        sa.update(table)
        .where(condition, UNENDED)
        .values(
            state=state,
            ended_at=now,
            expires_at=now + ttl_s,
            stage=None,
            claim=None,
            worker_id=None,
            version=table.c.version + 1,
            error_code=None if failure is None else failure.code,
            error_message=None if failure is None else failure.message,
        )
        .returning(table.c.id, table.c.webhook)
    ).all()
    for task_id, text in ended:
        connection.execute(sa.delete(schema.journal).where(schema.journal.c.task_id == task_id))
        if state != "succeeded":
            connection.execute(sa.delete(schema.results).where(schema.results.c.task_id == task_id))
        webhook = webhook_of(text)
        if webhook is not None:
            connection.execute(
                sa.insert(schema.deliveries).values(
                    task_id=task_id,
                    message_id=f"msg_{uuid.uuid4().hex}",
                    origin=origin_of(webhook.url),
                    state="pending",
                    n_tries=0,
                    next_at=now,
                )
            )
    return [task_id for task_id, _ in ended]


def origin_of(url: str) -> str:
    """Scheme, host and port: what posts are counted by."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
