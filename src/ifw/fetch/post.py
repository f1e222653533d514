"""`post`: one delivery of a webhook."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpcore2

from ifw.cancellation import CancelToken
from ifw.errors import ConfigError, FetchTimeoutError
from ifw.fetch.exchange import Answer, Exchanges, explained
from ifw.fetch.limits import TimeLimits
from ifw.fetch.options import FetchOptions
from ifw.fetch.url import parse_url

MAX_REPLY_BYTES: Final = 1 << 10
MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 8 << 10  # of all together
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(r"[\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?|")
_OURS: Final = frozenset(
    (
        *("accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)


@dataclass(frozen=True, slots=True)
class PostReply:
    """What the receiver answered.

    Attributes:
        status: Of HTTP; only 200 to 299 say that it was taken.
    """

    status: int

    @property
    def is_success(self) -> bool:
        """Whether the receiver took it. A redirect did not: nobody follows it."""
        return 200 <= self.status < 300


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout_s: float = 15.0,
    allow_nets: tuple[str, ...] = (),
    cancel: CancelToken | None = None,
) -> PostReply:
    """Send bytes to a URL, once. Blocks; may be called from any thread.

    Args:
        url: http or https. Proxies that the environment names are not used.
        body: Sent as it is.
        headers: Added to our own; `Content-Type` belongs here.
        timeout_s: For everything, the answer included.
        allow_nets: Networks that may be reached although they are not public.
        cancel: Ends it within a second.

    Returns:
        Any answer, errors of the receiver and redirects included.

    Raises:
        UrlInvalidError: It is no http or https URL.
        UrlForbiddenError: Its host has an address that may not be reached.
        ConfigError: A header cannot be sent.
        FetchTimeoutError: There was no answer in time.
        FetchError: There was no connection, or no answer in HTTP.
        CancelledError: `cancel` was cancelled.
    """
    parsed = parse_url(url)
    check_headers(headers)
    options = FetchOptions(
        connect_timeout_s=timeout_s,
        idle_timeout_s=timeout_s,
        total_timeout_s=timeout_s,
        allow_nets=allow_nets,
    )
    limits = TimeLimits(parsed.shown, timeout_s, cancel)
    wire_headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
    try:
        with Exchanges(options, limits).open("POST", parsed, wire_headers, body) as answer:
            _read_beginning(answer)
            return PostReply(answer.status)
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
        raise explained(error, parsed.shown) from error


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse headers that cannot be sent, or that would change how the request is read.

    Raises:
        ConfigError: There is one. The message has its name, never its value, which may be a key.
    """
    if len(headers) > MAX_HEADERS:
        raise ConfigError(f"headers: got {len(headers)}, allowed: at most {MAX_HEADERS}")
    n_bytes = 0
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"headers: got the name {name!r:.100}, allowed: letters, digits and hyphens")
        if name.lower() in _OURS:
            raise ConfigError(f"headers: got {name}, allowed: any but those that frame the request")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ConfigError(f"headers: got a value of {name} that cannot be sent, allowed: one line of Latin-1")
        n_bytes += len(name) + len(value)
    if n_bytes > MAX_HEADER_BYTES:
        raise ConfigError(f"headers: got {n_bytes} bytes, allowed: at most {MAX_HEADER_BYTES}")


def _read_beginning(answer: Answer) -> None:
    """Let the receiver send the first bytes of its body, so that it sees no broken connection after a short answer.

    The status counts, even where the rest never comes.
    """
    n_bytes = 0
    try:
        for piece in answer.body:
            n_bytes += len(piece)
            if n_bytes >= MAX_REPLY_BYTES:
                return
    except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, FetchTimeoutError):
        return
