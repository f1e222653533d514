"""`ifw models`: which checkpoints have short names, how large they are, and which are here already."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ifw.cli.ending import ending
from ifw.cli.report import Report
from ifw.cli.standard_streams import write_output

if TYPE_CHECKING:
    from ifw.model.registry import CheckpointInfo


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array for programs.")] = False,
) -> None:
    """List the short names of checkpoints, their sizes, and whether they are on this machine.

    Any other Whisper checkpoint works by its Hugging Face hub id or as a local folder.
    """
    from ifw.model.registry import list_checkpoints

    with ending(Report()):
        checkpoints = list_checkpoints()
        if as_json:
            rows = [dataclasses.asdict(checkpoint) for checkpoint in checkpoints]
            write_output(f"{json.dumps(rows, indent=2, default=str)}\n")
        else:
            write_output(f"{_table(checkpoints)}\n")


def _table(checkpoints: Sequence[CheckpointInfo]) -> str:
    rows = [("name", "parameters", "download", "cached", "repository")]
    rows += [
        (
            item.name,
            _count(item.parameters),
            _size(item.download_bytes),
            "yes" if item.is_cached else "no",
            item.repo_id or "-",
        )
        for item in checkpoints
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _count(n_parameters: int) -> str:
    return f"{n_parameters / 1e9:.2f} B" if n_parameters >= 1e9 else f"{n_parameters / 1e6:.0f} M"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
