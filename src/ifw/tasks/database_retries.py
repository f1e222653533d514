"""Writes that must not be lost because the database is away for a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_log: Final = logging.getLogger("ifw.tasks")
_Value = TypeVar("_Value")
_FIRST_PAUSE_S: Final = 0.2
_LAST_PAUSE_S: Final = 5.0
_WRONG_STATEMENT: Final = 1  # SQLITE_ERROR, such as for a column that is not there


def persist(write: Callable[[], _Value], closing: threading.Event) -> _Value:
    """Write as soon as the database can.

    Args:
        write: Is called until it succeeds, or fails for a reason that will not pass.
        closing: When it is set there is no further try.

    Raises:
        SQLAlchemyError: The process is about to end and the database still refuses, or it will always refuse this.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return write()
        except SQLAlchemyError as error:
            if not may_pass(error):
                raise
            _log.warning("the database refuses, which is tried again: %s", type(error).__name__)
            if closing.wait(pause_s):
                raise
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)


def may_pass(error: SQLAlchemyError) -> bool:
    """Whether the same statement may succeed later: the database is away, busy or full."""
    if isinstance(error, OperationalError):
        return getattr(error.orig, "sqlite_errorcode", None) != _WRONG_STATEMENT
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, (InterfaceError, PoolTimeoutError))
