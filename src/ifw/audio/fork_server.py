"""A process that decoder processes are forked off, seen from the caller's side.

Spare ones, which wait for files that will come, are made there: `fork_server_main`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final

from ifw.audio.decoder_process import DecoderProcess, isolated_python, launch_fresh

if TYPE_CHECKING:
    from ifw.audio.assignment import Assignment

MAX_ORDER_BYTES: Final = 1 << 16
NUMBER: Final = struct.Struct("<i")
"""How the server tells the id of a worker, and later its exit status, or the number of its signal, negative."""

_MAIN: Final = "from ifw.audio.fork_server_main import main; main()"


class ForkServer:
    """Starts decoder processes in milliseconds.

    The server itself gets ready in the background. Where the system has no descriptors of processes (they are
    Linux's), or when the server has died, every decoder is a fresh interpreter instead. May be used from any thread;
    the server ends with its owner, however that ends, and workers that are running end with their readers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None
        self._end: Callable[[], object] = lambda: None
        if hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"):
            with contextlib.suppress(OSError):
                self._orders, server = _start()
                self._end = weakref.finalize(self, _stop, self._orders, server)

    def launch(self, descriptor: int, assignment: Assignment) -> DecoderProcess:
        """Start a worker.

        Args:
            descriptor: The file, read by position.
            assignment: What to decode of it.

        Raises:
            AudioError: The process cannot be started.
        """
        order = assignment.to_json().encode()
        if self._orders is not None and len(order) <= MAX_ORDER_BYTES:
            complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the process
            try:
                with self._lock:
                    child = _ForkedChild(self._orders, order, descriptor, complaints)
                return DecoderProcess(child, complaints)
            except OSError:
                complaints.close()
                self.close()
        return launch_fresh(descriptor, assignment)

    def close(self) -> None:
        """End the server. Twice is harmless."""
        with self._lock:
            self._orders = None
            self._end()


class _ForkedChild:
    """A child of the fork server."""

    def __init__(self, orders: socket.socket, order: bytes, descriptor: int, complaints: IO[bytes]) -> None:
        """Have it forked, and wait until it is.

        Raises:
            OSError: The fork server has died.
        """
        self._lock = threading.Lock()  # of the descriptor
        self._tether, their_tether = socket.socketpair()
        reading, writing = os.pipe()
        self._output = os.fdopen(reading, "rb")
        try:
            with their_tether, os.fdopen(writing, "wb") as their_output:
                inherited = [descriptor, their_output.fileno(), complaints.fileno(), their_tether.fileno()]
                socket.send_fds(orders, [order], inherited)
            message, descriptors, _, _ = socket.recv_fds(self._tether, NUMBER.size, 1)
            if not descriptors:
                raise ConnectionError("the fork server has died")
        except OSError:
            self._tether.close()
            self._output.close()
            raise
        self.pid: int = NUMBER.unpack(message)[0]
        self._descriptor = descriptors[0]
        self._status: int | None = None

    @property
    def output(self) -> IO[bytes]:
        return self._output

    def kill(self) -> None:
        with self._lock, contextlib.suppress(OSError):  # it may have ended
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self) -> int | None:
        if self._descriptor >= 0:
            message = self._tether.recv(NUMBER.size)
            self._status = NUMBER.unpack(message)[0] if message else None
            self._tether.close()
            with self._lock:
                os.close(self._descriptor)
                self._descriptor = -1
        return self._status


def _start() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """The socket that takes orders, and the process behind it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with theirs:
            server = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
                isolated_python(_MAIN, []),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for those who give the orders
            )
    except OSError:
        ours.close()
        raise
    return ours, server


def _stop(orders: socket.socket, server: subprocess.Popen[bytes]) -> None:
    orders.close()
    server.kill()
    server.wait()
