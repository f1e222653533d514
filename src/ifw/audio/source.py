"""What a caller may hand in, turned into a readable file descriptor of known size."""

from __future__ import annotations

import io
import os
import re
import stat
import tempfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO

from ifw.errors import AudioEmptyError, AudioError, AudioNotFoundError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

AudioSource = str | os.PathLike[str] | bytes | BinaryIO

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_MAX_NAME = 300  # characters in a message
_SPOOL_BYTES = 1 << 20  # read from a file object at a time
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class ByteSource:
    """A descriptor of a regular file, read by position only, so that several processes can share it.

    Attributes:
        descriptor: Open for reading; owned by this object.
        name: What messages call the source.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor = descriptor
        self.name = name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."

    def close(self) -> None:
        """Close the descriptor; twice is harmless."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_source(source: AudioSource) -> ByteSource:
    """Open a path, bytes or a binary file object.

    A file object is read from its current position to its end: straight from its descriptor where it is a plain
    file at its start, else through an unnamed temporary file, as some containers can only be read with seeks.

    Raises:
        AudioNotFoundError: The path does not exist, cannot be read, or is no regular file; or it is a URL.
        AudioEmptyError: There are no bytes.
        ConfigError: The source is of another type.
    """
    if isinstance(source, str | os.PathLike):
        return _open_path(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _spool(iter([source]), "<bytes>")
    if _is_text(source):
        raise ConfigError("source: got a file object in text mode, allowed: binary mode ('rb'; sys.stdin.buffer)")
    if hasattr(source, "read"):
        return _open_file_object(source)
    raise ConfigError(f"source: got {type(source).__name__}, allowed: a path, bytes or a binary file object")


def _open_path(path: str | os.PathLike[str]) -> ByteSource:
    name = os.fsdecode(path)
    if _URL.match(name) and not os.path.lexists(name):
        raise AudioNotFoundError(
            f"{name}: a URL; allowed here: a path, bytes or a file object. Fetching URLs comes with the server; "
            "until then download the file first"
        )
    try:
        _require_regular(os.stat(path), name)  # before opening: to open a pipe or a device has side effects
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AudioNotFoundError(f"{name}: {reason}") from error
    return _checked(descriptor, name)


def _open_file_object(source: BinaryIO) -> ByteSource:
    name = getattr(source, "name", None)
    name = name if isinstance(name, str) else "<file object>"
    try:
        descriptor = _plain_descriptor(source)
        if descriptor is not None:
            return _checked(os.dup(descriptor), name)
        return _spool(_pieces(source), name)
    except (OSError, ValueError) as error:
        raise AudioNotFoundError(f"{name}: the file object cannot be read: {error}") from error


def _plain_descriptor(source: BinaryIO) -> int | None:
    """The descriptor behind a file object whose bytes are exactly that file's; a GzipFile's are not."""
    inner: Any = getattr(source, "file", source)  # tempfile's wrapper
    raw = getattr(inner, "raw", inner)
    if not isinstance(raw, io.FileIO) or not raw.readable():
        return None
    is_plain = stat.S_ISREG(os.fstat(raw.fileno()).st_mode) and inner.tell() == 0
    return raw.fileno() if is_plain else None


def _is_text(source: object) -> bool:
    return isinstance(source, io.TextIOBase)


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(_SPOOL_BYTES):
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise ConfigError(f"source: its read() gave {type(piece).__name__}, allowed: bytes")
        yield piece


def _spool(pieces: Iterator[bytes | bytearray | memoryview], name: str) -> ByteSource:
    """Copy the bytes into a file without a name, which is gone when its last descriptor is closed."""
    with ExitStack() as cleanup:
        try:
            file = cleanup.enter_context(tempfile.TemporaryFile())
        except OSError as error:
            raise AudioError(f"{name}: no place for a temporary copy: {error}") from error
        for piece in pieces:
            try:
                file.write(piece)
            except OSError as error:
                raise AudioError(f"{name}: no room for a temporary copy in {tempfile.gettempdir()}: {error}") from error
        file.flush()
        return _checked(os.dup(file.fileno()), name)


def _checked(descriptor: int, name: str) -> ByteSource:
    source = ByteSource(descriptor, name)
    try:
        status = os.fstat(descriptor)
        _require_regular(status, name)
        if status.st_size == 0:
            raise AudioEmptyError(f"{name}: there are no bytes (a file object is read from its current position)")
    except BaseException:
        source.close()
        raise
    return source


def _require_regular(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), "special")
        raise AudioNotFoundError(
            f"{name}: it is {kind}, allowed: a regular file; hand a stream in as a binary file object"
        )
