"""One recording: samples arrive in blocks, chunks are heard once complete, speakers are told apart at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ifw.cancellation import CancelToken
from ifw.config import DiarizationOptions
from ifw.constants import SAMPLE_RATE
from ifw.diarize.arrays import ByteArray, FloatArray
from ifw.diarize.assembly import Assembler
from ifw.diarize.groups import Groups, Heard
from ifw.diarize.listener import Listener
from ifw.diarize.turns import Diarization
from ifw.errors import ShapeError


class DiarizationStream:
    """The diarization of one recording; made by `Diarizer.stream`, used by one thread at a time.

    Of a chunk only who speaks and the embeddings are kept, 5 kB a second of audio; of the samples, those that are still
    to be heard.
    """

    def __init__(
        self,
        listener: Listener,
        assembler: Assembler,
        options: DiarizationOptions,
        *,
        on_progress: Callable[[float], None] | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        self._listener = listener
        self._assembler = assembler
        self._options = options
        self._on_progress = on_progress
        self._cancel = cancel or CancelToken()
        self._groups = Groups(listener, self._cancel)
        self._blocks: list[FloatArray] = []  # samples from the first chunk on that was not heard
        self._n_waiting = 0
        self._n_samples = 0
        self._n_begun = 0  # chunks
        self._speech: list[ByteArray] = []
        self._embeddings: list[FloatArray] = []

    def feed(self, samples: FloatArray) -> None:
        """Take in the next samples; once enough have come together, they are heard as soon as there is a thread for it.

        Args:
            samples: [n] float32 mono, 16 kHz; any n. They must not change until they are heard.

        Raises:
            ShapeError: `samples` is not one-dimensional float32.
            CancelledError: The token was cancelled.
            EngineMemoryError: The device has no room.
        """
        check_samples(samples)
        self._blocks.append(samples)
        self._n_waiting += len(samples)
        self._n_samples += len(samples)
        if self._n_waiting >= self._span(self._listener.batch_size):
            waiting = np.concatenate(self._blocks)
            while len(waiting) >= self._span(self._listener.batch_size):
                waiting = self._hear(waiting, self._listener.batch_size)
            self._keep(waiting)

    def finish(self) -> Diarization:
        """Hear what is left, and tell who spoke when.

        Raises:
            CancelledError: The token was cancelled.
            EngineMemoryError: The device has no room.
        """
        waiting = np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.float32)
        chunk, step = self._listener.chunk_samples, self._listener.step_samples
        # The last chunk is filled up with zeros, unless the one before ends with the audio.
        n_chunks = 1 + max(0, -(-(len(waiting) - chunk) // step))
        if len(waiting) <= chunk - step and self._n_begun:
            n_chunks = 0
        waiting = np.pad(waiting, (0, max(0, self._span(n_chunks) - len(waiting))))
        while n_chunks:
            n_now = min(n_chunks, self._listener.batch_size)
            waiting = self._hear(waiting, n_now)
            n_chunks -= n_now
        self._keep(waiting[:0])
        self._take(self._groups.rest())
        self._cancel.raise_if_cancelled()
        if not self._n_samples:
            return Diarization()
        speech, embeddings = np.concatenate(self._speech), np.concatenate(self._embeddings)
        found = self._assembler.assemble(
            speech, embeddings, self._options, self._n_samples / SAMPLE_RATE, cancel=self._cancel
        )
        self._report(self._n_samples)
        return found

    def _span(self, n_chunks: int) -> int:
        """Samples of so many chunks."""
        return self._listener.chunk_samples + (n_chunks - 1) * self._listener.step_samples if n_chunks else 0

    def _hear(self, waiting: FloatArray, n_chunks: int) -> FloatArray:
        """Have the first chunks heard; returns the samples from the next one on."""
        self._cancel.raise_if_cancelled()
        self._groups.begin(waiting[: self._span(n_chunks)])
        self._n_begun += n_chunks
        self._take(self._groups.done())
        return waiting[n_chunks * self._listener.step_samples :]

    def _take(self, groups: Sequence[Heard]) -> None:
        for speech, embeddings in groups:
            self._cancel.raise_if_cancelled()
            self._speech.append(speech)
            self._embeddings.append(embeddings)
            n_heard = sum(map(len, self._speech)) * self._listener.step_samples
            self._report(min(n_heard, self._n_samples))

    def _keep(self, waiting: FloatArray) -> None:
        self._blocks, self._n_waiting = [waiting.copy()], len(waiting)

    def _report(self, n_samples: int) -> None:
        if self._on_progress is not None:
            self._on_progress(n_samples / SAMPLE_RATE)


def check_samples(samples: FloatArray) -> None:
    """Refuse what is no recording.

    Raises:
        ShapeError: It is not one-dimensional float32.
    """
    if samples.ndim != 1 or samples.dtype != np.float32:
        shape = list(samples.shape)
        raise ShapeError(f"samples: got {samples.dtype} of shape {shape}, allowed: float32 of shape [n]")
