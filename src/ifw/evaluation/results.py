"""An evaluation as a JSON file, and back. `docs/evaluation.md` names the keys."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ifw.errors import EvaluationError
from ifw.evaluation.error_counts import ErrorCounts
from ifw.evaluation.scores import Evaluation, Failure, FileScore
from ifw.evaluation.time_errors import TimeErrors

VERSION: Final = 1
_VERSION_KEY: Final = "ifw_evaluation"
_TIME_DIGITS: Final = 6


def results_json(evaluation: Evaluation) -> str:
    """Write an evaluation. The totals are there for readers; `read_results` counts them anew."""
    total = {
        "words": _counts(evaluation.words),
        "characters": _counts(evaluation.characters),
        "segment_times": _times(evaluation.segment_times),
        "word_times": _times(evaluation.word_times),
        "audio_s": round(evaluation.audio_s, _TIME_DIGITS),
        "wall_s": round(evaluation.wall_s, _TIME_DIGITS),
        "speed": evaluation.speed,
    }
    files = [
        asdict(file)
        | {
            "words": _counts(file.words),
            "characters": _counts(file.characters),
            "segment_times": _times(file.segment_times, with_lists=True),
            "word_times": _times(file.word_times, with_lists=True),
        }
        for file in evaluation.files
    ]
    document = {
        _VERSION_KEY: VERSION,
        "settings": evaluation.settings,
        "total": total,
        "files": files,
        "failures": [asdict(failure) for failure in evaluation.failures],
    }
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def is_results(path: Path) -> bool:
    """Whether a file holds results rather than a manifest; what cannot be read holds none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and _VERSION_KEY in document


def read_results(path: Path) -> Evaluation:
    """Read what `results_json` wrote.

    Raises:
        EvaluationError: The file cannot be read, or holds something else.
    """
    allowed = "allowed: what `ifw eval --output` writes"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path}: no JSON: {error}; {allowed}") from error
    version = document.get(_VERSION_KEY) if isinstance(document, dict) else None
    if version != VERSION:
        raise EvaluationError(f"{path}: got {_VERSION_KEY} {version!r}, allowed: {VERSION}; {allowed}")
    try:
        return Evaluation(
            files=tuple(_file(item) for item in document["files"]),
            failures=tuple(Failure(**item) for item in document["failures"]),
            wall_s=float(document["total"]["wall_s"]),
            settings=dict(document["settings"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvaluationError(f"{path}: damaged at {error}; {allowed}") from error


def _counts(counts: ErrorCounts) -> dict[str, Any]:
    return asdict(counts) | {"rate": counts.rate}


def _times(errors: TimeErrors | None, *, with_lists: bool = False) -> dict[str, Any] | None:
    if errors is None:
        return None
    names = ("mean_start_s", "median_start_s", "mean_end_s", "median_end_s")
    summary = {"n_reference": errors.n_reference, "n_starts": len(errors.starts_s), "n_ends": len(errors.ends_s)}
    figures = {name: _rounded(getattr(errors, name)) for name in names}
    lists = {name: [_rounded(time_s) for time_s in getattr(errors, name)] for name in ("starts_s", "ends_s")}
    return summary | figures | (lists if with_lists else {})


def _rounded(time_s: float | None) -> float | None:
    return None if time_s is None else round(time_s, _TIME_DIGITS)


def _file(item: dict[str, Any]) -> FileScore:
    names = ("audio", "mode", "language", "reference", "hypothesis", "duration_s", "wall_s")
    return FileScore(
        **{name: item[name] for name in names},
        words=_read_counts(item["words"]),
        characters=_read_counts(item["characters"]),
        segment_times=_read_times(item["segment_times"]),
        word_times=_read_times(item["word_times"]),
    )


def _read_counts(item: dict[str, Any]) -> ErrorCounts:
    names = ("n_reference", "substitutions", "deletions", "insertions")
    return ErrorCounts(*(int(item[name]) for name in names))


def _read_times(item: dict[str, Any] | None) -> TimeErrors | None:
    if item is None:
        return None
    starts_s, ends_s = (tuple(map(float, item[name])) for name in ("starts_s", "ends_s"))
    return TimeErrors(int(item["n_reference"]), starts_s, ends_s)
