"""Where the audio of a request lies until it is opened; then it has no name on the disk any more."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

REQUESTS: Final = "requests"
"""In the data folder."""
MAX_AGE_S: Final = 24 * 3600.0
"""No request takes so long to arrive: an older folder is what a process left that was killed."""


@contextmanager
def request_folder(data_dir: Path) -> Iterator[Path]:
    """A new folder for one request, which is gone afterwards.

    Args:
        data_dir: Of the settings; it must exist.
    """
    parent = data_dir / REQUESTS
    parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # most often it is gone already


def remove_stale(data_dir: Path) -> None:
    """Remove what killed processes have left; several may share the folder, so what is young stays."""
    with suppress(FileNotFoundError):
        for folder in (data_dir / REQUESTS).iterdir():
            with suppress(FileNotFoundError):  # another process removes it too
                if time.time() - folder.stat().st_mtime > MAX_AGE_S:
                    shutil.rmtree(folder, ignore_errors=True)
