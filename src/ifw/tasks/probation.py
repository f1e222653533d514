"""Tasks over which a worker died begin one at a time, until they have got further: the next death tells who did it.

Of the tasks that ran when a worker died only one may be to blame, yet all are under suspicion. Those that find the
place taken go back to the queue: they hold no claim, so no death is counted against them, and take no room of others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

MAX_S: Final = 60.0


class Probation:
    """The one place for a task under suspicion in this process."""

    def __init__(self) -> None:
        self._place = threading.Semaphore(1)

    def enter(self) -> Callable[[], None] | None:
        """Take the place.

        Returns:
            A function that leaves the place, to be called as soon as the task has got further; calling it again is
            harmless, and after a minute it is called in any case. None where the place is taken.
        """
        if not self._place.acquire(blocking=False):
            return None
        lock = threading.Lock()

        def leave() -> None:
            if lock.acquire(blocking=False):
                timer.cancel()
                self._place.release()

        timer = threading.Timer(MAX_S, leave)
        timer.daemon = True
        timer.start()
        return leave
