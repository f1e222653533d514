"""Bytes that may never come: standard input and named pipes, read so that the wait for them can be cancelled."""

from __future__ import annotations

import io
import os
import select
from typing import TYPE_CHECKING

from ifw.cancellation import CancelToken

if TYPE_CHECKING:
    from typing_extensions import Buffer

POLL_MS = 100


class Pipe(io.RawIOBase):
    """The reading end of a pipe.

    Args:
        descriptor: Open for reading; from now on owned by this object.
        name: What messages call it.
        cancel: Ends every wait with `CancelledError`.
    """

    def __init__(self, descriptor: int, name: str, cancel: CancelToken) -> None:
        self.name = name
        self._descriptor = descriptor
        self._cancel = cancel
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Wait for bytes, or for the end, which is 0 bytes.

        Raises:
            CancelledError: The token was cancelled.
            OSError: The pipe cannot be read.
        """
        while True:
            self._cancel.raise_if_cancelled()
            if self._poll.poll(POLL_MS):
                try:
                    return os.readv(self._descriptor, [buffer])
                except BlockingIOError:
                    continue

    def close(self) -> None:
        """Close the descriptor; twice is harmless."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()
