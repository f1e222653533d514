"""No body is larger than allowed, or slower: one whose length is known is refused before it is sent."""

from __future__ import annotations

from collections.abc import Collection

from anyio import fail_after
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ifw.errors import RequestTooLargeError
from ifw.server.errors import error_response
from ifw.server.uploads import FORM, media_type


class BodyLimit:
    """Counts what comes in, and waits for it no longer than it should.

    Args:
        app: What is behind it.
        upload_paths: Of the routes that stream a form to disk; all others read their body into memory.
        max_body_bytes: Of a request that is read into memory.
        max_upload_bytes: Of the file in an upload; its form may have `max_body_bytes` besides.
        idle_timeout_s: More of a body must come within this time.
    """

    def __init__(
        self,
        app: ASGIApp,
        upload_paths: Collection[str],
        max_body_bytes: int,
        max_upload_bytes: int,
        idle_timeout_s: float,
    ) -> None:
        self._app = app
        self._upload_paths = frozenset(upload_paths)
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_upload_bytes
        self._idle_timeout_s = idle_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            ClientDisconnect: The client left before it had sent all of its body. Nobody is answered then.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_upload = scope["path"] in self._upload_paths and media_type(headers) == FORM
        limit = self._max_body_bytes + (self._max_upload_bytes if is_upload else 0)
        shown = self._max_upload_bytes if is_upload else self._max_body_bytes
        message = f"the body is larger than {shown} bytes, which is the most that is allowed here"
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await error_response(scope, RequestTooLargeError(message))(scope, receive, send)
            return
        n_bytes, is_whole, is_answered, has_left = 0, False, False, False

        # HTTPException is the one kind of error that FastAPI hands on while it reads a body
        async def counted() -> Message:
            nonlocal n_bytes, is_whole, has_left
            if is_whole:
                return await receive()  # waits for the client to leave
            try:
                with fail_after(self._idle_timeout_s):
                    part = await receive()
            except TimeoutError:
                if is_answered:  # nobody wants the rest
                    return await receive()
                raise HTTPException(408, f"body: no bytes came for {self._idle_timeout_s:g} s; send it again") from None
            has_left = part["type"] == "http.disconnect" and not is_answered
            is_whole = not part.get("more_body", False)
            n_bytes += len(part.get("body", b""))
            if n_bytes > limit and not is_answered:
                raise HTTPException(413, message)
            return part

        async def noted(part: Message) -> None:
            nonlocal is_answered
            is_answered = True
            if not has_left:
                await send(part)

        await self._app(scope, counted, noted)
        if has_left:
            raise ClientDisconnect
