"""What clients do with tasks: submit, look, cancel, remove."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ifw.errors import (
    ConfigError,
    IdempotencyError,
    QueueFullError,
    TaskCancelledError,
    TaskCursorError,
    TaskEndedError,
    TaskExistsError,
    TaskFailedError,
    TaskIdError,
    TaskNotFoundError,
    TaskUnfinishedError,
)
from ifw.tasks import schema
from ifw.tasks.database import Database
from ifw.tasks.endings import UNENDED, end_task
from ifw.tasks.options import TaskOptions
from ifw.tasks.records import ENDED_STATES, MAX_PRIORITY, TASK_STATES, Task, TaskPage, TaskRequest, TaskState, TaskStats
from ifw.tasks.rows import dump, load_tasks, webhook_text

MAX_PAGE: Final = 1000
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Submitted(NamedTuple):
    """What became of a submission.

    Attributes:
        task: The new task, or the one that the idempotency key named already.
        run_id: Under which name it is executed.
        is_new: Whether it is a new one.
    """

    task: Task
    run_id: str
    is_new: bool


def check_id(task_id: str) -> None:
    """Refuse names that could mean something to a file system.

    Raises:
        TaskIdError: The name is not allowed.
    """
    if _ID.fullmatch(task_id) is None or ".." in task_id:
        raise TaskIdError(
            f"task id {task_id[:200]!r}: allowed: 1 to 128 letters, digits, '_', '.', '-', "
            "the first a letter or digit, no '..'"
        )


class Store:
    """The table of tasks as clients see it.

    Args:
        database: Where the tables are.
        options: The limits.
    """

    def __init__(self, database: Database, options: TaskOptions) -> None:
        self._database = database
        self._options = options

    def insert(self, request: TaskRequest, task_id: str, idempotency_key: str | None, fingerprint: str) -> Submitted:
        """Keep a new task; see `Tasks.submit` for the errors."""
        check_id(task_id)
        row = self._row(request, task_id, idempotency_key, fingerprint)
        table = schema.tasks
        with self._database.write() as connection:
            self._database.lock(connection)
            if idempotency_key is not None:
                known = connection.execute(
                    sa.select(table).where(table.c.idempotency_hash == row["idempotency_hash"])
                ).one_or_none()
                if known is not None:
                    return self._repeated(connection, known, fingerprint)
            if connection.execute(sa.select(table.c.id).where(table.c.id == task_id)).first() is not None:
                raise TaskExistsError(f"task id {task_id!r}: there is such a task already; name another, or none")
            n_queued = connection.scalar(sa.select(sa.func.count()).where(table.c.state == "queued")) or 0
            if n_queued >= self._options.max_queued:
                raise QueueFullError(
                    f"{n_queued} tasks are waiting, allowed: {self._options.max_queued}; submit again later"
                )
            connection.execute(sa.insert(table).values(**row))
            return Submitted(self._one(connection, task_id), row["run_id"], True)

    def mark_enqueued(self, run_id: str) -> None:
        """Note that the execution knows of the task."""
        table = schema.tasks
        with self._database.write() as connection:
            connection.execute(sa.update(table).where(table.c.run_id == run_id).values(is_enqueued=True))

    def get(self, task_id: str) -> Task:
        """One task; `TaskNotFoundError` where there is none."""
        with self._database.read() as connection:
            return self._one(connection, task_id)

    def exists(self, task_id: str) -> bool:
        """Whether there is such a task."""
        table = schema.tasks
        with self._database.read() as connection:
            return connection.execute(sa.select(table.c.id).where(table.c.id == task_id)).first() is not None

    def unended(self, task_ids: Sequence[str]) -> set[str]:
        """Those of some names that are tasks which have not ended."""
        table = schema.tasks
        with self._database.read() as connection:
            return set(connection.execute(sa.select(table.c.id).where(table.c.id.in_(task_ids), UNENDED)).scalars())

    def page(self, state: TaskState | None, limit: int, after: str | None) -> TaskPage:
        """Tasks from the newest to the oldest."""
        if not 1 <= limit <= MAX_PAGE:
            raise ConfigError(f"limit: got {limit}, allowed: an integer from 1 to {MAX_PAGE}")
        if state is not None and state not in TASK_STATES:
            raise ConfigError(f"state: got {state!r}, allowed: {', '.join(TASK_STATES)}")
        table = schema.tasks
        query = sa.select(table).order_by(table.c.number.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(table.c.state == state)
        if after is not None:
            if re.fullmatch(r"[0-9]{1,18}", after) is None:
                raise TaskCursorError(f"cursor {after[:50]!r}: allowed: the `next` of an earlier page")
            query = query.where(table.c.number < int(after))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            tasks = load_tasks(connection, rows[:limit])
        return TaskPage(tasks, str(rows[limit - 1].number) if len(rows) > limit else None)

    def cancel(self, task_id: str) -> Task:
        """End a task as cancelled; `TaskEndedError` where it has ended."""
        with self._database.write() as connection:
            ended = end_task(
                connection,
                schema.tasks.c.id == task_id,
                "cancelled",
                now=time.time(),
                ttl_s=self._options.result_ttl_s,
            )
            task = self._one(connection, task_id)
        if not ended:
            raise TaskEndedError(f"task {task_id!r}: it has ended already ({task.state}), so it cannot be cancelled")
        return task

    def remove(self, task_id: str) -> str:
        """Forget an ended task.

        Returns:
            The name under which it was executed.
        """
        with self._database.write() as connection:
            task = self._one(connection, task_id)
            if task.state not in ENDED_STATES:
                raise TaskUnfinishedError(f"task {task_id!r} is {task.state}; cancel it before it is removed")
            return delete_tasks(connection, [task_id])[0]

    def result(self, task_id: str) -> str:
        """The result of a task that succeeded."""
        with self._database.read() as connection:
            task = self._one(connection, task_id)
            if task.state == "failed" and task.error is not None:
                raise TaskFailedError(f"task {task_id!r} failed ({task.error.code}): {task.error.message}")
            if task.state == "cancelled":
                raise TaskCancelledError(f"task {task_id!r} was cancelled, so it has no result")
            if task.state != "succeeded":
                raise TaskUnfinishedError(
                    f"task {task_id!r} is {task.state}; its result is there when it has succeeded"
                )
            body = connection.scalar(sa.select(schema.results.c.body).where(schema.results.c.task_id == task_id))
        return "" if body is None else bytes(body).decode("utf-8", "surrogatepass")

    def events(self, task_id: str, after_seq: int, limit: int) -> list[tuple[int, str]]:
        """What the stages emitted past a number, in order, as JSON."""
        table = schema.events
        with self._database.read() as connection:
            self._one(connection, task_id)
            rows = connection.execute(
                sa.select(table.c.seq, table.c.body)
                .where(table.c.task_id == task_id, table.c.seq > after_seq)
                .order_by(table.c.seq)
                .limit(limit)
            ).all()
        return [(row.seq, row.body) for row in rows]

    def stats(self) -> TaskStats:
        """How many tasks are in which state."""
        table, deliveries = schema.tasks, schema.deliveries
        with self._database.read() as connection:
            query = sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
            counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
            n_pending = connection.scalar(sa.select(sa.func.count()).where(deliveries.c.state == "pending"))
            n_workers = connection.scalar(sa.select(sa.func.count()).select_from(schema.workers))
        return TaskStats(
            n_queued=counts.get("queued", 0),
            n_running=counts.get("running", 0),
            n_succeeded=counts.get("succeeded", 0),
            n_failed=counts.get("failed", 0),
            n_cancelled=counts.get("cancelled", 0),
            n_pending_deliveries=n_pending or 0,
            n_workers=n_workers or 0,
        )

    def _row(self, request: TaskRequest, task_id: str, key: str | None, fingerprint: str) -> dict[str, Any]:
        priority, now = request.priority, time.time()
        if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > MAX_PRIORITY:
            raise ConfigError(f"priority: got {priority!r}, allowed: an integer from -{MAX_PRIORITY} to {MAX_PRIORITY}")
        deadline_s = self._options.default_deadline_s if request.deadline_s is None else request.deadline_s
        if deadline_s is not None and not 0 < deadline_s < 1e9:
            raise ConfigError(f"deadline_s: got {deadline_s!r}, allowed: a number of seconds above 0")
        return {
            "id": task_id,
            "run_id": uuid.uuid4().hex,
            "is_enqueued": False,
            "state": "queued",
            "version": 1,
            "payload": dump(dict(request.payload)),
            "priority": priority,
            "webhook": webhook_text(request.webhook),
            "idempotency_hash": None
            if key is None
            else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest(),
            "fingerprint": fingerprint,
            "created_at": now,
            "deadline_at": None if deadline_s is None else now + deadline_s,
            "progress": "{}",
            "timings": "{}",
            "n_attempts": 0,
            "n_crashes": 0,
        }

    def _repeated(self, connection: sa.Connection, known: sa.Row[Any], fingerprint: str) -> Submitted:
        if known.fingerprint != fingerprint:
            raise IdempotencyError(
                "the idempotency key was used for another request before; send the same request, or another key"
            )
        return Submitted(load_tasks(connection, [known])[0], known.run_id, False)

    def _one(self, connection: sa.Connection, task_id: str) -> Task:
        row = None
        if _ID.fullmatch(task_id) is not None:
            row = connection.execute(sa.select(schema.tasks).where(schema.tasks.c.id == task_id)).one_or_none()
        if row is None:
            raise TaskNotFoundError(f"task {task_id[:200]!r}: there is none of this name, or it has expired")
        return load_tasks(connection, [row])[0]


def delete_tasks(connection: sa.Connection, task_ids: list[str]) -> list[str]:
    """Delete tasks with all that belongs to them.

    Returns:
        The names under which they were executed.
    """
    for table in schema.OWNED_BY_TASK:
        connection.execute(sa.delete(table).where(table.c.task_id.in_(task_ids)))
    table = schema.tasks
    return list(
        connection.execute(sa.delete(table).where(table.c.id.in_(task_ids)).returning(table.c.run_id)).scalars()
    )
