"""Tasks over which a worker died begin one at a time, until they have got further: the next death tells who did it.

Of the tasks that ran when a worker died only one may be to blame, yet all are under suspicion. Those that wait for
their turn here hold no claim, so a death is not counted against them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

MAX_S: Final = 60.0
_LOOK_S: Final = 0.2


class Probation:
    """The one place for a task under suspicion in this process."""

    def __init__(self) -> None:
        self._place = threading.Semaphore(1)

    def enter(self, closing: threading.Event) -> Callable[[], None] | None:
        """Wait for the place.

        Args:
            closing: Ends the wait.

        Returns:
            A function that leaves the place, to be called as soon as the task has got further; calling it again is
            harmless, and after a minute it is called in any case. None where the wait was ended.
        """
        while not self._place.acquire(timeout=_LOOK_S):
            if closing.is_set():
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
