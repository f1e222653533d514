"""Start-to-end conversion that keeps to the container's clock. Runs in the worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ifw.audio.resample import MONO, Resampler, Shape
from ifw.constants import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame

MAX_DRIFT_S = 0.1  # less than this is rounding, priming, or not worth a seam


class Timeline:
    """Frames in, chunks of samples out, with silence where the container's clock says that audio is missing.

    Without the silence everything after lost packets, or in a video whose sound starts late, would come too early.
    Clocks that run backwards or past the declared end are not believed.

    Attributes:
        decoded_s: Seconds that came out of the decoder.
        filled_s: Seconds of silence put in for audio that is missing inside.
        lead_s: Seconds of silence before the first frame.
    """

    def __init__(self, origin_s: float | None, end_s: float | None, shape: Shape = MONO) -> None:
        """Set the clock.

        Args:
            origin_s: The container's time that is second 0; None takes the first frame's.
            end_s: Declared length; without one no silence is put in.
            shape: What comes out.
        """
        self._origin_s = origin_s
        self._end_s = end_s
        self._shape = shape
        self._resampler: Resampler | None = None
        self.decoded_s = 0.0
        self.filled_s = 0.0
        self.lead_s = 0.0

    @property
    def position_s(self) -> float:
        """Length of what came out so far."""
        return self.decoded_s + self.filled_s + self.lead_s

    def push(self, frame: AudioFrame) -> Iterator[bytes]:
        """Feed a frame; yields chunks of at most one second."""
        gap_s = self._gap_s(frame)
        if gap_s > 0:
            yield from self.finish()
            yield from _silence(gap_s, self._shape)
            if self.decoded_s:
                self.filled_s += gap_s
            else:
                self.lead_s = gap_s
        elif self._resampler is not None and not self._resampler.takes(frame):
            yield from self.finish()
        if self._resampler is None:
            self._resampler = Resampler(frame, shape=self._shape)
        yield from self._resampler.push(frame)
        self.decoded_s += frame.samples / frame.sample_rate

    def converted(self, frames: Iterator[AudioFrame]) -> Iterator[bytes]:
        """Feed all frames of a file."""
        for frame in frames:
            yield from self.push(frame)
        yield from self.finish()

    def finish(self) -> Iterator[bytes]:
        """Yield what the resampler still holds."""
        if self._resampler is not None:
            yield from self._resampler.push(None)
            self._resampler = None

    def _gap_s(self, frame: AudioFrame) -> float:
        """Seconds missing before this frame, or 0."""
        if frame.pts is None or frame.time_base is None or self._end_s is None:
            return 0.0
        clock_s = frame.pts * float(frame.time_base)
        if self._origin_s is None:
            self._origin_s = clock_s
        clock_s -= self._origin_s
        gap_s = clock_s - self.position_s
        return gap_s if gap_s > MAX_DRIFT_S and clock_s <= self._end_s else 0.0


def _silence(duration_s: float, shape: Shape) -> Iterator[bytes]:
    n_bytes = round(duration_s * SAMPLE_RATE) * shape.sample_bytes
    for start in range(0, n_bytes, shape.chunk_bytes):
        yield bytes(min(shape.chunk_bytes, n_bytes - start))
