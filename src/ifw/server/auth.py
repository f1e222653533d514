"""Keys that open the server. A layer around the whole app, so that nothing is read of a request without one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ifw.errors import UnauthorizedError
from ifw.server.errors import error_response

KEY_HEADERS: Final = ("x-admin-api-key", "x-api-key")
SCHEMES: Final = ("bearer", "api-key")  # the second is how clients of Baseten write it
OPEN_PATHS: Final = ("/health/live", "/health/ready")
OPEN_PAGES: Final = ("/", "/docs", "/openapi.json")
"""What a browser may look at without a key, which it cannot send when it opens a page: the documentation is that of
every server of this version, and knows nothing of this one. Whatever is tried on it needs a key again."""
_LOOKING: Final = frozenset({"GET", "HEAD"})

KEY_SCHEMES: Final = (
    Security(HTTPBearer(scheme_name="bearer", description="One of the server's keys.", auto_error=False)),
    *(
        Security(APIKeyHeader(name=name, scheme_name=name, description="One of the server's keys.", auto_error=False))
        for name in KEY_HEADERS
    ),
)
"""How the API document says that a route wants a key; `KeyCheck` is who looks at it."""


class KeyCheck:
    """Lets through what carries a key.

    Args:
        app: What is behind it.
        keys: Any of them opens; without one everything is open.
    """

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self._app = app
        self._digests = [_digest(key.encode()) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 where there is no right key."""
        if scope["type"] == "http" and self._digests and not _is_open(scope):
            given = _given_keys(Headers(scope=scope))
            if not any(hmac.compare_digest(_digest(key), digest) for key in given for digest in self._digests):
                await error_response(scope, _refusal(bool(given)))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_open(scope: Scope) -> bool:
    return scope["path"] in OPEN_PATHS or (scope["path"] in OPEN_PAGES and scope["method"] in _LOOKING)


def _given_keys(headers: Headers) -> list[bytes]:
    keys = [headers[name].strip() for name in KEY_HEADERS if name in headers]
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in SCHEMES:
        keys.append(rest.strip())
    return [key.encode("latin-1") for key in keys if key]


def _refusal(is_given: bool) -> UnauthorizedError:
    if is_given:
        return UnauthorizedError("the API key is not one of this server's")
    return UnauthorizedError(
        "an API key is needed: send it as 'Authorization: Bearer KEY', 'x-admin-api-key: KEY' or 'X-API-Key: KEY'"
    )


def _digest(key: bytes) -> bytes:
    """Of one length for all keys, so that comparing does not tell theirs."""
    return hashlib.sha256(key).digest()
