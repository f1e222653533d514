"""When a wait on the network is over: a deadline for all, one for the present phase, and the caller's cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

from ifw.cancellation import CancelToken
from ifw.errors import FetchTimeoutError

SLICE_S: Final = 0.1  # of a wait that nothing can wake


class TimeLimits:
    """The clock of one exchange. All waits take their length from here.

    Args:
        shown: The URL, for messages.
        total_s: For everything.
        cancel: Ends every wait.
    """

    def __init__(self, shown: str, total_s: float, cancel: CancelToken | None) -> None:
        self._shown = shown
        self._total_s = total_s
        self._end_s = monotonic() + total_s
        self._phase_end_s = self._end_s
        self._cancel = cancel if cancel is not None else CancelToken()

    def start_phase(self, seconds: float) -> None:
        """From now on what comes next has this long."""
        self._phase_end_s = monotonic() + seconds

    def check(self) -> None:
        """See that there is a reason to go on.

        Raises:
            CancelledError: The caller cancelled.
            FetchTimeoutError: The time for everything is over.
        """
        self._cancel.raise_if_cancelled()
        if monotonic() >= self._end_s:
            raise FetchTimeoutError(f"{self._shown}: it took longer than {self._total_s:g} s in all")

    def left_s(self) -> float:
        """Seconds until the next of the deadlines, above 0.

        Raises:
            CancelledError: The caller cancelled.
            FetchTimeoutError: The time for everything is over.
            TimeoutError: That for this phase is over.
        """
        self.check()
        left_s = min(self._end_s, self._phase_end_s) - monotonic()
        if left_s <= 0:
            self.check()
            raise TimeoutError("timed out")
        return left_s

    def wait(self, event: threading.Event) -> None:
        """Wait for something that another thread does.

        Raises:
            CancelledError: The caller cancelled.
            FetchTimeoutError: The time for everything is over.
            TimeoutError: That for this phase is over.
        """
        left_s = self.left_s()
        remove = self.on_cancel(event.set)
        try:
            is_done = event.wait(left_s)
        finally:
            remove()
        self.check()
        if not is_done:
            raise TimeoutError("timed out")

    def pause(self, seconds: float) -> None:
        """Do nothing for a while.

        Raises:
            CancelledError: The caller cancelled.
            FetchTimeoutError: The time for everything is over.
        """
        self.start_phase(seconds)
        try:
            self.wait(threading.Event())
        except TimeoutError:
            self.check()

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` when the caller cancels; what is returned takes it back."""
        return self._cancel.add_callback(callback)
