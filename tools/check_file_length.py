"""Fail when a Python file has more than 400 lines and does not say at its top why.

The reason is a line among the first 20 that holds "Over 400 lines because".
"""

from __future__ import annotations

import sys
from pathlib import Path

MAX_LINES = 400
TOP_LINES = 20
REASON = "Over 400 lines because "
FOLDERS = ("src", "tests", "recipes", "benchmarks", "tools")


def too_long(root: Path) -> list[str]:
    """Name each file without a reason, with its number of lines."""
    found = []
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > MAX_LINES and not any(REASON in line for line in lines[:TOP_LINES]):
            found.append(f"{path.relative_to(root)}: {len(lines)} lines")
    return found


def main() -> None:
    """Print what is too long; exit with 1 if anything is."""
    found = too_long(Path(__file__).resolve().parent.parent)
    for line in found:
        print(f"{line}; allowed: {MAX_LINES}, or a reason at the top that begins {REASON!r}")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
