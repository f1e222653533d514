"""Several files in flight through one transcriber. Threads do the work; one iterator hands out what happens."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final

from ifw.cancellation import CancelToken
from ifw.cli.inputs import Input
from ifw.cli.interrupt import Interrupted
from ifw.config import TranscribeOptions
from ifw.errors import CancelledError
from ifw.types import Progress, Segment, Transcript

if TYPE_CHECKING:
    from ifw.pipeline.journal import Journal
    from ifw.pipeline.transcription import Transcription
    from ifw.transcriber import Transcriber

LOOK_S: Final = 0.1
"""A signal that comes just before a wait does not end it: Python runs its handler between two instructions only."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """More of a URL has arrived.

    Attributes:
        index: Of the input.
        n_bytes: So far.
        total: In all; None where the server does not say.
    """

    index: int
    n_bytes: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Advanced:
    """A file has come further."""

    index: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Spoken:
    """A segment is final."""

    index: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class Finished:
    """A file is done."""

    index: int
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Failed:
    """A file could not be transcribed; the others go on."""

    index: int
    error: Exception


@dataclass(frozen=True, slots=True)
class Stopped:
    """A file was cancelled.

    Attributes:
        index: Of the input.
        partial: What was final; None where nothing was.
    """

    index: int
    partial: Transcript | None


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal asked this process to stop."""

    number: int


Event = Arrived | Advanced | Spoken | Finished | Failed | Stopped


class Batch(Iterator[Event]):
    """Transcribes all inputs and hands out events as they happen, those of one file in order.

    Every input ends with exactly one `Finished`, `Failed` or `Stopped`. Leaving the context early cancels what runs
    and waits for it to stop; the events that nobody has seen by then are in `unseen`.
    """

    def __init__(
        self,
        transcriber: Transcriber,
        inputs: Sequence[Input],
        options: Sequence[TranscribeOptions],
        n_parallel: int,
        journals: Sequence[Journal | None] | None = None,
    ) -> None:
        """Start.

        Args:
            transcriber: Shared by all.
            inputs: What to transcribe.
            options: How, one an input.
            n_parallel: Inputs at the same time.
            journals: What keeps the final windows, one an input; None keeps none.
        """
        self._transcriber = transcriber
        self._events: queue.SimpleQueue[Event | Signalled] = queue.SimpleQueue()
        self._cancel = CancelToken()
        self._n_running = len(inputs)
        self._pool = ThreadPoolExecutor(n_parallel, thread_name_prefix="ifw-file")
        for index, given in enumerate(zip(inputs, options, journals or [None] * len(inputs), strict=True)):
            self._pool.submit(self._work, index, *given)

    def __next__(self) -> Event:
        if not self._n_running:
            raise StopIteration
        event = self._next_event()
        if isinstance(event, Signalled):
            raise Interrupted(event.number)
        self._n_running -= isinstance(event, Finished | Failed | Stopped)
        return event

    def _next_event(self) -> Event | Signalled:
        while True:
            with suppress(queue.Empty):
                return self._events.get(timeout=LOOK_S)

    def interrupt(self, signal_number: int) -> None:
        """Let the iteration raise `Interrupted`; may be called by a signal's handler."""
        self._events.put(Signalled(signal_number))

    def unseen(self) -> Iterator[Event]:
        """What happened after the iteration was left; to be asked for after the context was."""
        while not self._events.empty():
            event = self._events.get()
            if not isinstance(event, Signalled):
                yield event

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._n_running:
            self._cancel.cancel()
        self._pool.shutdown(cancel_futures=True)

    def _work(self, index: int, item: Input, options: TranscribeOptions, journal: Journal | None) -> None:
        stream: Transcription | None = None
        try:
            with item.open(self._cancel, lambda *arrived: self._events.put(Arrived(index, *arrived))) as source:
                stream = self._transcriber.stream(
                    source,
                    options,
                    on_progress=lambda progress: self._events.put(Advanced(index, progress)),
                    cancel=self._cancel,
                    journal=journal,
                )
                for segment in stream:
                    self._events.put(Spoken(index, segment))
            self._events.put(Finished(index, stream.transcript))
        except CancelledError:
            self._events.put(Stopped(index, None if stream is None else stream.partial))
        except Exception as error:
            self._events.put(Failed(index, error))
