"""One request and its answer, over a connection of its own: no proxies, no cookies, nothing kept."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpcore2

from ifw import __version__
from ifw.errors import FetchError, FetchTimeoutError
from ifw.fetch.connection import GuardedBackend
from ifw.fetch.limits import TimeLimits
from ifw.fetch.options import FetchOptions
from ifw.fetch.url import Url

Headers = Sequence[tuple[bytes, bytes]]
_ALWAYS: Headers = (
    (b"User-Agent", f"ifw/{__version__}".encode("ascii")),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"identity"),
    (b"Connection", b"close"),
)
_CUT: Final = ("peer ", "server disconnected")  # how httpcore2 and h11 say that an answer was not whole


def explained(error: Exception, shown: str) -> FetchError:
    """The error of a connection in our words, without a word that the server sent."""
    if isinstance(error, httpcore2.TimeoutException):
        return FetchTimeoutError(f"{shown}: {error}")
    if not isinstance(error, httpcore2.ProtocolError):
        return FetchError(f"{shown}: {error}")
    is_cut = str(error).lower().startswith(_CUT)
    return FetchError(f"{shown}: {'the server broke off' if is_cut else 'what the server sends is no HTTP/1.1'}")


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, and its body to be read once.

    Attributes:
        status: Of HTTP.
        headers: Names in lower case.
        body: As it arrives, without compression undone.
    """

    status: int
    headers: Headers
    body: Iterator[bytes]

    def header(self, name: str) -> str | None:
        """The first header of this name; one that is no UTF-8 is read as Latin-1."""
        wanted = name.encode("ascii")
        value = next((value for key, value in self.headers if key == wanted), None)
        if value is None:
            return None
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")


class Exchanges:
    """Makes the requests of one download or delivery."""

    def __init__(self, options: FetchOptions, limits: TimeLimits) -> None:
        self._options = options
        self._limits = limits
        self._guard = options.guard()

    @contextmanager
    def open(self, method: str, url: Url, headers: Headers = (), content: bytes | None = None) -> Iterator[Answer]:
        """Send a request; the connection is closed at the end of the context.

        Raises:
            UrlForbiddenError: The host has an address that may not be reached.
            FetchError: The certificate is not valid.
            FetchTimeoutError: The time for everything is over.
            CancelledError: The caller cancelled.
            httpcore2.NetworkError: The connection could not be made, or broke.
            httpcore2.TimeoutException: A phase took too long.
            httpcore2.ProtocolError: The server does not speak HTTP.
        """
        self._limits.check()
        given = {name.lower() for name, _ in headers}
        all_headers = [(b"Host", url.host_header), *(item for item in _ALWAYS if item[0].lower() not in given)]
        if url.authorization is not None and b"authorization" not in given:
            all_headers.append((b"Authorization", url.authorization))
        backend = GuardedBackend(
            self._guard,
            self._limits,
            shown=url.shown,
            connect_timeout_s=self._options.connect_timeout_s,
            answer_timeout_s=self._options.idle_timeout_s,
        )
        target = httpcore2.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target)
        with (
            httpcore2.ConnectionPool(
                ssl_context=tls_context() if url.scheme == "https" else None,
                max_connections=1,
                network_backend=backend,
            ) as pool,
            pool.stream(method, target, headers=[*all_headers, *headers], content=content) as response,
        ):
            head = [(name.lower(), value) for name, value in response.headers]
            yield Answer(response.status, head, response.iter_stream())


@functools.cache
def tls_context() -> ssl.SSLContext:
    """One for the process: reading the certificates of all authorities takes some 50 ms of a core."""
    return httpcore2.default_ssl_context()
