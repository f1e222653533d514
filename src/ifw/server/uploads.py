"""Bodies that a route receives by hand: forms with a file, which is streamed to disk, and JSON.

`BodyLimit` bounds how long they are, and how long they take.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyio import to_thread
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.requests import Request

from ifw.errors import MediaTypeError
from ifw.server.multipart import Form, FormLimits, FormParser
from ifw.service.settings import Settings

WRITE_BYTES: Final = 512 << 10

FORM: Final = "multipart/form-data"
JSON: Final = "application/json"


def form_limits(settings: Settings) -> FormLimits:
    """What a form may hold on a server with these settings."""
    return FormLimits(settings.max_upload_bytes)


def media_type(headers: Headers) -> str:
    """The media type of the body, lower case, without parameters; empty where there is none."""
    return parse_options_header(headers.get("content-type"))[0].decode("latin-1")


async def read_form(
    request: Request, target: Path, limits: FormLimits, *, file_field: str = "file", prefix: bytes = b""
) -> Form:
    """Receive a form; its file goes straight to `target`, which is removed again where anything fails.

    Args:
        request: Its body must not have been read yet.
        target: Where the file goes, in a folder that exists.
        limits: What the form may hold.
        file_field: The one field that is a file.
        prefix: Written to the file in front of what is received.

    Returns:
        The fields and, where it came, the file. Memory does not grow with the file.

    Raises:
        MediaTypeError: The body is something else.
        RequestError: The body is no such form.
        RequestTooLargeError: A limit is passed.
        ClientDisconnect: The client left.
    """
    _require_identity(request)
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    if kind.decode("latin-1") != FORM:
        raise MediaTypeError(f"content-type: got {kind.decode('latin-1')[:80]!r}, allowed: {FORM}")
    try:
        boundary = parameters.get(b"boundary", b"")
        with FormParser(boundary, target, limits, file_field=file_field, prefix=prefix) as parser:
            gathered = bytearray()
            async for piece in request.stream():
                gathered += piece
                if len(gathered) >= WRITE_BYTES:
                    await to_thread.run_sync(parser.feed, bytes(gathered))
                    gathered.clear()
            await to_thread.run_sync(parser.feed, bytes(gathered))
            return parser.finish()
    except BaseException:
        target.unlink(missing_ok=True)
        raise


async def read_json(request: Request) -> bytes:
    """Receive a small body whole, whatever its content type says.

    Args:
        request: Its body must not have been read yet.

    Raises:
        MediaTypeError: It is compressed.
        ClientDisconnect: The client left.
    """
    _require_identity(request)
    return await request.body()


def _require_identity(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise MediaTypeError(f"content-encoding: got {encoding[:40]!r}, allowed: none; send the bytes as they are")
