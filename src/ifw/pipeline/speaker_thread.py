"""A diarizer that hears one file in a thread of its own, while that is transcribed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ifw.cancellation import CancelToken
from ifw.constants import SAMPLE_RATE
from ifw.model.cores import use_cores

if TYPE_CHECKING:
    from ifw.config import DiarizationOptions
    from ifw.diarize.diarizer import Diarizer
    from ifw.diarize.turns import Diarization
    from ifw.speech.buffer import FloatArray


class SpeakerThread:
    """Hears samples as they are fed, and has who spoke when at the end.

    It refers to nobody who waits for it, so that a transcription which nobody wants any more can be freed.

    Args:
        diarizer: May hear other files too.
        options: How many speakers there may be.
        n_threads: Threads of torch on CPU, to begin with.

    Attributes:
        n_threads: May be changed at any time; counts from the next few chunks on.
        found: Who spoke when, in the samples that were fed; None until the end, and where that failed.
        failure: What went wrong, if anything did.
        heard_s: Seconds of audio that were heard so far.
        work_s: Wall seconds of work so far.
    """

    def __init__(self, diarizer: Diarizer, options: DiarizationOptions, n_threads: int) -> None:
        self.n_threads = n_threads
        self.found: Diarization | None = None
        self.failure: BaseException | None = None
        self.heard_s = 0.0
        self.work_s = 0.0
        self._diarizer = diarizer
        self._options = options
        self._cancel = CancelToken()
        self._changed = threading.Condition()
        self._blocks: deque[FloatArray | None] = deque()
        self._n_waiting = 0  # samples
        self._is_done = False
        self._thread = threading.Thread(target=self._listen, name="ifw-diarize", daemon=True)

    @property
    def is_done(self) -> bool:
        """Whether `found` or `failure` is there."""
        return self._is_done

    @property
    def waiting_s(self) -> float:
        """Seconds of audio that wait to be heard."""
        return self._n_waiting / SAMPLE_RATE

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def feed(self, samples: FloatArray | None) -> None:
        """Hand over the next samples, [n] float32, which must not change afterwards; None after the last ones."""
        with self._changed:
            if not self._is_done:
                self._blocks.append(samples)
                self._n_waiting += 0 if samples is None else len(samples)
                self._changed.notify_all()

    def wait_until(self, is_enough: Callable[[], bool]) -> None:
        """Wait until something that this object can tell is so, or the work was cancelled."""
        with self._changed:
            self._changed.wait_for(lambda: is_enough() or self._cancel.is_cancelled)

    def cancel(self) -> None:
        """End the work, and let go of whoever waits; from any thread."""
        self._cancel.cancel()
        with self._changed:
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the end of the thread after `cancel`; what it computes at the moment takes a little."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _listen(self) -> None:
        found: Diarization | None = None
        failure: BaseException | None = None
        use_cores(self.n_threads)
        try:
            stream = self._diarizer.stream(self._options, on_progress=self._take_note, cancel=self._cancel)
            for block in self._fed():
                started = time.perf_counter()
                stream.feed(block)
                self.work_s += time.perf_counter() - started
            started = time.perf_counter()
            found = stream.finish()
            self.work_s += time.perf_counter() - started
        except BaseException as error:  # whatever it is, the text is still good
            failure = error
        with self._changed:
            self.found, self.failure = found, failure
            self._is_done = True
            self._blocks.clear()
            self._n_waiting = 0
            self._changed.notify_all()

    def _fed(self) -> Iterator[FloatArray]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._blocks or self._cancel.is_cancelled)
                self._cancel.raise_if_cancelled()
                block = self._blocks.popleft()
                if block is None:
                    return
                self._n_waiting -= len(block)
                self._changed.notify_all()
            yield block

    def _take_note(self, heard_s: float) -> None:
        use_cores(self.n_threads)
        with self._changed:
            self.heard_s = heard_s
            self._changed.notify_all()
