"""Ctrl-C: the first one ends the work in an orderly way, the second one ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
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


class Interruption:
    """What the first signal does: it raises, or tells whoever asked to be told."""

    def __init__(self) -> None:
        self._tell: Callable[[int], None] | None = None

    @contextmanager
    def told_to(self, tell: Callable[[int], None]) -> Iterator[None]:
        """Meanwhile nothing is raised, and nothing torn apart.

        Args:
            tell: Called with the number of the signal, between any two instructions of the main thread.
        """
        self._tell = tell
        try:
            yield
        finally:
            self._tell = None

    def arrive(self, signal_number: int) -> None:
        """Take the first signal.

        Raises:
            Interrupted: Nobody asked to be told.
        """
        if self._tell is None:
            raise Interrupted(signal_number)
        self._tell(signal_number)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Take the first Ctrl-C or SIGTERM as the `Interruption` says; exit without ado on the next.

    A signal that this process was started to ignore, as `nohup` does, stays ignored.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    is_first = True

    def on_signal(signal_number: int, frame: FrameType | None) -> None:
        nonlocal is_first
        if not is_first:
            os._exit(SIGNAL_BASE + signal_number)
        is_first = False
        with suppress(OSError):
            os.write(STDERR, NOTICE)  # not print: a signal may arrive in the middle of one
        interruption.arrive(signal_number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, on_signal)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
