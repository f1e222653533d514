"""Transcripts as files: `Transcript` -> `str`, pure functions without any input or output.

To add a format, write one function and name it in `FormatName`, `FORMATS` and `ifw.cli.flags.OutputFormat`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

from ifw.formats.json import to_dict, to_json
from ifw.formats.subtitles import to_srt, to_vtt
from ifw.formats.text import to_tsv, to_txt
from ifw.types import Transcript

FormatName = Literal["txt", "srt", "vtt", "tsv", "json"]

FORMATS: Final[Mapping[FormatName, Callable[[Transcript], str]]] = MappingProxyType(
    {"txt": to_txt, "srt": to_srt, "vtt": to_vtt, "tsv": to_tsv, "json": to_json}
)
"""Every format by its name, which is also its file name extension."""

__all__ = ["FORMATS", "FormatName", "to_dict", "to_json", "to_srt", "to_tsv", "to_txt", "to_vtt", "write"]


def write(transcript: Transcript, format_name: FormatName) -> str:
    """Write a transcript in one of `FORMATS`.

    Args:
        transcript: What to write. One without segments gives a valid file without any.
        format_name: A key of `FORMATS`.

    Returns:
        The whole file, lines ended by a line feed.
    """
    return FORMATS[format_name](transcript)
