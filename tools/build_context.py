"""What a build of the image gets to see of the project: files that git knows, less what `.dockerignore` leaves out."""

from __future__ import annotations

import fnmatch
import shutil
import subprocess
from pathlib import Path


def copy_context(root: Path, dockerfile: Path, target: Path) -> tuple[int, int]:
    """Copy it.

    Args:
        root: Of the repository.
        dockerfile: The ignore file lies beside it, as BuildKit has it.
        target: A folder that is made.

    Returns:
        The number of files, and of their bytes.
    """
    patterns = dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text(encoding="utf-8").splitlines()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    n_files = n_bytes = 0
    for name in sorted(filter(None, listed.stdout.split("\0"))):
        if is_sent(name, patterns) and (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, target / name)
            n_files += 1
            n_bytes += (root / name).stat().st_size
    return n_files, n_bytes


def is_sent(name: str, patterns: list[str]) -> bool:
    """Whether a file is part of the context: the last pattern that fits it or a folder of it decides."""
    is_left_out = False
    parts = name.split("/")
    paths = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    for line in patterns:
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        bare = pattern.removeprefix("!")
        if any(_fits(path, bare) for path in paths):
            is_left_out = not pattern.startswith("!")
    return not is_left_out


def _fits(path: str, pattern: str) -> bool:
    """`*` stops at a slash, and `**/` is any number of folders."""
    if pattern.startswith("**/"):
        folders = path.split("/")
        return any(_fits("/".join(folders[start:]), pattern[3:]) for start in range(len(folders)))
    return path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)
