"""Connections for httpcore2 that go only where the guard lets them, keep the time limits, and can be cancelled."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import ssl
import threading
from collections.abc import Iterable
from typing import Any, Final

import httpcore2

from ifw.errors import FetchError
from ifw.fetch.addresses import AddressGuard
from ifw.fetch.limits import SLICE_S, TimeLimits

MAX_ADDRESSES: Final = 8  # of one name that are tried
_NO_SUCH_NAME: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
SocketAddress = tuple[Any, ...]


class GuardedBackend(httpcore2.NetworkBackend):
    """Looks a name up once, checks every address, and connects to an address that was checked.

    There is no second look-up that could answer differently, and the name itself stays as it is for TLS and for the
    Host header.
    """

    def __init__(
        self,
        guard: AddressGuard,
        limits: TimeLimits,
        *,
        shown: str,
        connect_timeout_s: float,
        answer_timeout_s: float,
    ) -> None:
        self._guard = guard
        self._limits = limits
        self._shown = shown
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect; the arguments after `port` are not used."""
        self._guard.check_name(self._shown, host)
        self._limits.start_phase(self._connect_timeout_s)
        try:
            found = self._look_up(host, port)
            self._guard.check(self._shown, host, (str(address[0]) for _, address in found))
            sock = self._connect_any(found[:MAX_ADDRESSES])
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"no connection within {self._connect_timeout_s:g} s") from error
        self._limits.start_phase(self._connect_timeout_s)
        return GuardedStream(sock, self._limits, self._shown, self._answer_timeout_s)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Refuse: no URL leads to one."""
        raise httpcore2.ConnectError("a socket of this machine is never connected to")

    def sleep(self, seconds: float) -> None:
        """Wait as long as the limits allow."""
        self._limits.pause(seconds)

    def _look_up(self, host: str, port: int) -> list[tuple[socket.AddressFamily, SocketAddress]]:
        """Ask the resolver in a thread of its own, as nothing else can end that wait."""
        answers: list[tuple[socket.AddressFamily, SocketAddress]] = []
        failures: list[Exception] = []
        is_done = threading.Event()

        def ask() -> None:
            try:
                infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answers.extend(dict.fromkeys((info[0], info[4]) for info in infos))
            except (OSError, UnicodeError) as error:
                failures.append(error)
            is_done.set()

        threading.Thread(target=ask, name="ifw-look-up", daemon=True).start()
        self._limits.wait(is_done)
        if answers:
            return answers
        failure = failures[0] if failures else OSError("it has no address")
        reason = getattr(failure, "strerror", None) or failure
        if isinstance(failure, socket.gaierror) and failure.errno in _NO_SUCH_NAME:
            raise FetchError(f"{self._shown}: the name of its host does not exist") from failure
        raise httpcore2.ConnectError(f"the name of its host cannot be looked up: {reason}") from failure

    def _connect_any(self, addresses: list[tuple[socket.AddressFamily, SocketAddress]]) -> socket.socket:
        """Try one after the other; each gets its share of the time."""
        last: OSError | None = None
        for n_tried, (family, address) in enumerate(addresses):
            share_s = self._limits.left_s() / (len(addresses) - n_tried)
            try:
                return self._connect(family, address, share_s)
            except OSError as error:
                last = error
        if isinstance(last, TimeoutError):
            raise last
        raise httpcore2.ConnectError(f"no connection: {last.strerror if last else 'no address'}") from last

    def _connect(self, family: socket.AddressFamily, address: SocketAddress, share_s: float) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            code = sock.connect_ex(address)
            if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
                raise OSError(code, os.strerror(code))
            with selectors.DefaultSelector() as selector:
                selector.register(sock, selectors.EVENT_WRITE)
                while not selector.select(min(SLICE_S, self._limits.left_s(), share_s)):
                    share_s -= SLICE_S
                    if share_s <= 0:
                        raise TimeoutError("timed out")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock


class GuardedStream(httpcore2.NetworkStream):
    """A connection whose waits take their length from the limits, and which a cancellation breaks off at once."""

    def __init__(self, sock: socket.socket, limits: TimeLimits, shown: str, answer_timeout_s: float) -> None:
        self._socket = sock
        self._limits = limits
        self._shown = shown
        self._answer_timeout_s = answer_timeout_s
        self._plug = _Plug(sock)
        self._forget = limits.on_cancel(self._plug.pull)
        self._is_answer_awaited = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there; `timeout` is not used."""
        try:
            self._socket.settimeout(self._limits.left_s())
            data = self._socket.recv(max_bytes)
        except TimeoutError as error:
            self._limits.check()
            raise httpcore2.ReadTimeout("the server sent too little for too long") from error
        except OSError as error:
            self._limits.check()
            raise httpcore2.ReadError(f"the connection broke: {error.strerror or error}") from error
        self._limits.check()
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all; `timeout` is not used. The first write starts the time for the answer."""
        if not self._is_answer_awaited:
            self._is_answer_awaited = True
            self._limits.start_phase(self._answer_timeout_s)
        view = memoryview(buffer)
        try:
            while view:
                self._socket.settimeout(self._limits.left_s())
                view = view[self._socket.send(view) :]
        except TimeoutError as error:
            self._limits.check()
            raise httpcore2.WriteTimeout("the server took too little for too long") from error
        except OSError as error:
            self._limits.check()
            raise httpcore2.WriteError(f"the connection broke: {error.strerror or error}") from error

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Speak TLS from now on; `timeout` is not used.

        Raises:
            FetchError: The server is not who it says it is, or speaks no TLS that is safe.
        """
        try:
            self._socket.settimeout(self._limits.left_s())
            self._socket = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname, suppress_ragged_eofs=False
            )
        except BaseException as error:
            self.close()
            self._limits.check()
            if isinstance(error, TimeoutError):
                raise httpcore2.ConnectTimeout("TLS did not start in time") from error
            if isinstance(error, ssl.SSLCertVerificationError):
                raise FetchError(f"{self._shown}: its certificate is not valid: {error.verify_message}") from error
            if isinstance(error, ssl.SSLError | ssl.CertificateError) and not isinstance(error, ssl.SSLEOFError):
                raise FetchError(f"{self._shown}: no TLS with this server: {error.args[-1]}") from error
            if isinstance(error, OSError):
                raise httpcore2.ConnectError(f"no TLS with this server: {error.strerror or error}") from error
            raise
        return self

    def close(self) -> None:
        """Close the connection; twice is harmless."""
        self._forget()
        self._socket.close()
        self._plug.close()

    def get_extra_info(self, info: str) -> Any:
        """Nothing: httpcore2 asks only for what connections that are used again need."""
        return None


class _Plug:
    """A second handle of a connection, by which another thread can break it off while the first is in use."""

    def __init__(self, sock: socket.socket) -> None:
        self._lock = threading.Lock()
        self._handle: socket.socket | None = sock.dup()

    def pull(self) -> None:
        with self._lock:
            if self._handle is not None:
                with contextlib.suppress(OSError):  # it has broken off by itself
                    self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None
