"""A file on its way: what has arrived, and how to tell whether the rest belongs to it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import uuid
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final

from ifw.fetch.exchange import Answer, Headers

if TYPE_CHECKING:
    from typing_extensions import Self

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")
_VERSION: Final = 1


class MismatchError(Exception):
    """The server's answer does not continue what is there; the download starts over."""


class PartialFile:
    """Bytes of a download, in `<target>.part`, with `<target>.part.json` telling of what file they are.

    Only bytes with a strong validator (an ETag that is not weak, or a date of modification) are ever continued:
    without one nobody can tell whether the file has changed meanwhile.

    Attributes:
        n_bytes: That have arrived.
        total: Of the whole file, as far as the server told.
    """

    def __init__(self, target: Path, url: str) -> None:
        """Open what an earlier download of the same URL left behind, or start.

        Raises:
            OSError: The folder cannot be written.
        """
        self._target = target
        self._url_digest = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
        self._validator: str | None = None
        self.total: int | None = None
        self._path, self._file = _locked(target)
        self._sidecar = self._path.with_name(f"{self._path.name}.json")
        self.n_bytes = self._file.seek(0, os.SEEK_END)
        if self.n_bytes and not self._load():
            self._empty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; after a failure, what nobody could continue is removed."""
        if error is not None and not self._can_continue():
            self.remove()
        self._file.close()

    def request_headers(self) -> Headers:
        """Ask for the rest only, if there is something that can be continued."""
        if not self._can_continue():
            return ()
        return (
            (b"Range", b"bytes=%d-" % self.n_bytes),
            (b"If-Range", (self._validator or "").encode("ascii")),
        )

    def accept(self, answer: Answer, length: int | None) -> None:
        """Get ready for the body of an answer: at the end for a range (206), from the start for a whole file (200).

        Args:
            answer: With status 200 or 206.
            length: Of its body, if the server told.

        Raises:
            MismatchError: The range is not the one that was asked for, or is of another file.
        """
        validator = _strong_validator(answer)
        if answer.status == 206:
            self._continue(answer, validator, length)
        else:
            self._empty()
            self._validator, self.total = validator, length
        if self._validator is not None:
            self._save()

    def write(self, piece: bytes) -> None:
        """Add bytes."""
        self._file.write(piece)
        self.n_bytes += len(piece)

    def discard(self) -> None:
        """Forget everything."""
        self._empty()

    def remove(self) -> None:
        """Leave nothing behind."""
        self._sidecar.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        self._file.close()

    def finish(self) -> None:
        """Put the whole file in its place, at once."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._sidecar.unlink(missing_ok=True)
        self._path.replace(self._target)
        self._file.close()

    def _can_continue(self) -> bool:
        return self.n_bytes > 0 and self._validator is not None

    def _continue(self, answer: Answer, validator: str | None, length: int | None) -> None:
        match = _CONTENT_RANGE.fullmatch((answer.header("content-range") or "").strip())
        if match is None:
            raise MismatchError("the server sent a part of a file without telling which")
        first, last = int(match[1]), int(match[2])
        total = None if match[3] == "*" else int(match[3])
        is_same_file = validator is None or validator == self._validator
        is_same_size = total is None or self.total is None or total == self.total
        if first != self.n_bytes or last < first or not is_same_file or not is_same_size:
            raise MismatchError("the server sent another part of the file than was asked for, or of another file")
        if length is not None and length != last - first + 1:
            raise MismatchError("the server contradicts itself about the size")
        self.total = total if total is not None else self.total

    def _empty(self) -> None:
        self._sidecar.unlink(missing_ok=True)
        self._file.seek(0)
        self._file.truncate()
        self.n_bytes, self.total, self._validator = 0, None, None

    def _save(self) -> None:
        state = {"version": _VERSION, "url": self._url_digest, "validator": self._validator, "total": self.total}
        self._sidecar.write_text(json.dumps(state), encoding="utf-8")

    def _load(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(self._sidecar.read_text(encoding="utf-8"))
            if isinstance(state, dict) and (state.get("version"), state.get("url")) == (_VERSION, self._url_digest):
                self._validator, self.total = state.get("validator"), state.get("total")
                is_right = isinstance(self._validator, str) and (self.total is None or isinstance(self.total, int))
                return is_right and (self.total is None or self.n_bytes < self.total)
        return False


def _locked(target: Path) -> tuple[Path, BinaryIO]:
    """The partial file, open and locked; one of its own where another download of the same target is under way.

    Raises:
        OSError: The folder cannot be written.
    """
    path = target.with_name(f"{target.name}.part")
    while True:
        file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            path = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
            continue
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return path, file
        file.close()  # it was finished or removed between opening and locking


def _strong_validator(answer: Answer) -> str | None:
    """What tells this version of the file from others (RFC 9110, sections 8.8 and 13.1.5)."""
    etag = answer.header("etag")
    validator = etag if etag is not None else answer.header("last-modified")
    if not validator or validator.startswith("W/") or not validator.isascii() or not validator.isprintable():
        return None
    return validator
