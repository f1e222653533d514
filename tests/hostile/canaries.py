"""What must never be touched, and tells when it was: files, and ports of the inner network."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

IN_ACCESS, IN_OPEN, IN_ISDIR = 0x1, 0x20, 0x40000000
EVENT = struct.Struct("iIII")
INNER_ADDRESSES = ("127.0.0.1", "127.0.0.3", "::1")


class FileCanary:
    """A folder; the kernel tells who opens something in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watched = libc.inotify_add_watch(self._descriptor, os.fsencode(folder), IN_ACCESS | IN_OPEN)
        assert min(self._descriptor, watched) >= 0, os.strerror(ctypes.get_errno())

    def was_touched(self) -> bool:
        """Whether a file in it was opened since the last call, which a walk through all folders does not do."""
        try:
            events = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return False
        return any(not mask & IN_ISDIR for mask in _masks(events))

    def close(self) -> None:
        os.close(self._descriptor)


def _masks(events: bytes) -> Iterator[int]:
    begin = 0
    while begin < len(events):
        _, mask, _, n_name_bytes = EVENT.unpack_from(events, begin)
        yield mask
        begin += EVENT.size + n_name_bytes


class PortCanary:
    """One port of several inner addresses; whoever connects to it is noticed, and gets no answer."""

    def __init__(self) -> None:
        self._listeners = list(_listeners())
        self.port: int = self._listeners[0].getsockname()[1]

    def touches(self) -> list[bytes]:
        """What those sent who connected since the last call."""
        return [sent for listener in self._listeners for sent in _accepted(listener)]

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


def _listeners() -> Iterator[socket.socket]:
    port = 0
    for address in INNER_ADDRESSES:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.create_server((address, port), family=family)
        listener.setblocking(False)
        port = listener.getsockname()[1]
        yield listener


def _accepted(listener: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(BlockingIOError):
        while True:
            with listener.accept()[0] as connection:
                connection.settimeout(1)
                try:
                    yield connection.recv(4096)
                except OSError:
                    yield b""
