"""Forks decoder processes off one that has everything imported. Runs in that process.

Each file still gets a process of its own, which may crash or bloat, but in milliseconds instead of a tenth of a second
of interpreter start and imports. This process opens no file and has one thread.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import socket
from dataclasses import dataclass
from typing import Final, NoReturn

from ifw.audio.decoder_main import work
from ifw.audio.fork_server import MAX_ORDER_BYTES, NUMBER

N_ORDER_DESCRIPTORS: Final = 4


@dataclass(frozen=True, slots=True)
class _Forked:
    """A child that has not ended."""

    pid: int
    descriptor: int  # of the process; readable when it has ended
    tether: socket.socket


def main() -> None:
    """Carry out orders until nobody can give any.

    Standard input is a socket. An order is the JSON of an assignment, with four descriptors: the file, the pipe for
    messages, the file for complaints, and a socket, the tether. The tether gets the id of the child and its descriptor,
    which is how the giver of the order kills it, and when the child has ended its exit status.
    """
    orders = socket.socket(fileno=os.dup(0))
    gc.freeze()  # what the children share with this process stays shared
    with selectors.DefaultSelector() as selector:
        selector.register(orders, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is orders:
                    if not _take_order(orders, selector):
                        return
                else:
                    selector.unregister(key.fileobj)
                    _report_end(key.data)


def _take_order(orders: socket.socket, selector: selectors.BaseSelector) -> bool:
    """Fork off one child; False where there is nobody left who could give an order."""
    message, descriptors, _, _ = socket.recv_fds(orders, MAX_ORDER_BYTES, N_ORDER_DESCRIPTORS)
    if not message:
        return False
    *inherited, tether_descriptor = descriptors
    tether = socket.socket(fileno=tether_descriptor)
    pid = os.fork()
    if pid == 0:
        _become_worker(message.decode(), inherited)
    for descriptor in inherited:
        os.close(descriptor)
    child = _Forked(pid, os.pidfd_open(pid), tether)
    with contextlib.suppress(OSError):  # whoever gave the order may have gone
        socket.send_fds(tether, [NUMBER.pack(pid)], [child.descriptor])
    selector.register(child.descriptor, selectors.EVENT_READ, child)
    return True


def _become_worker(assignment: str, inherited: list[int]) -> NoReturn:
    """Be what `ifw.audio.decoder_main` is in a fresh interpreter."""
    status = 1
    try:
        for target, descriptor in enumerate(inherited):
            os.dup2(descriptor, target)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        work(assignment)
        status = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    finally:
        os._exit(status)


def _report_end(child: _Forked) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    with contextlib.suppress(OSError):
        child.tether.send(NUMBER.pack(status))
    child.tether.close()
    os.close(child.descriptor)
