"""From arguments to inputs: files, folders, patterns, URLs, and `-` for standard input."""

from __future__ import annotations

import glob
import io
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ifw.cancellation import CancelToken
from ifw.cli.download import OnBytes, downloaded
from ifw.cli.pipe import Pipe
from ifw.errors import AudioNotFoundError, ConfigError, FetchError

STDIN: Final = "-"
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
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
        path: Where it is; None is standard input, or a URL.
        relative: Where below the output folder its transcripts belong, with the extension of the audio.
        url: Where it is downloaded from; None where it is here.
    """

    label: str
    path: Path | None
    relative: Path
    url: str | None = None

    @property
    def is_stdin(self) -> bool:
        """Whether its name says nothing about what it is today."""
        return self.path is None and self.url is None

    @contextmanager
    def open(self, cancel: CancelToken, on_bytes: OnBytes | None = None) -> Iterator[Path | BinaryIO]:
        """What the transcriber is given: a path, or a stream where there is no plain file, as in `<(command)`.

        Args:
            cancel: Ends a wait for the bytes of a stream or of a URL.
            on_bytes: Told how much of a URL has arrived.

        Raises:
            AudioNotFoundError: A named pipe cannot be opened.
            FetchError: A URL cannot be downloaded.
        """
        if self.url is not None:
            with downloaded(self.url, self.label, cancel, on_bytes) as stream:
                yield stream
            return
        descriptor = self._stream_descriptor()
        if descriptor is not None:
            with io.BufferedReader(Pipe(descriptor, self.label, cancel)) as stream:
                yield stream
        elif self.path is None:
            yield sys.stdin.buffer
        else:
            yield self.path

    def _stream_descriptor(self) -> int | None:
        """A new descriptor of what can only be read from start to end; None for a file.

        Raises:
            AudioNotFoundError: A named pipe may not be read, or has gone.
        """
        if self.path is not None:
            if not _is_fifo(self.path):
                return None
            try:
                return os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            except OSError as error:
                raise AudioNotFoundError(f"{self.label}: {error.strerror}") from error
        try:
            descriptor = sys.stdin.fileno()
        except io.UnsupportedOperation:  # an object in memory
            return None
        return None if stat.S_ISREG(os.fstat(descriptor).st_mode) else os.dup(descriptor)


@dataclass(frozen=True, slots=True)
class BadInput:
    """An argument that gives nothing to transcribe."""

    label: str
    error: AudioNotFoundError | FetchError


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
            inputs += _expand(argument, bad)
        except (AudioNotFoundError, FetchError) as error:
            bad.append(BadInput(_label(argument), error))
    return list(without_repeats(inputs)), bad


def _expand(argument: str, bad: list[BadInput]) -> list[Input]:
    """Find what one argument names; folders that cannot be read are added to `bad`."""
    if argument == STDIN:
        return [standard_input()]
    if os.path.exists(argument):  # unlike Path.exists it is False, not an error, for a name that cannot be
        return _expand_path(Path(argument), bad)
    if _URL.match(argument):
        return [_expand_url(argument)]
    if glob.escape(argument) != argument:
        matches = sorted(glob.glob(argument, recursive=True))
        found = [item for match in matches for item in _expand_path(Path(match), bad)]
        if found:
            return found
        raise AudioNotFoundError("no file matches this pattern")
    raise AudioNotFoundError("no such file or folder, or it may not be read")


def _label(argument: str) -> str:
    if not _URL.match(argument):
        return argument
    from ifw.fetch import shown_url

    return shown_url(argument)


def _expand_url(url: str) -> Input:
    """Name what is behind a URL without asking for it, so that outputs and `--resume` know where they belong."""
    from ifw.fetch import url_name

    return Input(_label(url), None, Path(url_name(url)), url)


def standard_input() -> Input:
    """Standard input as an input.

    Raises:
        ConfigError: It is closed, or a terminal.
    """
    if sys.stdin is None:  # Python's word for a closed one, as in `ifw transcribe - <&-`
        raise ConfigError("FILE: got '-' while standard input is closed, allowed: a pipe or a file")
    if sys.stdin.isatty():
        raise ConfigError("FILE: got '-' while standard input is a terminal, allowed: a pipe or a file")
    return Input("<stdin>", None, Path("stdin"))


def _expand_path(path: Path, bad: list[BadInput]) -> list[Input]:
    if not path.is_dir():
        return [Input(str(path), path, Path(path.name))]
    unread: list[BadInput] = []

    def note_unread(error: OSError) -> None:
        folder = Path(error.filename)
        if not _is_hidden(folder.relative_to(path)):
            reason = AudioNotFoundError(f"the folder cannot be read: {error.strerror}")
            unread.append(BadInput(str(folder), reason))

    below = (Path(folder, name) for folder, _, names in os.walk(path, onerror=note_unread) for name in names)
    found = sorted(item for item in below if _is_media(item.relative_to(path)) and _may_be_file(item))
    bad += unread
    if not found and not unread:
        suffixes = " ".join(sorted(MEDIA_SUFFIXES))
        raise AudioNotFoundError(f"the folder has no audio or video file; it was searched for {suffixes}")
    return [Input(str(item), item, item.relative_to(path)) for item in found]


def _is_media(relative: Path) -> bool:
    return relative.suffix.lower() in MEDIA_SUFFIXES and not _is_hidden(relative)


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _may_be_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its folder lets nobody look: the error comes when it is opened
        return True


def _is_fifo(path: Path) -> bool:
    try:
        return path.is_fifo()
    except OSError:
        return False


def without_repeats(inputs: Iterable[Input]) -> Iterator[Input]:
    """Each file once, whatever it was called."""
    seen: set[str | None] = set()
    for item in inputs:
        key = item.url if item.path is None else os.path.realpath(item.path)
        if key not in seen:
            seen.add(key)
            yield item
