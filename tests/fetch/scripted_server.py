"""A real HTTP server on loopback that answers exactly what a test says, however wrong."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass
class Asked:
    """A request as it arrived, and the connection to answer on."""

    connection: socket.socket
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    closing: threading.Event

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.send(head(status, {"Content-Length": str(len(body)), **dashed(headers)}) + body)

    def hang(self) -> None:
        """Say nothing until the other side goes or the server ends."""
        self.connection.settimeout(0.05)
        while not self.closing.is_set():
            try:
                if self.connection.recv(4096) == b"":
                    return
            except TimeoutError:
                continue

    def range_start(self) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(match[1]) if match else 0


def dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def head(status: int, headers: dict[str, str], version: str = "1.1") -> bytes:
    lines = [f"HTTP/{version} {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


Answerer = Callable[[Asked], None]


@dataclass
class ScriptedServer:
    """Answers every request with `answerer`, a connection each."""

    answerer: Answerer
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0  # 0 takes a free one
    asked: list[Asked] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> ScriptedServer:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family)
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()
        assert self.errors == []

    def url(self, path: str = "/talk.mp3", host: str | None = None) -> str:
        return f"{'http' if self.tls is None else 'https'}://{host or self.host}:{self.port}{path}"

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection, contextlib.suppress(OSError):  # the client may go at any time
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            try:
                asked = self._read(connection)
                if asked is not None:
                    self.asked.append(asked)
                    self.answerer(asked)
            except OSError:
                pass
            except BaseException as error:
                self.errors.append(error)
            finally:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                connection.close()

    def _read(self, connection: socket.socket) -> Asked | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return None
            data += piece
        top, _, body = data.partition(b"\r\n\r\n")
        first, *lines = top.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            body += connection.recv(65536)
        return Asked(connection, method, target, headers, body, self._closing)
