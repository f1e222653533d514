"""A folder for each task, for what was uploaded or fetched."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from ifw.errors import TaskExistsError
from ifw.tasks.store import check_id

ABANDONED_AFTER_S: Final = 3600.0
_BATCH: Final = 500


class Spool:
    """The folders of all tasks.

    Args:
        root: The folder in which they are.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, task_id: str) -> Path:
        """Where the files of a task are; made where it is not there."""
        check_id(task_id)
        folder = self._root / task_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def new_folder(self, task_id: str) -> Path:
        """An empty folder for a task that will be submitted; `TaskExistsError` where the name is taken."""
        check_id(task_id)
        self._root.mkdir(parents=True, exist_ok=True)
        folder = self._root / task_id
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise TaskExistsError(f"task id {task_id!r}: it is in use already; name another, or none") from None
        return folder

    def remove(self, task_id: str) -> None:
        """Delete the files of a task."""
        shutil.rmtree(self._root / task_id, ignore_errors=True)

    def sweep(self, needed: Callable[[Sequence[str]], Collection[str]], idle_s: float) -> None:
        """Delete folders that no task needs.

        Args:
            needed: Those of some names whose tasks have not ended.
            idle_s: Folders in which something changed since then are left, as an upload may still go on.
        """
        if not self._root.is_dir():
            return
        names = [folder.name for folder in self._root.iterdir()]
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            kept = needed(batch)
            for name in batch:
                if name not in kept and _newest_change(self._root / name) <= time.time() - idle_s:
                    self.remove(name)


def _newest_change(folder: Path) -> float:
    newest = 0.0
    for path in (folder, *folder.glob("*")):
        try:
            newest = max(newest, path.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return newest
