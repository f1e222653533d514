"""Inputs that are made once and kept for the next run, never half of one, and never one that an older version made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path


def kept(folder: Path, name: str, made_as: int, make: Callable[[Path], None]) -> Path:
    """Make a file or a folder, unless it is there already.

    Args:
        folder: Holds it.
        name: All that its content depends on, and for a file its suffix: `windows-16-0.npy`.
        made_as: A number that is raised whenever `make` writes something else for the same name.
        make: Writes it to the path that it is given, which ends as `name` does.

    Returns:
        Where it is.
    """
    stem, dot, suffix = name.partition(".")
    target = folder / f"{stem}-v{made_as}{dot}{suffix}"
    if not target.exists():
        partial = target.with_name(f"partial-{target.name}")
        shutil.rmtree(partial, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        make(partial)
        partial.rename(target)
    return target
