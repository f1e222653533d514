"""Transcripts as files: `Transcript` -> `str` and back, pure functions without any input or output.

To add a format, write one function and name it in `FormatName`, `write`, `EXTENSIONS` and `ifw.cli.flags.OutputFormat`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from ifw.config import SubtitleOptions
from ifw.errors import ConfigError
from ifw.formats.json import to_dict, to_json
from ifw.formats.openai_json import to_openai_dict, to_openai_json
from ifw.formats.reading import from_json
from ifw.formats.subtitles import to_srt, to_vtt
from ifw.formats.text import to_tsv, to_txt
from ifw.types import Transcript

FormatName = Literal["txt", "srt", "vtt", "tsv", "json", "openai-json"]

FORMATS: Final[tuple[FormatName, ...]] = get_args(FormatName)
"""Every format by its name."""

EXTENSIONS: Final[Mapping[FormatName, str]] = MappingProxyType(
    {"txt": "txt", "srt": "srt", "vtt": "vtt", "tsv": "tsv", "json": "json", "openai-json": "openai.json"}
)
"""What stands behind the last point of a file's name."""

_WITHOUT_CUES: Final[Mapping[str, Callable[[Transcript], str]]] = MappingProxyType(
    {"txt": to_txt, "tsv": to_tsv, "json": to_json, "openai-json": to_openai_json}
)
_WITH_CUES: Final[Mapping[str, Callable[[Transcript, SubtitleOptions | None], str]]] = MappingProxyType(
    {"srt": to_srt, "vtt": to_vtt}
)

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "FormatName",
    "from_json",
    "to_dict",
    "to_json",
    "to_openai_dict",
    "to_openai_json",
    "to_srt",
    "to_tsv",
    "to_txt",
    "to_vtt",
    "write",
]


def write(transcript: Transcript, format_name: FormatName, subtitles: SubtitleOptions | None = None) -> str:
    """Write a transcript in one of `FORMATS`.

    Args:
        transcript: What to write. One without segments gives a valid file without any.
        format_name: A name of `FORMATS`.
        subtitles: How the cues of srt and vtt are made; None stands for the defaults.

    Returns:
        The whole file, lines ended by a line feed.

    Raises:
        ConfigError: There is no such format.
    """
    if format_name in _WITH_CUES:
        return _WITH_CUES[format_name](transcript, subtitles)
    if format_name in _WITHOUT_CUES:
        return _WITHOUT_CUES[format_name](transcript)
    raise ConfigError(f"format_name: got {format_name!r}, allowed: {', '.join(FORMATS)}")
