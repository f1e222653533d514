"""Forks decoder processes off one that has everything imported. Runs in that process.

Each file still gets a process of its own, which may crash or bloat, but without interpreter start and imports, which
take a tenth of a second. A few spare ones wait for files: to touch memory for the first time takes a new process longer
than to decode a clip, and they have done so with silence. This process opens no file of others, and has one thread.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import select
import selectors
import socket
import wave
from dataclasses import dataclass
from typing import Final, NoReturn

from ifw.audio.container import AudioFile
from ifw.audio.decoder_main import work
from ifw.audio.fork_server import MAX_ORDER_BYTES, NUMBER
from ifw.audio.timeline import Timeline

N_ORDER_DESCRIPTORS: Final = 4
MAX_SPARES: Final = 4
_PAUSE_S: Final = 0.02  # without orders, before a spare is forked: those who have a file go first


@dataclass(slots=True)
class _Child:
    """A child that has not ended.

    Attributes:
        pid: Its id.
        descriptor: Of the process; readable when it has ended.
        line: It takes its order from there; None once it has one.
        tether: Who gave the order waits there; None before.
    """

    pid: int
    descriptor: int
    line: socket.socket | None
    tether: socket.socket | None = None


def main() -> None:
    """Carry out orders until nobody can give any.

    Standard input is a socket. An order is the JSON of an assignment, with four descriptors: the file, the pipe for
    messages, the file for complaints, and a socket, the tether. The tether gets the id of the child and its descriptor,
    which is how the giver of the order kills it, and when the child has ended its exit status.
    """
    orders = socket.socket(fileno=os.dup(0))
    _decode_silence()
    gc.freeze()  # what the children share with this process stays shared
    n_spares = min(MAX_SPARES, os.cpu_count() or 1)
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        workers = Workers(selector)
        while True:
            ready = selector.select(_PAUSE_S if workers.n_spares < n_spares else None)
            if not ready:
                workers.add_spare()
            for key, _ in ready:
                if key.data is not None:
                    workers.bury(key.data)
                elif not workers.take_order(orders):
                    return


class Workers:
    """The children that have not ended, and which of them are spare.

    Args:
        selector: Tells of their ends.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._spares: list[_Child] = []

    @property
    def n_spares(self) -> int:
        """Children that wait for an order."""
        return len(self._spares)

    def add_spare(self) -> None:
        """Fork a child that waits."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._spares.append(self._fork(theirs, ours))

    def take_order(self, orders: socket.socket) -> bool:
        """Give a file to a child; False where there is nobody left who could give an order."""
        message, descriptors, _, _ = socket.recv_fds(orders, MAX_ORDER_BYTES, N_ORDER_DESCRIPTORS)
        if not message:
            return False
        *inherited, tether = descriptors
        child = self._given(message, inherited)
        for descriptor in inherited:
            os.close(descriptor)
        child.tether = socket.socket(fileno=tether)
        with contextlib.suppress(OSError):  # whoever gave the order may have gone
            socket.send_fds(child.tether, [NUMBER.pack(child.pid)], [child.descriptor])
        return True

    def bury(self, child: _Child) -> None:
        """Tell the end of a child."""
        self._selector.unregister(child.descriptor)
        status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        os.close(child.descriptor)
        if child.tether is not None:
            with contextlib.suppress(OSError):
                child.tether.send(NUMBER.pack(status))
            child.tether.close()
        if child.line is not None:
            child.line.close()
            self._spares.remove(child)

    def _given(self, order: bytes, inherited: list[int]) -> _Child:
        """A child that has the order: a spare one, or one that finds it at its birth."""
        while self._spares:
            child = self._spares.pop()
            assert child.line is not None
            with child.line as line, contextlib.suppress(OSError):  # it may have ended
                child.line = None
                socket.send_fds(line, [order], inherited)
                return child
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            socket.send_fds(ours, [order], inherited)
            return self._fork(theirs)

    def _fork(self, theirs: socket.socket, ours: socket.socket | None = None) -> _Child:
        with theirs:
            pid = os.fork()
            if pid == 0:
                _become_worker(theirs.fileno())
        child = _Child(pid, os.pidfd_open(pid), ours)
        self._selector.register(child.descriptor, selectors.EVENT_READ, child)
        return child


def _become_worker(line: int) -> NoReturn:
    """Be what `ifw.audio.decoder_main` is in a fresh interpreter, as soon as there is an order."""
    status = 1
    try:
        os.dup2(line, 0)
        _close_from(3)
        if not select.select([0], [], [], 0)[0]:
            _decode_silence()
        waiting = socket.socket(fileno=0)
        order, inherited, _, _ = socket.recv_fds(waiting, MAX_ORDER_BYTES, N_ORDER_DESCRIPTORS)
        waiting.detach()
        if order:  # else the server has gone
            for target, descriptor in enumerate(inherited):
                os.dup2(descriptor, target)
            _close_from(len(inherited))
            work(order.decode())
        status = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(status)


def _close_from(descriptor: int) -> None:
    os.closerange(descriptor, os.sysconf("SC_OPEN_MAX"))


def _decode_silence() -> None:
    """Touch, and have resolved, what decoding needs of its libraries."""
    with io.BytesIO() as file, wave.open(file, "wb") as silence:
        silence.setparams((2, 2, 8_000, 0, "NONE", ""))
        silence.writeframes(bytes(4 * 800))
        content = file.getvalue()
    descriptor = os.memfd_create("silence")
    try:
        os.write(descriptor, content)
        opened = AudioFile(descriptor)
        timeline = Timeline(opened.origin_s, opened.duration_s)
        for _ in timeline.converted(opened.reader.frames()):
            pass
        opened.container.close()
    finally:
        os.close(descriptor)
