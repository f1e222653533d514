"""The table of webhook events: which are due, who is at them, what came of each attempt."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ifw.errors import TaskUnfinishedError, TaskWebhookError
from ifw.tasks import schema
from ifw.tasks.records import DeliveryState, Task, Webhook
from ifw.tasks.rows import webhook_of
from ifw.tasks.site import Site

_LEASE_MARGIN_S: Final = 60.0  # past the time that an attempt may take
_CANDIDATES: Final = 200


class Due(NamedTuple):
    """A delivery that this process is to try now.

    Attributes:
        task_id: Of which task.
        message_id: The same at each attempt.
        origin: Where it goes.
        n_tries: Attempts before this one.
        lease: Under which it was taken.
        webhook: Its address.
    """

    task_id: str
    message_id: str
    origin: str
    n_tries: int
    lease: str
    webhook: Webhook


class Tried(NamedTuple):
    """What came of an attempt.

    Attributes:
        at: When it began, seconds since 1970.
        status: Of HTTP, where there was an answer.
        error: What went wrong, if something did.
        duration_s: How long it took.
        state: That of the delivery from now on.
        next_at: When it is due again, where it is still pending.
    """

    at: float
    status: int | None
    error: str | None
    duration_s: float
    state: DeliveryState
    next_at: float


@dataclass(slots=True)
class Room:
    """How many attempts may be begun.

    Attributes:
        n_all: At most so many.
        n_retries: Of these, deliveries that were tried before, as their receivers may hang again.
        n_unproven: Of these, to origins that have not answered yet.
        proven: Origins that have answered.
        free_at: How many may go to an origin.
    """

    n_all: int
    n_retries: int
    n_unproven: int
    proven: Collection[str]
    free_at: Callable[[str], int]
    by_origin: dict[str, int] = field(default_factory=dict)

    def take(self, origin: str, *, is_retry: bool) -> bool:
        """Take the room for one attempt, if it is there."""
        left, is_unproven = self.by_origin.setdefault(origin, self.free_at(origin)), origin not in self.proven
        if min(left, self.n_all) <= 0 or (is_retry and self.n_retries <= 0) or (is_unproven and self.n_unproven <= 0):
            return False
        self.by_origin[origin] = left - 1
        self.n_all -= 1
        self.n_retries -= is_retry
        self.n_unproven -= is_unproven
        return True

    def closed(self) -> tuple[list[str], bool, bool]:
        """The origins without room, and whether there is room for retries and for origins that are not proven."""
        return [one for one, left in self.by_origin.items() if left <= 0], self.n_retries > 0, self.n_unproven > 0


class Deliveries:
    """The deliveries of all tasks.

    Args:
        site: Where the tasks are.
    """

    def __init__(self, site: Site) -> None:
        self._worker_id = site.worker_id
        self._database = site.database
        self._store = site.store

    def take_due(self, room: Room, timeout_s: float) -> list[Due]:
        """Take deliveries that are due: those to origins that answer first, then those that were never tried.

        Args:
            room: How many; what is taken is taken off it.
            timeout_s: How long an attempt may take; past it, and a margin, somebody else may take the delivery.
        """
        taken: list[Due] = []
        asked: tuple[object, ...] | None = None
        while room.n_all > 0 and asked != (asked := room.closed()):
            batch = [row for row in self._candidates(room) if room.take(row.origin, is_retry=row.n_tries > 0)]
            if batch:
                taken += self._lease(batch, timeout_s)
                asked = None
        return taken

    def next_due_in_s(self) -> float | None:
        """Seconds until a delivery is due that nobody is at; None where there is none."""
        table = schema.deliveries
        with self._database.read() as connection:
            query = sa.select(sa.func.min(table.c.next_at)).where(table.c.state == "pending", table.c.lease.is_(None))
            next_at = connection.scalar(query)
        return None if next_at is None else max(0.0, next_at - time.time())

    def body(self, task_id: str, build: Callable[[Task], bytes]) -> bytes:
        """The bytes of an event: built at the first attempt, the same ever after."""
        table = schema.deliveries
        stored = sa.select(table.c.body).where(table.c.task_id == task_id)
        with self._database.read() as connection:
            body = connection.scalar(stored)
        if body is None:
            built = build(self._store.get(task_id))
            with self._database.write() as connection:
                connection.execute(
                    sa.update(table).where(table.c.task_id == task_id, table.c.body.is_(None)).values(body=built)
                )
                body = connection.scalar(stored)
        return b"" if body is None else bytes(body)

    def record(self, due: Due, tried: Tried) -> None:
        """Write an attempt down, and when the next one is due. One that was asked for meanwhile stays due."""
        table, log = schema.deliveries, schema.delivery_attempts
        with self._database.write() as connection:
            changed = connection.execute(
                sa.update(table)
                .where(table.c.task_id == due.task_id, table.c.lease == due.lease)
                .values(state=tried.state, n_tries=due.n_tries + 1, next_at=tried.next_at, lease=None, lease_until=None)
            )
            if changed.rowcount == 0 and not self._is_known(connection, due.task_id):
                return
            connection.execute(
                sa.insert(log).values(
                    task_id=due.task_id,
                    at=tried.at,
                    status=tried.status,
                    error=tried.error,
                    duration_s=tried.duration_s,
                )
            )
            _touch_task(connection, due.task_id)

    def release(self, due: Due) -> None:
        """Give back a delivery that was not tried after all."""
        table = schema.deliveries
        with self._database.write() as connection:
            mine = sa.and_(table.c.task_id == due.task_id, table.c.lease == due.lease)
            connection.execute(sa.update(table).where(mine).values(lease=None, lease_until=None))

    def release_all(self) -> None:
        """Give back what dead workers were at, where it is known that none lives."""
        with self._database.write() as connection:
            connection.execute(sa.update(schema.deliveries).values(lease=None, lease_until=None))

    def redeliver(self, task_id: str) -> Task:
        """Have the event of a task delivered once more, from now on, with all its attempts.

        Raises:
            TaskNotFoundError: There is none of this name.
            TaskWebhookError: It has no webhook.
            TaskUnfinishedError: It has not ended yet.
        """
        task = self._store.get(task_id)
        if task.webhook is None:
            raise TaskWebhookError(f"task {task_id!r} has no webhook, so there is nothing to deliver")
        if not task.has_ended:
            raise TaskUnfinishedError(f"task {task_id!r} is {task.state}; its event is delivered when it has ended")
        table = schema.deliveries
        with self._database.write() as connection:
            # Without a lease, so that an attempt under way does not count for this.
            connection.execute(
                sa.update(table)
                .where(table.c.task_id == task_id)
                .values(state="pending", n_tries=0, next_at=time.time(), lease=None, lease_until=None)
            )
            _touch_task(connection, task_id)
        return self._store.get(task_id)

    def _candidates(self, room: Room) -> list[Any]:
        table, now = schema.deliveries, time.time()
        full, has_retries, has_unproven = room.closed()
        is_proven, is_retry = table.c.origin.in_(room.proven), table.c.n_tries > 0
        query = (
            sa.select(table.c.task_id, table.c.message_id, table.c.origin, table.c.n_tries, schema.tasks.c.webhook)
            .join(schema.tasks, schema.tasks.c.id == table.c.task_id)
            .where(table.c.state == "pending", table.c.next_at <= now, table.c.origin.not_in(full))
            .where(sa.or_(table.c.lease.is_(None), table.c.lease_until < now))
            .order_by(sa.case((is_proven, 0), else_=1), sa.case((is_retry, 1), else_=0), table.c.next_at)
            .limit(_CANDIDATES)
        )
        if not has_retries:
            query = query.where(~is_retry)
        if not has_unproven:
            query = query.where(is_proven)
        with self._database.read() as connection:
            return list(connection.execute(query).all())

    def _lease(self, rows: list[Any], timeout_s: float) -> list[Due]:
        table, now, taken = schema.deliveries, time.time(), []
        with self._database.write() as connection:
            for row in rows:
                lease = uuid.uuid4().hex
                changed = connection.execute(
                    sa.update(table)
                    .where(table.c.task_id == row.task_id, table.c.state == "pending")
                    .where(sa.or_(table.c.lease.is_(None), table.c.lease_until < now))
                    .values(lease=lease, lease_until=now + timeout_s + _LEASE_MARGIN_S, worker_id=self._worker_id)
                )
                webhook = webhook_of(row.webhook)
                if changed.rowcount == 1 and webhook is not None:
                    taken.append(Due(row.task_id, row.message_id, row.origin, row.n_tries, lease, webhook))
        return taken

    def _is_known(self, connection: sa.Connection, task_id: str) -> bool:
        table = schema.deliveries
        return connection.execute(sa.select(table.c.task_id).where(table.c.task_id == task_id)).first() is not None


def _touch_task(connection: sa.Connection, task_id: str) -> None:
    table = schema.tasks
    connection.execute(sa.update(table).where(table.c.id == task_id).values(version=table.c.version + 1))


def event_headers(headers: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """The headers that the submitter wants, and ours, which they cannot replace."""
    taken = {name.lower() for name in ours}
    return {**{name: value for name, value in headers.items() if name.lower() not in taken}, **ours}
