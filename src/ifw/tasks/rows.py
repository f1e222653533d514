"""From table rows to records, and what is written into rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from ifw.tasks import schema
from ifw.tasks.records import DeliveryAttempt, StageProgress, Task, TaskFailure, Webhook


def dump(value: Any) -> str:
    """JSON in ASCII.

    Raises:
        TypeError: It is not made of what JSON knows.
        ValueError: It has a number that is not finite.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def moment(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as an aware time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=timezone.utc)


def webhook_text(webhook: Webhook | None) -> str | None:
    """A webhook as its column has it."""
    if webhook is None:
        return None
    return dump({"url": webhook.url, "headers": dict(webhook.headers)})


def webhook_of(text: str | None) -> Webhook | None:
    """The webhook that a column has."""
    if text is None:
        return None
    fields = json.loads(text)
    return Webhook(fields["url"], MappingProxyType(fields["headers"]))


def load_tasks(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> tuple[Task, ...]:
    """Rows of the table of tasks as records, with their deliveries."""
    ids = [row.id for row in rows]
    states: dict[str, Any] = {}
    attempts: dict[str, list[DeliveryAttempt]] = {}
    if any(row.webhook is not None and row.ended_at is not None for row in rows):
        deliveries, log = schema.deliveries, schema.delivery_attempts
        for found in connection.execute(
            sa.select(deliveries.c.task_id, deliveries.c.state).where(deliveries.c.task_id.in_(ids))
        ):
            states[found.task_id] = found.state
        for one in connection.execute(sa.select(log).where(log.c.task_id.in_(ids)).order_by(log.c.number)):
            at = datetime.fromtimestamp(one.at, tz=timezone.utc)
            attempts.setdefault(one.task_id, []).append(DeliveryAttempt(at, one.status, one.error, one.duration_s))
    return tuple(_task(row, states.get(row.id, "none"), tuple(attempts.get(row.id, ()))) for row in rows)


def _task(row: sa.Row[Any], delivery_state: Any, deliveries: tuple[DeliveryAttempt, ...]) -> Task:
    progress = {name: StageProgress(*pair) for name, pair in json.loads(row.progress).items()}
    timings: Mapping[str, float] = json.loads(row.timings)
    created_at = moment(row.created_at)
    assert created_at is not None
    return Task(
        id=row.id,
        state=row.state,
        payload=MappingProxyType(json.loads(row.payload)),
        priority=row.priority,
        version=row.version,
        created_at=created_at,
        started_at=moment(row.started_at),
        ended_at=moment(row.ended_at),
        expires_at=moment(row.expires_at),
        deadline_at=moment(row.deadline_at),
        progress=MappingProxyType(progress),
        stage=row.stage,
        timings=MappingProxyType(timings),
        error=None if row.error_code is None else TaskFailure(row.error_code, row.error_message),
        n_attempts=row.n_attempts,
        webhook=webhook_of(row.webhook),
        delivery_state=delivery_state,
        deliveries=deliveries,
    )
