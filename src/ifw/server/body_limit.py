"""No body is larger than allowed: refused before it is sent where its length is known, else as soon as it is."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ifw.errors import RequestTooLargeError
from ifw.server.errors import error_response

UPLOAD_PATHS: Final = ("/tasks", "/v1/audio/transcriptions", "/v1/audio/translations", "/asr", "/detect-language")
"""Routes that stream a body to disk; all others read theirs into memory."""


class BodyLimit:
    """Counts what comes in.

    Args:
        app: What is behind it.
        max_body_bytes: Of a request that is read into memory.
        max_upload_bytes: Of the file in an upload; its form may have `max_body_bytes` besides.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_upload = scope["path"] in UPLOAD_PATHS and headers.get("content-type", "").startswith("multipart/form-data")
        limit = self._max_body_bytes + (self._max_upload_bytes if is_upload else 0)
        shown = self._max_upload_bytes if is_upload else self._max_body_bytes
        message = f"the body is larger than {shown} bytes, which is the most that is allowed here"
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await error_response(scope, RequestTooLargeError(message))(scope, receive, send)
            return
        n_bytes = 0

        async def counted() -> Message:
            nonlocal n_bytes
            part = await receive()
            n_bytes += len(part.get("body", b""))
            if n_bytes > limit:
                raise HTTPException(413, message)  # the one kind of error that FastAPI hands on while it reads a body
            return part

        await self._app(scope, counted, send)
