"""The results of a run: one JSON file, one page of tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ifw.errors import BenchmarkError

FORMAT: Final = 1


def write_results(results: dict[str, Any], page: str, folder: Path, name: str) -> tuple[Path, Path]:
    """Write NAME.json and NAME.md.

    Args:
        results: From `benchmark.run`.
        page: From `benchmark.tables`.
        folder: Made where it is not there.
        name: Of the files.

    Returns:
        The two files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data, text = folder / f"{name}.json", folder / f"{name}.md"
    data.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text.write_text(page, encoding="utf-8")
    return data, text


def read_results(path: Path) -> dict[str, Any]:
    """Read what `write_results` wrote.

    Raises:
        BenchmarkError: It holds something else.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{path}: no results of `ifw bench`: {error}") from error
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise BenchmarkError(f"{path}: no results of `ifw bench` of format {FORMAT}")
    return results
