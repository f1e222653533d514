"""What workers write. Each write names the claim under which the task was taken, and does nothing where that is lost.

A worker that was taken for dead and wakes up has lost its claims, so it can neither end a task nor add to it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from ifw.errors import TaskPoisonedError
from ifw.tasks import journal, schema
from ifw.tasks.database import Database
from ifw.tasks.endings import UNENDED, end_task
from ifw.tasks.options import TaskOptions
from ifw.tasks.records import Task, TaskFailure
from ifw.tasks.rows import dump, load_tasks


@dataclass(slots=True)
class Changes:
    """What a running task has reported since the last flush.

    Attributes:
        claim: Under which it runs.
        task_id: Its name.
        columns: New values of columns.
        records: New journal records, as JSON.
        events: New events by number, as JSON.
        is_advanced: Whether it has got further than any run before it.
    """

    claim: str
    task_id: str
    columns: dict[str, Any] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)
    events: dict[int, str] = field(default_factory=dict)
    is_advanced: bool = False


class Released(NamedTuple):
    """Tasks that were taken from a worker.

    Attributes:
        requeued: Ids of those that wait again.
        poisoned: Ids of those that failed, as too many workers died over them.
    """

    requeued: list[str]
    poisoned: list[str]


class Claims:
    """The table of tasks as workers see it.

    Args:
        database: Where the tables are.
        options: The limits.
    """

    def __init__(self, database: Database, options: TaskOptions) -> None:
        self._database = database
        self._options = options

    def take(self, run_id: str, worker_id: str, claim: str) -> Task | None:
        """Take a task; whoever had it before has lost it.

        Returns:
            The task, or None where it has ended or is executed under another name.
        """
        table = schema.tasks
        with self._database.write() as connection:
            row = connection.execute(
                sa.update(table)
                .where(table.c.run_id == run_id, UNENDED)
                .values(
                    state="running",
                    worker_id=worker_id,
                    claim=claim,
                    started_at=sa.func.coalesce(table.c.started_at, time.time()),
                    n_attempts=table.c.n_attempts + 1,
                    version=table.c.version + 1,
                )
                .returning(table)
            ).one_or_none()
            return None if row is None else load_tasks(connection, [row])[0]

    def is_suspect(self, run_id: str) -> bool:
        """Whether a worker died over a task, which has not got any further since."""
        table = schema.tasks
        with self._database.read() as connection:
            query = sa.select(table.c.n_crashes).where(table.c.run_id == run_id, UNENDED)
            return (connection.scalar(query) or 0) > 0

    def succeed(self, claim: str) -> bool:
        """End a task as succeeded; False where it is no longer ours."""
        return self._end(claim, "succeeded", None)

    def fail(self, claim: str, failure: TaskFailure) -> bool:
        """End a task as failed; False where it is no longer ours."""
        return self._end(claim, "failed", failure)

    def keep_result(self, claim: str, task_id: str, text: str) -> bool:
        """Write the result down, which nobody sees before the task has succeeded; False where it is no longer ours."""
        body = text.encode("utf-8", "surrogatepass")
        with self._database.write() as connection:
            if not self._touch(connection, claim, {}):
                return False
            connection.execute(sa.delete(schema.results).where(schema.results.c.task_id == task_id))
            connection.execute(sa.insert(schema.results).values(task_id=task_id, body=body))
        return True

    def flush(self, batch: Sequence[Changes]) -> list[Changes]:
        """Write what several tasks have reported, in one transaction.

        Returns:
            Those that are no longer ours; nothing of them was written.
        """
        lost = []
        with self._database.write() as connection:
            for changes in batch:
                columns = {**changes.columns, **({"n_crashes": 0} if changes.is_advanced else {})}
                if not self._touch(connection, changes.claim, columns):
                    lost.append(changes)
                    continue
                journal.add_records(connection, changes.task_id, changes.records)
                if changes.events:
                    events = [
                        {"task_id": changes.task_id, "seq": seq, "body": body} for seq, body in changes.events.items()
                    ]
                    connection.execute(self._database.insert_new(schema.events), events)
        return lost

    def held(self, claims: Sequence[str]) -> set[str]:
        """Those of some claims that still hold."""
        table = schema.tasks
        with self._database.read() as connection:
            query = sa.select(table.c.claim).where(table.c.claim.in_(claims), table.c.state == "running")
            return set(connection.execute(query).scalars())

    def has_ended(self, task_id: str) -> bool:
        """Whether a task has ended, or is not even kept any more."""
        table = schema.tasks
        with self._database.read() as connection:
            return connection.execute(sa.select(table.c.id).where(table.c.id == task_id, UNENDED)).first() is None

    def begin_journal(self, claim: str, task_id: str, identity: Mapping[str, Any]) -> list[str] | None:
        """The journal records of earlier runs, as JSON; those of another audio, model or options are forgotten.

        Returns:
            None where the task is no longer ours.
        """
        text, table = dump(identity), schema.tasks
        with self._database.write() as connection:
            known = connection.execute(
                sa.select(table.c.journal_identity).where(table.c.claim == claim, table.c.state == "running")
            ).one_or_none()
            if known is None:
                return None
            if known.journal_identity != text:
                journal.forget(connection, task_id)
                self._touch(connection, claim, {"journal_identity": text})
            return journal.records_of(connection, task_id)

    def hand_back(self, claim: str) -> bool:
        """Let another worker, or a later run of this one, go on with a task."""
        return self._release(schema.tasks.c.claim == claim, is_crash=False).requeued != []

    def start_over(self, claim: str) -> bool:
        """Have a task executed anew, under another name."""
        return self._release(schema.tasks.c.claim == claim, is_crash=False, is_renamed=True).requeued != []

    def rename_queued(self, run_ids: Sequence[str]) -> None:
        """Have queued tasks executed under another name, as the execution has forgotten the one they have."""
        table = schema.tasks
        with self._database.write() as connection:
            for run_id in run_ids:
                connection.execute(
                    sa.update(table)
                    .where(table.c.run_id == run_id, table.c.state == "queued")
                    .values(run_id=uuid.uuid4().hex, is_enqueued=False)
                )

    def claims_of(self, worker_id: str) -> list[str]:
        """The claims under which a worker holds tasks."""
        table = schema.tasks
        with self._database.read() as connection:
            query = sa.select(table.c.claim).where(table.c.worker_id == worker_id, table.c.state == "running")
            return list(connection.execute(query).scalars())

    def release(self, claims: Sequence[str], *, is_renamed: bool = False) -> Released:
        """Take tasks from a worker that died over them.

        Args:
            claims: Under which it held them.
            is_renamed: Whether they are executed anew, under another name.
        """
        return self._release(schema.tasks.c.claim.in_(claims), is_crash=True, is_renamed=is_renamed)

    def release_all(self) -> None:
        """Take the tasks of all workers, where it is known that none lives: at the start with SQLite."""
        self._release(sa.true(), is_crash=True)
        with self._database.write() as connection:
            connection.execute(sa.delete(schema.workers))

    def _end(self, claim: str, state: Any, failure: TaskFailure | None) -> bool:
        condition = sa.and_(schema.tasks.c.claim == claim, schema.tasks.c.state == "running")
        with self._database.write() as connection:
            ended = end_task(
                connection, condition, state, now=time.time(), ttl_s=self._options.result_ttl_s, failure=failure
            )
        return ended != []

    def _release(self, condition: sa.ColumnElement[bool], *, is_crash: bool, is_renamed: bool = False) -> Released:
        table, now, ttl_s = schema.tasks, time.time(), self._options.result_ttl_s
        requeued, poisoned = [], []
        with self._database.write() as connection:
            query = sa.select(table.c.id, table.c.n_crashes, table.c.claim).where(condition, table.c.state == "running")
            for row in connection.execute(query).all():
                n_crashes = row.n_crashes + (1 if is_crash else 0)
                is_same = sa.and_(table.c.id == row.id, table.c.claim == row.claim)
                if n_crashes >= self._options.max_crashes:
                    if end_task(connection, is_same, "failed", now=now, ttl_s=ttl_s, failure=_poisoned(n_crashes)):
                        poisoned.append(row.id)
                    continue
                columns = {"run_id": uuid.uuid4().hex, "is_enqueued": False} if is_renamed else {}
                changed = connection.execute(
                    sa.update(table)
                    .where(is_same, table.c.state == "running")
                    .values(
                        state="queued",
                        claim=None,
                        worker_id=None,
                        stage=None,
                        n_crashes=n_crashes,
                        version=table.c.version + 1,
                        **columns,
                    )
                )
                if changed.rowcount == 1:
                    requeued.append(row.id)
        return Released(requeued, poisoned)

    def _touch(self, connection: sa.Connection, claim: str, columns: Mapping[str, Any]) -> bool:
        """Write columns of a task that is ours; holds it against other writers until the transaction ends."""
        table = schema.tasks
        changed = connection.execute(
            sa.update(table)
            .where(table.c.claim == claim, table.c.state == "running")
            .values(version=table.c.version + 1, **columns)
        )
        return changed.rowcount == 1


def _poisoned(n_crashes: int) -> TaskFailure:
    message = f"{n_crashes} workers in a row died while they worked on this task, without getting any further"
    return TaskFailure(TaskPoisonedError.code, message)
