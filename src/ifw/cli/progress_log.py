"""Progress where no terminal shows bars: a line now and then, so that a log tells whether a long run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ifw.cli.pace import Pace, arrived
from ifw.types import Progress

INTERVAL_S: Final = 60.0


class ProgressLog:
    """One line a minute for each file in flight; a file that is done within the first minute gets none."""

    def __init__(self, labels: Sequence[str], emit: Callable[[str], None]) -> None:
        self._labels = labels
        self._emit = emit
        self._paces: dict[int, Pace] = {}
        self._due_s: dict[int, float] = {}

    def advance(self, index: int, progress: Progress, now_s: float) -> None:
        """Take progress of a file."""
        pace = self._paces.setdefault(index, Pace())
        pace.advance(progress, now_s)
        if self._is_due(index, now_s):
            self._emit(f"progress: {self._labels[index]}: {pace.written(now_s)}")

    def arrive(self, index: int, n_bytes: int, total: int | None, now_s: float) -> None:
        """Take progress of a download."""
        if self._is_due(index, now_s):
            self._emit(f"progress: {self._labels[index]}: {arrived(n_bytes, total)}")

    def end(self, index: int) -> None:
        """Forget a file."""
        self._paces.pop(index, None)
        self._due_s.pop(index, None)

    def _is_due(self, index: int, now_s: float) -> bool:
        is_due = now_s >= self._due_s.setdefault(index, now_s + INTERVAL_S)
        if is_due:
            self._due_s[index] = now_s + INTERVAL_S
        return is_due
