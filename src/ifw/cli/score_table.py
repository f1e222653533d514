"""An evaluation as people read it: a table in Markdown with a line a file, and sentences below it."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Final

from ifw.cli.visible import visible
from ifw.evaluation import Comparison, ErrorCounts, Evaluation, FilePair, TimeErrors
from ifw.evaluation.comparison import CONFIDENCE

UNLIMITED: Final = 10_000  # columns where no terminal ends the line
NOTHING: Final = "-"


def evaluation_text(evaluation: Evaluation, comparison: Comparison | None = None) -> str:
    """Write the table and what holds for all files, each line ended.

    Args:
        evaluation: What to show.
        comparison: Adds the earlier error rate and the difference to each line.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.MARKDOWN, header_style="")
    table.add_column("file", overflow="fold")
    pairs = None if comparison is None else {(pair.audio, pair.mode): pair for pair in comparison.pairs}
    names = ["words", "WER", "sub", "del", "ins", "CER"] + (["WER before", "difference"] if pairs is not None else [])
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for file in evaluation.files:
        cells = _cells(file.words, file.characters)
        cells += [] if pairs is None else _pair_cells(pairs.get((file.audio, file.mode)))
        label = file.audio if file.mode == "transcribe" else f"{file.audio} ({file.mode})"
        table.add_row(Text(visible(label)), *cells)
    cells = _cells(evaluation.words, evaluation.characters)
    if comparison is not None:
        cells += [_percent(comparison.before.rate), _points(comparison.difference)]
    table.add_row("all", *cells)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else UNLIMITED
    output = io.StringIO()
    Console(file=output, width=width, color_system=None, highlight=False).print(table)
    lines = [line.rstrip() for line in output.getvalue().splitlines() if line.strip()]
    return "\n".join([*lines, "", *_sentences(evaluation)]) + "\n"


def comparison_text(comparison: Comparison, name: str) -> str:
    """Write whether the difference to the earlier results is more than chance, line ended.

    Args:
        comparison: With these results.
        name: Of their file.
    """
    parts = [f"WER {_percent(comparison.before.rate)} -> {_percent(comparison.after.rate)}"]
    parts.append(f"difference {_points(comparison.difference)} points")
    if comparison.interval is not None:
        low, high = map(_points, comparison.interval)
        verdict = "" if comparison.is_significant else ", no clear difference"
        parts.append(f"{CONFIDENCE:.0%} interval {low} to {high}{verdict}")
    unpaired = ""
    if comparison.n_only_before or comparison.n_only_after:
        unpaired = f" (left out: {comparison.n_only_before} files only there, {comparison.n_only_after} only here)"
    n_pairs = len(comparison.pairs)
    return f"compared with {visible(Path(name).name)}, {n_pairs} files: {'; '.join(parts)}{unpaired}\n"


def _cells(words: ErrorCounts, characters: ErrorCounts) -> list[str]:
    counts = (words.substitutions, words.deletions, words.insertions)
    return [str(words.n_reference), _percent(words.rate), *map(str, counts), _percent(characters.rate)]


def _pair_cells(pair: FilePair | None) -> list[str]:
    return [NOTHING, NOTHING] if pair is None else [_percent(pair.before.rate), _points(pair.difference)]


def _sentences(evaluation: Evaluation) -> list[str]:
    n_failed = len(evaluation.failures)
    n_files = len(evaluation.files)
    speed = NOTHING if evaluation.speed is None else f"{evaluation.speed:.1f}"
    lines = [
        f"{n_files} files, {evaluation.audio_s:.1f} s of audio in {evaluation.wall_s:.1f} s: "
        f"{speed} times as fast as speech"
    ]
    for name, errors in (("words", evaluation.word_times), ("segments", evaluation.segment_times)):
        if errors is not None:
            lines.append(_time_sentence(name, errors))
    if n_failed:
        lines.append(f"{n_failed} of {n_files + n_failed} files failed and count in no figure")
    return lines


def _time_sentence(name: str, errors: TimeErrors) -> str:
    starts = f"{_seconds(errors.mean_start_s)} mean, {_seconds(errors.median_start_s)} median"
    ends = f"{_seconds(errors.mean_end_s)} mean, {_seconds(errors.median_end_s)} median"
    return (
        f"times of {name}: {len(errors.starts_s)} starts off by {starts}; {len(errors.ends_s)} ends off by {ends}; "
        f"of {errors.n_reference} in the manifest"
    )


def _percent(rate: float | None) -> str:
    return NOTHING if rate is None else f"{rate:.1%}"


def _points(difference: float | None) -> str:
    return NOTHING if difference is None else f"{100 * difference:+.1f}"


def _seconds(time_s: float | None) -> str:
    return NOTHING if time_s is None else f"{time_s:.3f} s"
