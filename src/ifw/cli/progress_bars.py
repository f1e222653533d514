"""Progress bars at a terminal, and how to print above them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from ifw.cli.pace import Pace, arrived
from ifw.cli.visible import visible
from ifw.types import Progress

MAX_NAME = 40  # characters before a bar


class Bars:
    """One progress bar for each file in flight, with its `Pace`, and one for all files where there are several."""

    def __init__(self, labels: Sequence[str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
        from rich.progress import Progress as Display
        from rich.text import Text

        class PaceColumn(ProgressColumn):
            """How far each stage has come, and how long the slowest will take."""

            def render(self, task: Task) -> Text:
                pace: Pace | str | None = task.fields.get("pace")
                if pace is None:
                    return Text(f"{task.completed:.0f} of {task.total:.0f}")
                return Text(pace if isinstance(pace, str) else pace.written(monotonic()))

        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._display = Display(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            PaceColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._names = [_shortened(Path(label).name) for label in labels]
        self._tasks: dict[int, TaskID] = {}
        self._paces: dict[int, Pace] = {}
        self._all = self._display.add_task("all files", total=len(labels)) if len(labels) > 1 else None
        self._display.start()

    def arrive(self, index: int, n_bytes: int, total: int | None) -> None:
        """Move the bar of a file that is being downloaded."""
        if index not in self._tasks:
            self._tasks[index] = self._display.add_task(self._names[index], total=None, pace="")
        self._display.update(self._tasks[index], completed=n_bytes, total=total, pace=arrived(n_bytes, total))

    def advance(self, index: int, progress: Progress) -> None:
        """Move the bar of a file, which appears when its first progress comes."""
        if index not in self._paces:
            pace = self._paces[index] = Pace()
            if index in self._tasks:
                self._display.update(self._tasks[index], completed=0, pace=pace)
            else:
                self._tasks[index] = self._display.add_task(self._names[index], total=None, pace=pace)
        self._paces[index].advance(progress, monotonic())
        self._display.update(self._tasks[index], completed=self._paces[index].done_s, total=progress.total_s)

    def end(self, index: int) -> None:
        """Take away the bar of a file."""
        if index in self._tasks:
            self._display.remove_task(self._tasks.pop(index))
            self._paces.pop(index, None)
        if self._all is not None:
            self._display.advance(self._all)

    def print(self, text: str) -> None:
        """Print above the bars."""
        self._console.print(text, end="")

    def close(self) -> None:
        """Take all bars away."""
        self._display.stop()


def _shortened(name: str) -> str:
    name = visible(name)
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
