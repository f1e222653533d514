"""Channels heard each for itself, and what was said in them in the order in which it was said."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from ifw.pipeline.stretches import StretchPacker
from ifw.types import TranscriptWarning

if TYPE_CHECKING:
    from ifw.audio.clip import Clip
    from ifw.pipeline.context import TextContext
    from ifw.speech.buffer import FloatArray
    from ifw.speech.packer import WindowPacker
    from ifw.speech.windows import Window
    from ifw.types import Segment

SAME: Final = 1e-3  # of full scale: codecs leave so much between two channels that were one


class ChannelPacker:
    """Packs blocks of one channel, or of several side by side.

    The index of a window does not depend on how the samples are cut into blocks: the n-th window of channel c of C is
    window n * C + c.

    Args:
        make_packer: A packer of windows for one stretch of one channel.
        clip: The stretches that are decoded; none means all.
        n_channels: Of each block; None where blocks are mono and windows name no channel.
    """

    def __init__(self, make_packer: Callable[[], WindowPacker], clip: Clip, n_channels: int | None) -> None:
        self._n_channels = n_channels
        self._packers = (
            [StretchPacker(make_packer, clip)]
            if n_channels is None
            else [StretchPacker(make_packer, clip, channel, n_channels) for channel in range(n_channels)]
        )
        self._sameness = Sameness(len(self._packers))

    def feed(self, block: FloatArray) -> list[Window]:
        """Take the next samples, [n] or [n, n_channels] float32; gives the windows that have become final."""
        if self._n_channels is None:
            return self._packers[0].feed(block)
        self._sameness.feed(block)
        windows = [packer.feed(np.ascontiguousarray(block[:, c])) for c, packer in enumerate(self._packers)]
        return sorted(itertools.chain(*windows), key=lambda window: window.start_s)

    def finish(self) -> list[Window]:
        """End the audio; gives the windows that were not final yet."""
        return sorted(
            itertools.chain(*(packer.finish() for packer in self._packers)), key=lambda window: window.start_s
        )

    @property
    def warnings(self) -> list[TranscriptWarning]:
        """What is odd about the channels; complete after the last block."""
        return self._sameness.warnings()

    @property
    def settled_until_s(self) -> float:
        """No window of any channel that is still to be returned starts before this."""
        return min(packer.settled_until_s for packer in self._packers)


class ChannelContexts:
    """What each channel has said so far: no channel is given the words of another."""

    def __init__(self, make: Callable[[], TextContext]) -> None:
        self._make = make
        self._contexts: dict[int | None, TextContext] = {}

    def of(self, window: Window) -> tuple[TextContext, int]:
        """The context of a window, and its place in its channel: 0 for the first, more for others."""
        if window.channel not in self._contexts:
            self._contexts[window.channel] = self._make()
        return self._contexts[window.channel], window.index - (window.channel or 0)


class TimeOrder:
    """Holds back what was said in one channel until nothing earlier can come from another.

    Attributes:
        final_s: Everything before this time of the audio has been handed out.
    """

    def __init__(self) -> None:
        self.final_s = 0.0
        self._settled_until_s = 0.0
        self._starts_s: dict[int, float] = {}  # of the windows that have not landed
        self._held: list[tuple[float, int, Segment]] = []
        self._count = itertools.count()

    def expect(self, windows: Iterable[Window], settled_until_s: float) -> None:
        """Take note of windows that will land.

        Args:
            windows: New ones.
            settled_until_s: Those that are still to come start here or later.
        """
        self._starts_s |= {window.index: window.start_s for window in windows}
        self._settled_until_s = settled_until_s

    def land(self, window: Window, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Take the segments of a window; hands out, in order of time, what has become final."""
        del self._starts_s[window.index]
        if window.channel is None:
            yield from segments
            self.final_s = window.end_s
            return
        for segment in segments:
            heapq.heappush(self._held, (segment.start_s, next(self._count), segment))
        until_s = min([self._settled_until_s, *self._starts_s.values()])
        while self._held and self._held[0][0] <= until_s:
            yield heapq.heappop(self._held)[2]
        self.final_s = max(self.final_s, min(until_s, window.end_s))

    def rest(self) -> Iterator[Segment]:
        """Hand out what is held back, after the last window."""
        while self._held:
            yield heapq.heappop(self._held)[2]


class Sameness:
    """Notices channels that carry the same sound, as where mono was stored as stereo."""

    def __init__(self, n_channels: int) -> None:
        self._differences = np.zeros(n_channels)
        self._is_silent = True

    def feed(self, block: FloatArray) -> None:
        """Take the next samples, [n, n_channels]."""
        if len(block):
            self._is_silent &= bool(np.abs(block[:, 0]).max() <= SAME)
            difference = np.abs(block - block[:, :1]).max(axis=0)
            self._differences = np.maximum(self._differences, difference)

    def warnings(self) -> list[TranscriptWarning]:
        """One warning, where two channels or more are the same."""
        same = [str(c + 1) for c, difference in enumerate(self._differences) if difference <= SAME]
        if len(same) < 2 or self._is_silent:
            return []
        return [
            TranscriptWarning(
                "channels_identical",
                f"channels {', '.join(same)} carry the same sound, so its text is there {len(same)} times; mix them",
            )
        ]


def speaker_of(window: Window) -> str | None:
    """The label of whoever speaks in a channel; people count from 1, and in stereo 1 is left."""
    return None if window.channel is None else f"channel {window.channel + 1}"
