"""A journal as a file of lines, which survives the death of its process at any moment."""

from __future__ import annotations

import fcntl
import io
import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ifw.errors import OutputError, ResumeError

if TYPE_CHECKING:
    from ifw.pipeline.journal import Record

_SYNC_S: Final = 2.0  # what a power cut may cost; a killed process loses nothing


class JournalFile:
    """One line a record: checksum, space, JSON. The first line says what the journal is of.

    A line that was not written whole, and whatever follows it, counts as never written. The file appears with the
    first record. Two processes cannot write the same one.

    Attributes:
        path: Where it is.
    """

    def __init__(self, path: Path, *, is_resuming: bool) -> None:
        """Nothing is opened yet.

        Args:
            path: Where it is, or will be.
            is_resuming: Continue what is there; else the first record replaces it.
        """
        self.path = path
        self._is_resuming = is_resuming
        self._identity: Mapping[str, Any] = {}
        self._file: io.FileIO | None = None
        self._is_begun = False  # the first line is there
        self._synced_at = 0.0

    def begin(self, identity: Mapping[str, Any]) -> Sequence[Record]:
        """Read the records of the run that is continued, and cut off a damaged end.

        Raises:
            ResumeError: They are of other audio, another model, or other options; the message names them.
            OutputError: The file cannot be read, or another process writes it.
        """
        self._identity = identity
        if not self._is_resuming or not self.path.exists():
            return []
        file = self._opened()
        records, n_bytes = _intact(file)
        if not records:
            return []
        self._compare(records[0])
        file.truncate(n_bytes)
        file.seek(n_bytes)
        self._is_begun = True
        return records[1:]

    def append(self, record: Record) -> None:
        """Write a record. It is with the system when this returns, and on the disk a little later.

        Raises:
            OutputError: It cannot be written, or another process writes the file.
        """
        file = self._opened()
        try:
            if not self._is_begun:
                file.truncate(0)
                file.seek(0)
                _write(file, _line(self._identity))
                self._is_begun = True
            _write(file, _line(record))
            if (now := time.monotonic()) - self._synced_at >= _SYNC_S:
                os.fsync(file.fileno())
                self._synced_at = now
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """The transcript is safe: the journal is not needed any more."""
        self.path.unlink(missing_ok=True)
        self.close()

    def _opened(self) -> io.FileIO:
        if self._file is None:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                self._file = io.FileIO(descriptor, "r+")
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                self.close()
                raise OutputError(f"cannot write {self.path}: another process is writing it") from error
            except OSError as error:
                self.close()
                raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        return self._file

    def _compare(self, written: Record) -> None:
        names = sorted({*written, *self._identity})
        differences = [
            f"{name} was {written.get(name)!r} and is {self._identity.get(name)!r} now"
            for name in names
            if written.get(name) != self._identity.get(name)
        ]
        if differences:
            self.close()
            raise ResumeError(
                f"{self.path} cannot be continued: {'; '.join(differences)}. "
                "Ask for the same as before, or start over without resuming"
            )


def _line(record: Record) -> bytes:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _write(file: io.FileIO, line: bytes) -> None:
    """All of it, as one write may take only a part where the disk is nearly full."""
    rest = memoryview(line)
    while rest:
        rest = rest[file.write(rest) :]


def _intact(file: io.FileIO) -> tuple[list[Record], int]:
    """The records up to the first damaged line, and how many bytes they take."""
    records: list[Record] = []
    n_bytes = 0
    *lines, _ = file.readall().split(b"\n")  # what follows the last line end was not written whole
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text) or not text.startswith(b"{"):
            break
        records.append(json.loads(text))
        n_bytes += len(line) + 1
    return records, n_bytes
