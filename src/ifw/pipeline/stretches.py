"""The stretches of a clip, each heard for itself: no window and no span of speech reaches over what was left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ifw.audio.clip import clip_samples
from ifw.constants import SAMPLE_RATE

if TYPE_CHECKING:
    from ifw.audio.clip import Clip
    from ifw.speech.buffer import FloatArray
    from ifw.speech.packer import WindowPacker
    from ifw.speech.windows import Window


class StretchPacker:
    """Packs one channel: the samples of all stretches in a row go in, windows with times of the whole audio come out.

    Args:
        make_packer: A packer of windows for each stretch.
        clip: The stretches; none means all.
        channel: Of the windows; None where channels were mixed.
        n_channels: Of the audio: the n-th window of channel c of C is window n * C + c of the audio.
    """

    def __init__(
        self,
        make_packer: Callable[[], WindowPacker],
        clip: Clip,
        channel: int | None = None,
        n_channels: int = 1,
    ) -> None:
        self._make_packer = make_packer
        self._stretches = clip_samples(clip)
        self._channel = channel
        self._n_channels = n_channels
        self._next_index = channel or 0
        self._start, self._stop = self._stretches.pop(0)
        self._place = self._start  # of the next sample in the audio
        self._packer = make_packer()
        self._is_finished = False

    @property
    def settled_until_s(self) -> float:
        """No window that is still to be returned starts before this time of the audio."""
        return float("inf") if self._is_finished else (self._start + self._packer.settled_until) / SAMPLE_RATE

    def feed(self, samples: FloatArray) -> list[Window]:
        """Take the next samples, [n] float32; gives the windows that have become final."""
        windows: list[Window] = []
        while self._stop is not None and len(samples) >= self._stop - self._place:
            n_taken = self._stop - self._place
            windows += self._moved([*self._packer.feed(samples[:n_taken]), *self._packer.finish()])
            samples = samples[n_taken:]
            if not self._stretches:
                self._is_finished = True
                return windows
            self._start, self._stop = self._stretches.pop(0)
            self._place = self._start
            self._packer = self._make_packer()
        self._place += len(samples)
        return windows + self._moved(self._packer.feed(samples))

    def finish(self) -> list[Window]:
        """End the audio; gives the windows that were not final yet."""
        if self._is_finished:
            return []
        self._is_finished = True
        return self._moved(self._packer.finish())

    def _moved(self, windows: Sequence[Window]) -> list[Window]:
        moved = []
        for window in windows:
            moved.append(window.moved(self._next_index, self._start / SAMPLE_RATE, self._channel))
            self._next_index += self._n_channels
        return moved
