"""Whether a database answers, asked by those who cannot wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

from sqlalchemy.exc import SQLAlchemyError


class DatabaseProbe:
    """Has a thread ask, so that a database that hangs holds nobody up.

    Args:
        ping: Returns when the database has answered; raises `SQLAlchemyError` where it refuses.
        limit_s: How long an answer may take.
    """

    def __init__(self, ping: Callable[[], None], limit_s: float = 2.0) -> None:
        self._ping = ping
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._asked: Future[None] | None = None

    def answers(self) -> bool:
        """Whether it does, in time. While a question is not answered no other one is asked."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                threading.Thread(target=self._ask, args=(self._asked,), name="ifw-ping", daemon=True).start()
            asked = self._asked
        try:
            asked.result(self._limit_s)
        except (NotYet, SQLAlchemyError):
            return False
        return True

    def _ask(self, asked: Future[None]) -> None:
        try:
            self._ping()
        except Exception as error:  # for the one who waits
            asked.set_exception(error)
        else:
            asked.set_result(None)
