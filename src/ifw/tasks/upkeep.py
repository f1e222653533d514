"""What somebody has to see to every few seconds: the tasks of dead workers, deadlines, and what has expired."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ifw.errors import TaskDeadlineError
from ifw.tasks import schema
from ifw.tasks.claims import Released
from ifw.tasks.endings import end_task
from ifw.tasks.execution import Execution, ExecutionError
from ifw.tasks.flusher import Flusher
from ifw.tasks.heartbeat import Heartbeat
from ifw.tasks.records import TaskFailure
from ifw.tasks.site import Site
from ifw.tasks.spool import ABANDONED_AFTER_S
from ifw.tasks.store import delete_tasks

_log: Final = logging.getLogger("ifw.tasks")
_AUDIT_EVERY_S: Final = 30.0
_SWEEP_EVERY_S: Final = 600.0
_BATCH: Final = 200


class Upkeep:
    """The upkeep of one worker.

    Args:
        site: Where the tasks are.
        execution: Where tasks are queued again.
        flusher: Knows what runs here.
        heartbeat: Knows which workers are dead.
    """

    def __init__(self, site: Site, execution: Execution, flusher: Flusher, heartbeat: Heartbeat) -> None:
        self._worker_id = site.worker_id
        self._database = site.database
        self._options = site.options
        self._claims = site.claims
        self._store = site.store
        self._bell = site.bell
        self._spool = site.spool
        self._execution = execution
        self._flusher = flusher
        self._heartbeat = heartbeat
        self._next_audit_at = 0.0
        self._next_sweep_at = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="ifw-task-upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def take_over(self, worker_id: str) -> None:
        """Take the tasks of a dead worker."""
        released = self._claims.release(self._claims.claims_of(worker_id))
        n_resumed = self._execution.resume(worker_id)
        with self._database.write() as connection:
            connection.execute(sa.delete(schema.workers).where(schema.workers.c.id == worker_id))
            theirs = sa.update(schema.deliveries).where(schema.deliveries.c.worker_id == worker_id)
            connection.execute(theirs.values(lease=None, lease_until=None, worker_id=None))
        self._heartbeat.forget(worker_id)
        self._tell(released)
        _log.warning("worker %s is dead; %d tasks were taken over", worker_id, max(n_resumed, len(released.requeued)))

    def tick(self) -> None:
        """Do everything that is due."""
        for worker_id in self._heartbeat.dead():
            self.take_over(worker_id)
        self._release_forgotten()
        self._end_late()
        self._enqueue_missing()
        now = time.monotonic()
        if now >= self._next_audit_at:
            self._next_audit_at = now + _AUDIT_EVERY_S
            self._audit()
        self.remove_expired()
        if now >= self._next_sweep_at:
            self._next_sweep_at = now + _SWEEP_EVERY_S
            self._spool.sweep(self._store.unended, ABANDONED_AFTER_S)
            self._execution.forget_ended()

    def remove_expired(self) -> None:
        """Delete tasks that have been kept long enough, with their files; not while a delivery is still tried."""
        table, deliveries = schema.tasks, schema.deliveries
        pending = sa.select(deliveries.c.task_id).where(deliveries.c.state == "pending")
        with self._database.read() as connection:
            query = sa.select(table.c.id).where(table.c.expires_at <= time.time(), table.c.id.not_in(pending))
            expired = list(connection.execute(query.limit(_BATCH)).scalars())
        if not expired:
            return
        for task_id in expired:
            self._spool.remove(task_id)
        with self._database.write() as connection:
            run_ids = delete_tasks(connection, expired)
        self._execution.forget(run_ids)
        self._bell.ring(expired)

    def _release_forgotten(self) -> None:
        """Tasks that are ours in the table but that nobody here works on."""
        held = self._claims.claims_of(self._worker_id)
        known = set(self._flusher.known_claims())
        forgotten = [claim for claim in held if claim not in known]
        if forgotten:
            self._tell(self._claims.release(forgotten, is_renamed=True))

    def _end_late(self) -> None:
        late = TaskFailure(TaskDeadlineError.code, "the task did not end before its deadline")
        now = time.time()
        condition = schema.tasks.c.deadline_at <= now
        with self._database.read() as connection:
            query = sa.select(schema.tasks.c.id).where(condition, schema.tasks.c.state.in_(("queued", "running")))
            if connection.execute(query).first() is None:
                return
        with self._database.write() as connection:
            ended = end_task(connection, condition, "failed", now=now, ttl_s=self._options.result_ttl_s, failure=late)
        for task_id in ended:
            self._flusher.stop_task(task_id)
            self._spool.remove(task_id)
        self._bell.ring(ended)

    def _tell(self, released: Released) -> None:
        """What was taken from a worker waits again, or has ended."""
        for task_id in released.poisoned:
            self._spool.remove(task_id)
        self._bell.ring([*released.requeued, *released.poisoned])

    def _enqueue_missing(self) -> None:
        """Tasks whose submission was cut off before they were queued, or that are to be executed anew."""
        table = schema.tasks
        with self._database.read() as connection:
            query = sa.select(table.c.run_id, table.c.priority, table.c.n_crashes).where(
                table.c.state == "queued", table.c.is_enqueued.is_(False)
            )
            rows = connection.execute(query.limit(_BATCH)).all()
        for row in rows:
            self._execution.enqueue(row.run_id, row.priority, is_first=row.n_crashes > 0)
            self._store.mark_enqueued(row.run_id)

    def _audit(self) -> None:
        """Queued tasks that the execution does not know are executed anew."""
        table = schema.tasks
        with self._database.read() as connection:
            queued = (table.c.state == "queued", table.c.is_enqueued.is_(True))
            run_ids = list(connection.execute(sa.select(table.c.run_id).where(*queued)).scalars())
        for start in range(0, len(run_ids), _BATCH):
            batch = run_ids[start : start + _BATCH]
            alive = self._execution.alive(batch)
            missing = [run_id for run_id in batch if run_id not in alive]
            if missing:
                self._claims.rename_queued(missing)
        self._enqueue_missing()

    def _loop(self) -> None:
        while not self._closing.wait(self._options.heartbeat_s):
            try:
                self.tick()
            except (SQLAlchemyError, ExecutionError) as error:
                _log.warning("the upkeep of tasks is tried again: %s: %s", type(error).__name__, error)
            except Exception:
                _log.exception("the upkeep of tasks is tried again")
