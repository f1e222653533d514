"""Writes that must not be lost because the database is away for a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

_log: Final = logging.getLogger("ifw.tasks")
_Value = TypeVar("_Value")
_FIRST_PAUSE_S: Final = 0.2
_LAST_PAUSE_S: Final = 5.0


def persist(write: Callable[[], _Value], closing: threading.Event) -> _Value:
    """Write as soon as the database can.

    Args:
        write: Is called until it succeeds.
        closing: When it is set there is no further try.

    Raises:
        SQLAlchemyError: The process is about to end, and the database still refuses.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return write()
        except SQLAlchemyError as error:
            _log.warning("the database refuses, which is tried again: %s", type(error).__name__)
            if closing.wait(pause_s):
                raise
            pause_s = min(2 * pause_s, _LAST_PAUSE_S)
