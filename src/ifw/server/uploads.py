"""Bodies of requests, received within limits: forms with a file, which is streamed to disk, and JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from anyio import fail_after, to_thread
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from ifw.errors import MediaTypeError, RequestError, RequestTimeoutError, RequestTooLargeError
from ifw.server.multipart import Form, FormLimits, FormParser
from ifw.service.settings import Settings

MAX_JSON_BYTES: Final = 1 << 20
WRITE_BYTES: Final = 512 << 10

FORM: Final = "multipart/form-data"
JSON: Final = "application/json"


def form_limits(settings: Settings) -> FormLimits:
    """What a form may hold on a server with these settings."""
    return FormLimits(settings.max_upload_bytes, idle_timeout_s=settings.client_timeout_s)


def media_type(request: Request) -> str:
    """The media type of the body, lower case, without parameters; empty where there is none."""
    return parse_options_header(request.headers.get("content-type"))[0].decode("latin-1")


async def read_form(
    request: Request, target: Path, limits: FormLimits, *, file_field: str = "file", prefix: bytes = b""
) -> Form:
    """Receive a form; its file goes straight to `target`, which is removed again where anything fails.

    Args:
        request: Its body must not have been read yet.
        target: Where the file goes, in a folder that exists.
        limits: What the form may hold. A body that says that it is longer is refused before it is received.
        file_field: The one field that is a file.
        prefix: Written to the file in front of what is received.

    Returns:
        The fields and, where it came, the file. Memory does not grow with the file.

    Raises:
        MediaTypeError: The body is something else.
        RequestError: The body is no such form, or the client left.
        RequestTooLargeError: A limit is passed.
        RequestTimeoutError: The client went silent.
    """
    _require_identity(request)
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    if kind.decode("latin-1") != FORM:
        raise MediaTypeError(f"content-type: got {kind.decode('latin-1')[:80]!r}, allowed: {FORM}")
    _refuse_length(request, limits.max_body_bytes)
    try:
        boundary = parameters.get(b"boundary", b"")
        with FormParser(boundary, target, limits, file_field=file_field, prefix=prefix) as parser:
            gathered = bytearray()
            async for piece in _pieces(request, limits.max_body_bytes, limits.idle_timeout_s):
                gathered += piece
                if len(gathered) >= WRITE_BYTES:
                    await to_thread.run_sync(parser.feed, bytes(gathered))
                    gathered.clear()
            await to_thread.run_sync(parser.feed, bytes(gathered))
            return parser.finish()
    except BaseException:
        target.unlink(missing_ok=True)
        raise


async def read_json(request: Request, *, max_bytes: int = MAX_JSON_BYTES, idle_timeout_s: float = 60.0) -> bytes:
    """Receive a small body whole, whatever its content type says.

    Args:
        request: Its body must not have been read yet.
        max_bytes: A longer one is refused, before it is received where its length is known.
        idle_timeout_s: The next bytes must come within this time.

    Raises:
        RequestTooLargeError: It is longer.
        RequestTimeoutError: The client went silent.
        RequestError: The client left.
        MediaTypeError: It is compressed.
    """
    _require_identity(request)
    _refuse_length(request, max_bytes)
    return b"".join([piece async for piece in _pieces(request, max_bytes, idle_timeout_s)])


async def _pieces(request: Request, max_bytes: int, idle_timeout_s: float) -> AsyncIterator[bytes]:
    n_bytes = 0
    stream = request.stream().__aiter__()
    while True:
        try:
            with fail_after(idle_timeout_s):
                piece = await anext(stream, None)
        except ClientDisconnect as error:
            raise RequestError("body: the client left before all of it was sent") from error
        except TimeoutError as error:
            raise RequestTimeoutError(f"body: no bytes came for {idle_timeout_s:g} s; send it again") from error
        if piece is None:
            return
        n_bytes += len(piece)
        if n_bytes > max_bytes:
            raise RequestTooLargeError(f"body: is larger than {max_bytes} bytes")
        yield piece


def _require_identity(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise MediaTypeError(f"content-encoding: got {encoding[:40]!r}, allowed: none; send the bytes as they are")


def _refuse_length(request: Request, max_bytes: int) -> None:
    """The server in front of this has made sure that it is a number."""
    length = request.headers.get("content-length")
    if length is None:
        return
    if not (length.isascii() and length.isdigit()):
        raise RequestError(f"content-length: got {length[:40]!r}, allowed: a number")
    if int(length) > max_bytes:
        raise RequestTooLargeError(f"body: got {length} bytes, allowed: {max_bytes}")
