"""What a caller may hand in, turned into a readable file descriptor of known size."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from typing import TYPE_CHECKING, Any, BinaryIO

from ifw.audio.spool import Spool
from ifw.config import AudioOptions
from ifw.errors import AudioEmptyError, AudioNotFoundError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

    from ifw.cancellation import CancelToken

AudioSource = str | os.PathLike[str] | bytes | BinaryIO

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_MAX_NAME = 300  # characters in a message
_FINGERPRINT_BYTES = 1 << 20
_READ_BYTES = 1 << 20  # from a file object at a time
_OPTIONS = AudioOptions()
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

    def fingerprint(self) -> str:
        """Tell it from other files without reading all of it: its size, and a digest of its first and last bytes."""
        n_bytes = os.fstat(self.descriptor).st_size
        digest = hashlib.sha256(os.pread(self.descriptor, _FINGERPRINT_BYTES, 0))
        digest.update(os.pread(self.descriptor, _FINGERPRINT_BYTES, max(n_bytes - _FINGERPRINT_BYTES, 0)))
        return f"{n_bytes} bytes, {digest.hexdigest()[:16]}"

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


def open_source(source: AudioSource, options: AudioOptions = _OPTIONS, cancel: CancelToken | None = None) -> ByteSource:
    """Open a path, bytes or a binary file object.

    A file object is read from its current position to its end: straight from its descriptor where it is a plain
    file at its start, else through an unnamed temporary file, as some containers can only be read with seeks. Between
    two of its reads `cancel` ends that copying.

    Raises:
        AudioNotFoundError: The path does not exist, cannot be read, or is no regular file; or it is a URL.
        AudioEmptyError: There are no bytes.
        AudioFormatError: The first bytes of a stream are no container on the allow-list.
        AudioTooLongError: A stream gives more than `options.max_stream_bytes`.
        CancelledError: `cancel` was cancelled.
        ConfigError: The source is of another type.
    """
    if isinstance(source, str | os.PathLike):
        return _open_path(source)
    if isinstance(source, bytes | bytearray | memoryview):
        with Spool("<bytes>") as spool:
            spool.write(source)
            return _checked(spool.descriptor(), "<bytes>")
    if _is_text(source):
        raise ConfigError("source: got a file object in text mode, allowed: binary mode ('rb'; sys.stdin.buffer)")
    if hasattr(source, "read"):
        return _open_file_object(source, options.max_stream_bytes, cancel)
    raise ConfigError(f"source: got {type(source).__name__}, allowed: a path, bytes or a binary file object")


def refuse_url(name: str) -> None:
    """Say what to do instead of naming a URL.

    Raises:
        AudioNotFoundError: It is one, and no file is called like that.
    """
    if _URL.match(name) and not os.path.lexists(name):
        raise AudioNotFoundError(
            f"{_without_secrets(name)}: a URL, allowed: a path. "
            "ifw.fetch.fetch(url, path) downloads it; the command line and the server take URLs as they are"
        )


def _without_secrets(url: str) -> str:
    """Leave out what may hold a password or a signature."""
    return re.sub(r"(://)[^/]*@", r"\1", re.split(r"[?#]", url, maxsplit=1)[0], count=1)


def _open_path(path: str | os.PathLike[str]) -> ByteSource:
    name = os.fsdecode(path)
    refuse_url(name)
    try:
        _require_regular(os.stat(path), name)  # before opening: to open a pipe or a device has side effects
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AudioNotFoundError(f"{name}: {reason}") from error
    return _checked(descriptor, name)


def _open_file_object(source: BinaryIO, max_bytes: int, cancel: CancelToken | None) -> ByteSource:
    name = getattr(source, "name", None)
    name = name if isinstance(name, str) else "<file object>"
    try:
        descriptor = _plain_descriptor(source)
        if descriptor is not None:
            return _checked(os.dup(descriptor), name)
        start = _position(source)
        with Spool(name) as spool:
            for piece in _pieces(source):
                if cancel is not None:
                    cancel.raise_if_cancelled()
                spool.write_streamed(piece, max_bytes)
            return _checked(spool.descriptor(), name, f" from its current position, {start}, on" if start else "")
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


def _position(source: BinaryIO) -> int:
    try:
        return source.tell()
    except (AttributeError, OSError, ValueError):
        return 0


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    # `read` waits for all it was asked for, which a slow pipe gives in minutes; `read1` takes what is there.
    read = source.read1 if type(source) is io.BufferedReader else source.read
    while piece := read(_READ_BYTES):
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise ConfigError(f"source: its read() gave {type(piece).__name__}, allowed: bytes")
        yield piece


def _checked(descriptor: int, name: str, where: str = "") -> ByteSource:
    source = ByteSource(descriptor, name)
    try:
        status = os.fstat(descriptor)
        _require_regular(status, name)
        if status.st_size == 0:
            raise AudioEmptyError(f"{name}: there are no bytes{where}")
    except BaseException:
        source.close()
        raise
    return source


def _require_regular(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), "special")
        raise AudioNotFoundError(
            f"{name}: it is {kind}, allowed: a regular file, or a stream that is open already, such as standard input"
        )
