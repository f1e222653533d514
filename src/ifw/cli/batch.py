"""Several files in flight through one transcriber. Threads do the work; one iterator hands out what happens."""

from __future__ import annotations

import queue
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ifw.cancellation import CancelToken
from ifw.cli.inputs import Input
from ifw.config import TranscribeOptions
from ifw.types import Progress, Segment, Transcript

if TYPE_CHECKING:
    from ifw.transcriber import Transcriber


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


Event = Advanced | Spoken | Finished | Failed


def run_batch(
    transcriber: Transcriber, inputs: Sequence[Input], options: Sequence[TranscribeOptions], n_parallel: int
) -> Generator[Event, None, None]:
    """Transcribe all inputs and hand out events as they happen, those of one file in order.

    `options` has one item an input. Every input ends with exactly one `Finished` or `Failed`. Closing the iterator
    early, also by an exception in the loop around it, cancels what runs and waits for it to stop.
    """
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    cancel = CancelToken()

    def work(index: int, item: Input) -> None:
        try:
            with item.open(cancel) as source:
                stream = transcriber.stream(
                    source,
                    options[index],
                    on_progress=lambda progress: events.put(Advanced(index, progress)),
                    cancel=cancel,
                )
                for segment in stream:
                    events.put(Spoken(index, segment))
            events.put(Finished(index, stream.transcript))
        except Exception as error:
            events.put(Failed(index, error))

    n_running = len(inputs)
    with ThreadPoolExecutor(n_parallel, thread_name_prefix="ifw-file") as pool:
        try:
            for index, item in enumerate(inputs):
                pool.submit(work, index, item)
            while n_running:
                event = events.get()
                n_running -= isinstance(event, Finished | Failed)
                yield event
        finally:
            if n_running:
                cancel.cancel()
                pool.shutdown(wait=False, cancel_futures=True)
