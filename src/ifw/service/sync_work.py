"""Transcriptions that somebody waits for: a bounded number of threads, and a bounded number that wait for one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from ifw.errors import NotReadyError, QueueFullError

_T = TypeVar("_T")

SYNC_PRIORITY: Final = 10
"""Somebody waits for it: its windows go before those of tasks, whose priorities are lower unless asked for."""


class SyncWork:
    """A pool of threads that refuses what it could not begin soon.

    Args:
        max_running: Threads.
        max_waiting: Pieces of work that may wait for one.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(max_running, thread_name_prefix="ifw-sync")
        self._limit = max_running + max_waiting
        self._lock = threading.Lock()
        self._n_accepted = 0
        self._is_closed = False

    @property
    def n_accepted(self) -> int:
        """Pieces of work that run or wait."""
        with self._lock:
            return self._n_accepted

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        """Have a thread do it.

        Raises:
            QueueFullError: As many as allowed run and wait already.
            NotReadyError: The pool was closed.
        """
        with self._lock:
            self._require_room()
            self._n_accepted += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._release)
        return future

    def require_room(self) -> None:
        """Refuse as `submit` would now, before what it takes is there.

        Raises:
            QueueFullError: As many as allowed run and wait already.
            NotReadyError: The pool was closed.
        """
        with self._lock:
            self._require_room()

    def close(self) -> None:
        """Refuse new work. What runs or waits must end by itself: its token is to be cancelled."""
        with self._lock:
            self._is_closed = True
        self._pool.shutdown(wait=False)

    def _require_room(self) -> None:
        if self._is_closed:
            raise NotReadyError("the server is shutting down; ask again in a moment")
        if self._n_accepted >= self._limit:
            raise QueueFullError(
                f"{self._n_accepted} synchronous requests are running or waiting already, allowed: {self._limit}; "
                "ask again later, or submit a task"
            )

    def _release(self, future: Future[_T]) -> None:
        with self._lock:
            self._n_accepted -= 1
