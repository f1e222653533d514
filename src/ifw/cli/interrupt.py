"""Ctrl-C: the first one ends the work in an orderly way, the second one ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ifw.cli.exit_status import SIGNAL_BASE

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STDERR = 2
NOTICE = b"stopping; once more to stop at once\n"


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop.

    Attributes:
        status: What the process should exit with.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.status = SIGNAL_BASE + signal_number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` in the main thread on the first Ctrl-C or SIGTERM; exit without ado on the next.

    A signal that this process was started to ignore, as `nohup` does, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_first = True

    def on_signal(signal_number: int, frame: FrameType | None) -> None:
        nonlocal is_first
        if not is_first:
            os._exit(SIGNAL_BASE + signal_number)
        is_first = False
        with suppress(OSError):
            os.write(STDERR, NOTICE)  # not print: a signal may arrive in the middle of one
        raise Interrupted(signal_number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
