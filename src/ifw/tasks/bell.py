"""Who waits for a task is woken when it changes in this process; changes of other processes are found by looking."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

_log: Final = logging.getLogger("ifw.tasks")


class Bell:
    """Listeners by task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, dict[int, Callable[[], None]]] = {}
        self._next_key = 0
        self._of_all: list[Callable[[], None]] = []

    def listen_to_all(self, listener: Callable[[], None]) -> None:
        """Call `listener` at each change of any task."""
        with self._lock:
            self._of_all.append(listener)

    def listen(self, task_id: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` at each change of a task.

        Args:
            task_id: Of which.
            listener: Must be quick and must not raise; runs in the thread that made the change.

        Returns:
            A function that ends this; calling it twice is harmless.
        """
        with self._lock:
            key = self._next_key
            self._next_key += 1
            self._listeners.setdefault(task_id, {})[key] = listener

        def remove() -> None:
            with self._lock:
                listeners = self._listeners.get(task_id, {})
                listeners.pop(key, None)
                if not listeners:
                    self._listeners.pop(task_id, None)

        return remove

    def ring(self, task_ids: Iterable[str]) -> None:
        """Tell the listeners of some tasks."""
        with self._lock:
            listeners = [one for task_id in task_ids for one in self._listeners.get(task_id, {}).values()]
            listeners += self._of_all
        for listener in listeners:
            try:
                listener()
            except Exception:
                # Such as an event loop that has ended; the others, and what the caller does, go on.
                _log.exception("a listener to changes of tasks failed")
