"""CUDA streams of one engine: the encoder works beside the decoder, and gives way to it.

On CPU there is one order of work, and every method here does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

_HIGH_PRIORITY = -1


def new_stream(device: torch.device, priority: int = 0) -> torch.cuda.Stream:
    """A stream; one of lower number goes first where both have work that is ready."""
    return torch.cuda.Stream(device, priority=priority)  # type: ignore[no-untyped-call]  # torch has no types for it


def mark() -> torch.cuda.Event:
    """The end of what the current stream has been given."""
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no types for it
    event.record()
    return event


def is_past(event: torch.cuda.Event) -> bool:
    """Whether the device has come to a mark."""
    return bool(event.query())  # type: ignore[no-untyped-call]  # torch has no types for it


class Streams:
    """The stream of the decoder, that of the encoder, and which slots the encoder is still filling.

    What the encoder's stream allocates is used on that stream alone: the encoder's outputs, which become keys and
    values there, also when they come back later. So no tensor has to be held back for the other stream.

    Args:
        device: Of the model; what was done on its current stream is done before anything on these.
    """

    def __init__(self, device: torch.device) -> None:
        self._decode: torch.cuda.Stream | None = None
        self._encode: torch.cuda.Stream | None = None
        self._filling: dict[int, torch.cuda.Event] = {}
        if device.type == "cuda":
            self._decode, self._encode = new_stream(device, _HIGH_PRIORITY), new_stream(device)
            self.begin()

    def begin(self) -> None:
        """Let both streams wait for what the current one has been given."""
        if self._decode is not None and self._encode is not None:
            current = torch.cuda.current_stream(self._decode.device)
            self._decode.wait_stream(current)
            self._encode.wait_stream(current)

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Inside, work goes to the decoder's stream; at the end, the host waits for both."""
        if self._decode is None or self._encode is None:
            yield
            return
        try:
            with torch.cuda.stream(self._decode):
                yield
        finally:
            self._encode.synchronize()
            self._decode.synchronize()

    @contextmanager
    def encoding(self, slots: Iterable[int]) -> Iterator[None]:
        """Inside, work goes to the encoder's stream; it fills `slots`."""
        if self._encode is None:
            yield
            return
        with torch.cuda.stream(self._encode):
            yield
            event = mark()
        self._filling |= dict.fromkeys(slots, event)

    def is_filled(self, slot: int) -> bool:
        """Whether the device has come to the end of what fills a slot."""
        event = self._filling.get(slot)
        return event is None or is_past(event)

    def wait_for(self, slots: Iterable[int]) -> None:
        """Let the current stream, which is the decoder's, wait until slots are filled."""
        for slot in slots:
            event = self._filling.pop(slot, None)
            if event is not None:
                event.wait()
