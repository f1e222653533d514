"""Whether something failed because a disk is full."""

from __future__ import annotations

import errno
from typing import Final

from sqlalchemy.exc import OperationalError

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_ROOM_IN_SQLITE: Final = "database or disk is full"


def is_disk_full(error: BaseException) -> bool:
    """Whether the operating system, or SQLite, says that there is no room.

    Args:
        error: As it was raised.
    """
    if isinstance(error, OperationalError):
        return _NO_ROOM_IN_SQLITE in str(error.orig)
    return isinstance(error, OSError) and error.errno in _NO_ROOM
