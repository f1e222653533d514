"""A multipart form whose file goes straight to disk, part by part, as the bytes arrive.

Knows nothing of HTTP. Source: RFC 7578; python-multipart finds the parts.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ifw.errors import RequestError, RequestTooLargeError

MAX_NAME_LENGTH: Final = 255
IDENTITY_ENCODINGS: Final = frozenset({"", "7bit", "8bit", "binary"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FormLimits:
    """What a form may hold.

    Attributes:
        max_file_bytes: Bytes of the file.
        max_fields: Number of text fields.
        max_field_bytes: Bytes of one text field.
        max_fields_bytes: Bytes of all text fields together, their names included.
        long_names: Names, without brackets behind them, of fields that are long: they go to disk too.
        max_long_bytes: Bytes of one long field.
        max_long_fields: Number of long fields.
    """

    max_file_bytes: int
    max_fields: int = 64
    max_field_bytes: int = 64 << 10
    max_fields_bytes: int = 256 << 10
    long_names: frozenset[str] = frozenset()
    max_long_bytes: int = 4 << 20
    max_long_fields: int = 4


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was received whole.

    Attributes:
        path: Where it lies; the name was chosen by this program.
        name: What the client calls it: its last part, without control characters. Only ever shown, never a path.
        n_bytes: Its size.
        sha256: Of its bytes, in hexadecimal.
    """

    path: Path
    name: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Form:
    """What a form said.

    Attributes:
        fields: Names and values, in the order in which they came; a name may come several times.
        upload: The file, where there was one.
        long_fields: Names of long fields, without brackets, and where their bytes lie, in the order in which they came.
    """

    fields: tuple[tuple[str, str], ...]
    upload: Upload | None = None
    long_fields: tuple[tuple[str, Path], ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        """All values of one field."""
        return tuple(value for key, value in self.fields if key == name)


class FormParser:
    """Takes a body in pieces of any size. Use it as a context manager, which closes the file.

    Args:
        boundary: As the content type of the request gives it.
        target: Where the file goes; it is overwritten. It is created only when a file comes. Long fields lie beside it.
        limits: What the form may hold.
        file_field: The one field that is a file; parts of other names that come with a file name are an error.
        prefix: Written to the file in front of what is received, and not counted.

    Raises:
        RequestError: The boundary is empty or too long.
    """

    def __init__(
        self, boundary: bytes, target: Path, limits: FormLimits, *, file_field: str = "file", prefix: bytes = b""
    ) -> None:
        if not boundary:
            raise RequestError("content-type: got multipart/form-data without boundary; send one")
        self._target, self._limits, self._file_field, self._prefix = target, limits, file_field, prefix
        self._fields: list[tuple[str, str]] = []
        self._fields_bytes = 0
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None
        self._text = bytearray()
        self._file: BinaryIO | None = None
        self._is_in_file = False
        self._long_fields: list[tuple[str, Path]] = []
        self._long_file: BinaryIO | None = None
        self._n_long_bytes = 0
        self._sha256 = hashlib.sha256()
        self._n_file_bytes = 0
        self._file_name = ""
        self._has_ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_to_name,
                    "on_header_value": self._add_to_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise RequestError(f"content-type: the boundary cannot be used: {error}") from error

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body. Writes to disk, so call it outside of the event loop.

        Raises:
            RequestError: This is no form, or one that is not allowed.
            RequestTooLargeError: A limit is passed.
            OSError: The disk is full or fails.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise RequestError(f"body: is no multipart/form-data: {error}") from error

    def finish(self) -> Form:
        """The whole form, after the last byte.

        Raises:
            RequestError: The body ended too early.
        """
        if not self._has_ended:
            raise RequestError("body: the form ends before its closing boundary; send all of it")
        self.close()
        upload = None
        if self._file is not None:
            upload = Upload(self._target, self._file_name, self._n_file_bytes, self._sha256.hexdigest())
        return Form(tuple(self._fields), upload, tuple(self._long_fields))

    def close(self) -> None:
        """Close the files; calling it twice is harmless."""
        for file in (self._file, self._long_file):
            if file is not None:
                file.close()

    def __enter__(self) -> FormParser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin_part(self) -> None:
        self._headers = {}
        self._name = self._value = b""

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_headers(self) -> None:
        kind, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data" or not parameters.get(b"name"):
            raise RequestError("body: a part has no content-disposition of the form `form-data; name=...`")
        encoding = self._headers.get(b"content-transfer-encoding", b"").decode("latin-1").strip().lower()
        if encoding not in IDENTITY_ENCODINGS:
            raise RequestError(f"body: content-transfer-encoding: got {encoding[:40]!r}, allowed: binary")
        name = _text(parameters[b"name"], "the name of a part")
        if name == self._file_field:
            self._begin_file(parameters.get(b"filename", b""))
        elif b"filename" in parameters:
            raise RequestError(f"{_shown(name)}: got a file, allowed: text; the file goes into {self._file_field!r}")
        elif (plain := name.partition("[")[0]) in self._limits.long_names:
            self._begin_long_field(plain)
        else:
            self._begin_field(name)

    def _begin_file(self, file_name: bytes) -> None:
        if self._file is not None:
            raise RequestError(f"{self._file_field}: got a second file, allowed: one")
        self._file_name = base_name(file_name.decode("utf-8", "replace"))
        self._file = self._target.open("wb")
        self._file.write(self._prefix)
        self._is_in_file = True

    def _begin_long_field(self, name: str) -> None:
        n_known = len(self._long_fields)
        if n_known >= self._limits.max_long_fields:
            raise RequestTooLargeError(f"{name}: got more than {self._limits.max_long_fields}, which is the limit")
        path = self._target.with_name(f"{self._target.name}-{n_known}")
        self._long_file = path.open("wb")
        self._n_long_bytes = 0
        self._long_fields.append((name, path))

    def _begin_field(self, name: str) -> None:
        if len(self._fields) >= self._limits.max_fields:
            raise RequestTooLargeError(f"body: got more than {self._limits.max_fields} fields, which is the limit")
        self._field = name
        self._text = bytearray()
        self._count(len(name))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_in_file:
            self._n_file_bytes += end - start
            if self._n_file_bytes > self._limits.max_file_bytes:
                raise RequestTooLargeError(f"{self._file_field}: is larger than {self._limits.max_file_bytes} bytes")
            piece = memoryview(data)[start:end]
            self._sha256.update(piece)
            assert self._file is not None
            self._file.write(piece)
            return
        if self._long_file is not None:
            self._add_long_data(memoryview(data)[start:end])
            return
        self._count(end - start)
        self._text += data[start:end]
        if len(self._text) > self._limits.max_field_bytes:
            name = _shown(self._field or "")
            raise RequestTooLargeError(f"{name}: is longer than {self._limits.max_field_bytes} bytes")

    def _add_long_data(self, piece: memoryview) -> None:
        self._n_long_bytes += len(piece)
        if self._n_long_bytes > self._limits.max_long_bytes:
            raise RequestTooLargeError(
                f"{self._long_fields[-1][0]}: is longer than {self._limits.max_long_bytes} bytes"
            )
        assert self._long_file is not None
        self._long_file.write(piece)

    def _count(self, n_bytes: int) -> None:
        self._fields_bytes += n_bytes
        if self._fields_bytes > self._limits.max_fields_bytes:
            raise RequestTooLargeError(
                f"body: its fields are longer than {self._limits.max_fields_bytes} bytes together"
            )

    def _end_part(self) -> None:
        if self._is_in_file:
            self._is_in_file = False
            return
        if self._long_file is not None:
            self._long_file.close()
            self._long_file = None
            return
        assert self._field is not None
        self._fields.append((self._field, _text(bytes(self._text), _shown(self._field))))
        self._field = None

    def _end(self) -> None:
        self._has_ended = True


def base_name(name: str) -> str:
    """The last part of a file name of any system, without control characters, at most 255 characters."""
    return _CONTROL.sub("", name.replace("\\", "/").rsplit("/", 1)[-1]).strip()[-MAX_NAME_LENGTH:]


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"{what}: is not encoded as UTF-8") from error


def _shown(name: str) -> str:
    return _CONTROL.sub("?", name[:40])
