"""Web pages of others, kept out of a server without keys.

Any page that a user of the machine opens may send requests to a server on loopback: a form, or, where the page makes
its own name stand for this machine (DNS rebinding), anything. A browser says where a request comes from, and by which
name it calls. Source: Fetch Metadata Request Headers (W3C), section 2.3; RFC 6454, section 7.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ifw.errors import ForeignSiteError
from ifw.server.auth import OPEN_PATHS
from ifw.server.errors import error_response

ANY: Final = "*"
_LOOKING: Final = frozenset({"GET", "HEAD"})


class ForeignSites:
    """Refuses what a page of another site asks for, and what comes under a foreign name. For servers without keys.

    Args:
        app: What is behind it.
        hosts: Names of this server besides `localhost` and IP addresses; `*` is every one.
        origins: Of pages that may ask; `*` is every one.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], origins: Collection[str]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._origins = set(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 where a page of another site asks."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            refusal = self._refusal(scope["method"], Headers(scope=scope))
            if refusal:
                await error_response(scope, ForeignSiteError(refusal))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if host and not self._is_ours(host):
            return (
                f"host: got {host[:80]!r}, allowed: an IP address, localhost, and the names in IFW_ALLOW_HOSTS; "
                "add it there, or set ADMIN_KEY"
            )
        origin = headers.get("origin")
        if origin is not None:
            is_known = ANY in self._origins or origin in self._origins or urlsplit(origin).netloc == host.lower()
            return None if is_known else _foreign(origin[:80])
        is_link = headers.get("sec-fetch-mode") == "navigate" and method in _LOOKING
        return _foreign("another site") if headers.get("sec-fetch-site") == "cross-site" and not is_link else None

    def _is_ours(self, host: str) -> bool:
        name = _name(host)
        return ANY in self._hosts or name in self._hosts or name == "localhost" or _is_address(name)


def _name(host: str) -> str:
    """The host of a Host header without its port, in lower case; of an IPv6 address without its brackets."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0].removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _foreign(origin: str) -> str:
    return (
        f"origin: got {origin}, allowed: pages of this server, and those in IFW_CORS_ORIGINS; "
        "add it there, or set ADMIN_KEY"
    )
