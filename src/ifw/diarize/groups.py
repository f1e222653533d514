"""Groups of chunks of one recording that other threads hear, in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Protocol

import torch

from ifw.cancellation import CancelToken
from ifw.diarize.arrays import ByteArray, FloatArray

Heard = tuple[ByteArray, FloatArray]
"""[C, F, S] 1 where a local speaker speaks, and [C, S, D] how each sounds."""


class Hears(Protocol):
    """Who hears: `ifw.diarize.listener.Listener`."""

    @property
    def n_at_once(self) -> int:
        """How many groups to hear at once."""

    def begin(self, samples: FloatArray, cancel: CancelToken) -> Future[Heard]:
        """Have a group of chunks heard."""


class Groups:
    """The groups of one recording. Nobody waits for the slowest of several: where one is done, the next begins.

    What fails in one group fails here, once all that are being heard have ended.

    Args:
        listener: Hears them.
        cancel: Ends it as soon as the groups are done that are being heard.
    """

    def __init__(self, listener: Hears, cancel: CancelToken) -> None:
        self._listener = listener
        self._cancel = cancel
        self._begun: deque[Future[Heard]] = deque()

    def begin(self, samples: FloatArray) -> None:
        """Have the next group heard, once there is a thread for it.

        Args:
            samples: [n] float32, of all its chunks. They must not change.

        Raises:
            CancelledError: The token was cancelled.
            EngineMemoryError: The device had no room for an earlier group.
        """
        n_threads = torch.get_num_threads()
        while True:
            running = [group for group in self._begun if not group.done()]
            if len(running) < self._listener.n_at_once:
                break
            wait(running, return_when=FIRST_COMPLETED)
        torch.set_num_threads(n_threads)  # the other threads have set theirs, and a new one takes what was set last
        if self._cancel.is_cancelled:
            self._end()
        self._cancel.raise_if_cancelled()
        self._begun.append(self._listener.begin(samples, self._cancel))

    def done(self) -> list[Heard]:
        """What was heard of the groups in turn that are done already, each once.

        Raises:
            CancelledError: The token was cancelled.
            EngineMemoryError: The device had no room.
        """
        heard = []
        while self._begun and self._begun[0].done():
            heard.append(self._next())
        return heard

    def rest(self) -> list[Heard]:
        """Wait for all groups; raises what `done` does."""
        n_threads = torch.get_num_threads()
        wait(self._begun)
        torch.set_num_threads(n_threads)
        return self.done()

    def _next(self) -> Heard:
        try:
            return self._begun.popleft().result()
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        for group in self._begun:
            group.cancel()
        wait(self._begun)
        self._begun.clear()
