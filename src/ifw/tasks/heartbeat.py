"""Signs of life: that of this worker is given, and those of the others are watched."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ifw.tasks import schema
from ifw.tasks.site import Site

_log: Final = logging.getLogger("ifw.tasks")
_MAX_GAP: Final = 2.0  # heartbeats between two looks, past which nothing is known about the time between them


class _Seen(NamedTuple):
    """The counter of a worker, and since when it stands still; None where the worker has no counter."""

    beat: int | None
    since: float


class Heartbeat:
    """The heartbeat of one worker. It has a thread of its own, so that nothing else can hold it up.

    Another worker is dead when its counter stands still on the clock of this process: clocks that differ do no harm,
    and neither does a database that was away, as that time counts for nobody.

    Args:
        site: Where the tasks are.
    """

    def __init__(self, site: Site) -> None:
        self._worker_id = site.worker_id
        self._database = site.database
        self._options = site.options
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._looked_at = float("-inf")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="ifw-task-heartbeat", daemon=True)

    def start(self) -> None:
        """Go on after the first sign of life."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and say goodbye."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            with self._database.write() as connection:
                connection.execute(sa.delete(schema.workers).where(schema.workers.c.id == self._worker_id))
        except SQLAlchemyError as error:
            _log.warning("the worker could not sign off: %s", type(error).__name__)

    def beat(self) -> None:
        """Give a sign of life. A worker that was declared dead comes back; what it had is somebody else's by then."""
        table = schema.workers
        with self._database.write() as connection:
            mine = sa.update(table).where(table.c.id == self._worker_id).values(beat=table.c.beat + 1)
            if connection.execute(mine).rowcount == 0:
                connection.execute(sa.insert(table).values(id=self._worker_id, beat=1, started_at=time.time()))

    def look(self, now: float) -> None:
        """See how the others are, those included that have tasks but never gave a sign of life.

        Args:
            now: Seconds on a clock that never goes back.
        """
        table = schema.tasks
        with self._database.read() as connection:
            workers = schema.workers
            beats: dict[str, int | None] = {
                row[0]: row[1] for row in connection.execute(sa.select(workers.c.id, workers.c.beat))
            }
            holders = sa.select(table.c.worker_id).where(table.c.state == "running", table.c.worker_id.is_not(None))
            for worker_id in connection.execute(holders.distinct()).scalars():
                beats.setdefault(worker_id, None)
        with self._lock:
            is_gap = now - self._looked_at > _MAX_GAP * self._options.heartbeat_s
            self._looked_at = now
            known = {} if is_gap else self._seen
            self._seen = {
                one: known[one] if one in known and known[one].beat == beat else _Seen(beat, now)
                for one, beat in beats.items()
            }

    def dead(self) -> list[str]:
        """The workers that stood still for too long, as of the last look."""
        with self._lock:
            limit = self._looked_at - self._options.dead_after_s
            return [one for one, seen in self._seen.items() if seen.since <= limit and one != self._worker_id]

    def forget(self, worker_id: str) -> None:
        """A dead worker has been seen to."""
        with self._lock:
            self._seen.pop(worker_id, None)

    def _loop(self) -> None:
        while not self._closing.wait(self._options.heartbeat_s):
            try:
                self.beat()
                self.look(time.monotonic())
            except SQLAlchemyError as error:
                _log.warning("the sign of life is given again: %s", type(error).__name__)
            except Exception:
                _log.exception("the sign of life is given again")
