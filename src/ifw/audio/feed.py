"""Samples in order, from one decoder process or from several side by side."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ifw.audio.assignment import Assignment, Slicing
from ifw.audio.wire import Header, Kind, unpack_warnings
from ifw.errors import CancelledError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ifw.audio.decoder_process import DecoderProcess, Launch
    from ifw.config import AudioOptions
    from ifw.types import TranscriptWarning

Samples = NDArray[np.float32]

EXACT_STEP = 1e-6
INEXACT_STEP = 5e-4  # noise between the seams may be louder than at them; 2e-3 is what is promised


class SampleFeed:
    """The decoder processes of one file.

    Slices are proven, not trusted: each brings the half second before it, which must equal the end of the slice
    before. Where it does not, or a worker doubts its slice, one worker decodes the file from the start again, and
    what was delivered already is skipped.

    Attributes:
        header: What the container says.
        warnings: What is wrong with the audio; complete after the last chunk.
        doubt: Why the slices were given up; None where they were not.
    """

    def __init__(self, descriptor: int, options: AudioOptions, slicing: Slicing, launch: Launch) -> None:
        """Start the first worker and wait for its header.

        Raises:
            AudioError: The file cannot be opened, or gives no samples.
        """
        self._descriptor = descriptor
        self._launch = launch
        self._n_workers = options.n_workers
        whole = Assignment(clip=options.clip, is_split=options.channels == "split")
        self._sliced_work = replace(whole, n_workers=options.n_workers, slicing=slicing)
        self._whole_work = whole
        self._lock = threading.Lock()  # of the two below
        self._workers: list[DecoderProcess] = []
        self._is_cancelled = False
        self._n_samples = 0
        self.warnings: tuple[TranscriptWarning, ...] = ()
        self.doubt: str | None = None
        try:
            self._start(self._sliced_work)
            self.header = self._first_header()
        except BaseException:
            self.close()
            raise

    def chunks(self) -> Iterator[Samples]:
        """Yield about a second at a time, to the end.

        Raises:
            AudioError: A worker reports an error, or died.
            CancelledError: `cancel` was called.
        """
        if self.header.n_slices > 1:
            self.doubt = yield from self._sliced()
            if self.doubt is None:
                return
            self._end_workers()
            self._start(replace(self._whole_work, skip_samples=self._n_samples))
            self._first_header()
        while True:
            kind, payload = self._workers[0].receive()
            if kind is Kind.FINISHED:
                self.warnings = unpack_warnings(payload)
                return
            yield self._counted(payload)

    def cancel(self) -> None:
        """End all workers at once, from any thread."""
        with self._lock:
            self._is_cancelled = True
            for worker in self._workers:
                worker.kill()

    def close(self) -> None:
        """End all workers and close their pipes. Not while another thread takes chunks."""
        self.cancel()
        self._end_workers()

    def _start(self, assignment: Assignment) -> None:
        with self._lock:
            if self._is_cancelled:
                raise CancelledError("the audio stream was closed")
            self._workers.append(self._launch(self._descriptor, assignment))

    def _first_header(self) -> Header:
        kind, payload = self._workers[0].receive()
        assert kind is Kind.HEADER
        return Header.from_bytes(payload)

    def _end_workers(self) -> None:
        with self._lock:
            workers, self._workers = self._workers, []
        for worker in workers:
            worker.close()

    def _sliced(self) -> Generator[Samples, None, str | None]:
        """Yield slice after slice; give the reason where they cannot be used."""
        for index in range(1, min(self._n_workers, self.header.n_slices)):
            self._start(replace(self._sliced_work, index=index))
        tail = self._from_bytes(b"")
        for index in range(self.header.n_slices):
            while True:
                kind, payload = self._workers[index % self._n_workers].receive()
                if kind is Kind.SAMPLES:
                    tail = self._counted(payload)
                    yield tail
                elif kind is Kind.SEAM:
                    if (step := _step(tail, self._from_bytes(payload))) > self._tolerance:
                        return f"the seam before slice {index} differs by {step:.1e}"
                elif kind is Kind.UNSAFE:
                    return payload.decode()
                elif kind is Kind.HEADER:
                    assert Header.from_bytes(payload) == self.header
                else:
                    break
        assert kind is Kind.FINISHED
        self.warnings = unpack_warnings(payload)
        return None

    @property
    def _tolerance(self) -> float:
        return EXACT_STEP if self.header.is_exact else INEXACT_STEP

    def _counted(self, payload: bytes) -> Samples:
        samples = self._from_bytes(payload)
        self._n_samples += len(samples)
        return samples

    def _from_bytes(self, payload: bytes) -> Samples:
        samples = np.frombuffer(payload, np.float32)
        return samples.reshape(-1, self.header.n_channels) if self._whole_work.is_split else samples


def _step(tail: Samples, seam: Samples) -> float:
    """Largest difference between the end of a slice and what the next one has for the same time."""
    return float(np.abs(tail[-len(seam) :] - seam).max())
