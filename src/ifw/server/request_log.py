"""An id for every request, and one log line at its end."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from ifw.server.errors import error_response
from ifw.server.statuses import CLIENT_LEFT

_log = logging.getLogger("ifw.request")
_QUIET: Final = ("/health/live", "/health/ready", "/metrics")
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestLog:
    """The outermost layer: names the request, answers what nobody caught, writes the line.

    Args:
        app: What is behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        started, status = time.perf_counter(), 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception as error:
            _log.exception("request failed")
            if status:
                raise
            await error_response(scope, error)(scope, receive, send_named)
        finally:
            level = logging.DEBUG if scope["path"] in _QUIET and status == 200 else logging.INFO
            fields = {
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "wall_s": round(time.perf_counter() - started, 4),
            }
            _log.log(level, "request", extra=fields)
            clear_contextvars()


def _request_id(headers: Headers) -> str:
    """That of the client, if it is a plain word, so that both sides' logs can be joined."""
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else uuid.uuid4().hex
