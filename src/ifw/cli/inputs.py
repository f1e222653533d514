"""From arguments to inputs: files, folders, patterns, and `-` for standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ifw.errors import AudioNotFoundError, ConfigError

STDIN: Final = "-"
MEDIA_SUFFIXES: Final = frozenset(
    f".{name}"
    for name in (
        *("3gp", "aac", "ac3", "aif", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "flac", "flv", "m2ts", "m4a"),
        *("m4b", "m4v", "mka", "mkv", "mov", "mp2", "mp3", "mp4", "mpeg", "mpg", "mpga", "mts", "oga", "ogg", "opus"),
        *("w64", "wav", "weba", "webm", "wma", "wmv", "wv"),
    )
)
"""A folder gives only files with these extensions. A file that is named itself may have any."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing to transcribe.

    Attributes:
        label: How messages call it.
        path: Where it is; None is standard input.
        relative: Where below the output folder its transcripts belong, with the extension of the audio.
    """

    label: str
    path: Path | None
    relative: Path

    @contextmanager
    def open(self) -> Iterator[Path | BinaryIO]:
        """What the transcriber is given: a path, or a stream where there is no plain file, as in `<(command)`."""
        if self.path is None:
            yield sys.stdin.buffer
        elif self.path.is_fifo():
            with self.path.open("rb") as stream:
                yield stream
        else:
            yield self.path


@dataclass(frozen=True, slots=True)
class BadInput:
    """An argument that gives nothing to transcribe."""

    label: str
    error: AudioNotFoundError


def expand_inputs(arguments: Sequence[str]) -> tuple[list[Input], list[BadInput]]:
    """Find everything that the arguments name, in their order, each file once.

    A folder gives the media files in it and below it, sorted, without hidden ones. A pattern that the shell left
    as it was is expanded here; `**` crosses folders.

    Raises:
        ConfigError: Standard input is named twice, or is a terminal.
    """
    if list(arguments).count(STDIN) > 1:
        raise ConfigError(f"FILE: got {STDIN!r} twice, allowed: once, there is only one standard input")
    inputs: list[Input] = []
    bad: list[BadInput] = []
    for argument in arguments:
        try:
            inputs += _expand(argument)
        except AudioNotFoundError as error:
            bad.append(BadInput(argument, error))
    return list(_without_repeats(inputs)), bad


def _expand(argument: str) -> list[Input]:
    if argument == STDIN:
        return [_standard_input()]
    if os.path.exists(argument):  # unlike Path.exists it is False, not an error, for a name that cannot be
        return _expand_path(Path(argument))
    if glob.escape(argument) != argument:
        found = [item for match in sorted(glob.glob(argument, recursive=True)) for item in _expand_path(Path(match))]
        if found:
            return found
        raise AudioNotFoundError("no file matches this pattern")
    raise AudioNotFoundError("no such file or folder, or it may not be read")


def _standard_input() -> Input:
    if sys.stdin.isatty():
        raise ConfigError("FILE: got '-' while standard input is a terminal, allowed: audio from a pipe or a file")
    return Input("<stdin>", None, Path("stdin"))


def _expand_path(path: Path) -> list[Input]:
    if not path.is_dir():
        return [Input(str(path), path, Path(path.name))]
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    found = sorted(item for item in below if _is_media(item.relative_to(path)) and item.is_file())
    if not found:
        suffixes = " ".join(sorted(MEDIA_SUFFIXES))
        raise AudioNotFoundError(f"the folder has no audio or video file; it was searched for {suffixes}")
    return [Input(str(item), item, item.relative_to(path)) for item in found]


def _is_media(relative: Path) -> bool:
    return relative.suffix.lower() in MEDIA_SUFFIXES and not any(part.startswith(".") for part in relative.parts)


def _without_repeats(inputs: Iterable[Input]) -> Iterator[Input]:
    seen: set[Path | None] = set()
    for item in inputs:
        key = item.path and item.path.resolve()
        if key not in seen:
            seen.add(key)
            yield item
