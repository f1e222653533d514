"""Some stretches of a file, decoded without what lies between them. Runs in the worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifw.audio.clip import clip_samples
from ifw.audio.slices import LEAD_S, SliceDecoder, UnsafeSliceError, count_samples
from ifw.audio.timeline import Timeline
from ifw.constants import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av.audio.frame import AudioFrame

    from ifw.audio.container import AudioFile
    from ifw.audio.resample import Shape

    Clip = Sequence[tuple[float, float | None]]


class ClipDecoder:
    """Seeks to each stretch, as a slice does; decodes all from the start where that is in doubt.

    What comes out are the samples that a decode from start to end has there, so that times are those of the audio.

    Attributes:
        file: The open file.
    """

    def __init__(self, file: AudioFile, first: AudioFrame, frames: Iterator[AudioFrame], shape: Shape) -> None:
        """Take over an open file.

        Args:
            file: Fresh, but for the first frame.
            first: Its first frame.
            frames: Its frames from the first on.
            shape: What comes out.
        """
        self.file = file
        self._first = first
        self._frames = frames
        self._shape = shape

    def chunks(self, clip: Clip) -> Iterator[bytes]:
        """Decode the stretches, one after the other; the audio may end before they do."""
        n_sent = 0
        try:
            for chunk in self._sought(clip):
                yield chunk
                n_sent += len(chunk)
        except UnsafeSliceError:
            self.file = self.file.reopened()
            yield from _without(n_sent, self._from_the_start(clip))

    def _sought(self, clip: Clip) -> Iterator[bytes]:
        grid = count_samples(self.file, self._first)
        if grid is None:
            raise UnsafeSliceError("timestamps do not count samples")
        decoder = SliceDecoder(self.file, self._frames, grid, self._shape)
        for index, (start, stop) in enumerate(clip_samples(clip)):
            second = start // SAMPLE_RATE
            if second <= LEAD_S:  # nothing is gained by a seek
                second = 0
            if second == 0 and index:
                raise UnsafeSliceError("the frames of the start are gone")
            origin = (second - LEAD_S if second else 0) * SAMPLE_RATE
            try:
                yield from self._part(decoder.from_second(second), start - origin, stop and stop - origin)
            finally:
                self.file = decoder.file

    def _from_the_start(self, clip: Clip) -> Iterator[bytes]:
        timeline = Timeline(self.file.origin_s, self.file.duration_s, self._shape)
        chunks = timeline.converted(self.file.reader.frames())
        position = 0
        ranges = iter(clip_samples(clip))
        start, stop = next(ranges)
        for chunk in chunks:
            end = position + len(chunk) // self._shape.sample_bytes
            while start < end:
                last = end if stop is None else min(stop, end)
                yield self._cut(chunk, start - position, last - position)
                if stop is None or stop > end:
                    start = end
                    break
                following = next(ranges, None)
                if following is None:
                    return
                start, stop = following
            position = end

    def _part(self, chunks: Iterator[bytes], start: int, stop: int | None) -> Iterator[bytes]:
        """The samples from `start` to `stop` of a stream of chunks."""
        position = 0
        for chunk in chunks:
            end = position + len(chunk) // self._shape.sample_bytes
            if end > start:
                last = end if stop is None else min(stop, end)
                yield self._cut(chunk, max(start - position, 0), last - position)
            position = end
            if stop is not None and position >= stop:
                return

    def _cut(self, chunk: bytes, start: int, stop: int) -> bytes:
        n_bytes = self._shape.sample_bytes
        return chunk[start * n_bytes : stop * n_bytes]


def _without(n_bytes: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Drop the first bytes."""
    for chunk in chunks:
        if n_bytes < len(chunk):
            yield chunk[n_bytes:]
        n_bytes = max(n_bytes - len(chunk), 0)
