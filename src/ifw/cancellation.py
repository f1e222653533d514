"""A flag that ends work from outside, promptly and from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ifw.errors import CancelledError


class CancelToken:
    """Shared between the one who may cancel and the work that can be cancelled.

    One token may end several pieces of work. Cancelling twice does nothing more.

    Example:
        >>> token = CancelToken()
        >>> token.cancel()
        >>> token.is_cancelled
        True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._next_key = 0
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._is_cancelled

    def cancel(self) -> None:
        """End the work: it raises `CancelledError` in its own thread as soon as it can."""
        with self._lock:
            self._is_cancelled = True
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    def raise_if_cancelled(self) -> None:
        """Raise where the work can stop.

        Raises:
            CancelledError: `cancel` was called.
        """
        if self._is_cancelled:
            raise CancelledError("the transcription was cancelled by its caller")

    def add_callback(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` on cancellation, at once where that has already happened.

        Args:
            callback: Must be quick and must not raise; runs in the cancelling thread.

        Returns:
            A function that takes the callback back; calling it twice is harmless.
        """
        with self._lock:
            key = self._next_key
            self._next_key += 1
            is_late = self._is_cancelled
            if not is_late:
                self._callbacks[key] = callback
        if is_late:
            callback()

        def remove() -> None:
            with self._lock:
                self._callbacks.pop(key, None)

        return remove
