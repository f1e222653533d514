"""Time slices that join without a trace. Runs in the worker process.

A slice starts on a whole second. Its worker seeks to SETTLE_S before that, lets the decoder settle, and starts the
resampler exactly LEAD_S before the slice, so that it steps in phase with a start-to-end decode. The end of that lead
is sent along: the reader compares it with the end of the slice before. Any doubt ends the slice as unsafe, and the
file is decoded from start to end instead: timestamps that are missing, cannot name single samples, or jump, as they
do where a packet is lost; an end before the declared one.

AAC draws noise from a generator that remembers everything decoded before, so two decodes of one place differ. Such a
codec gets a fresh decoder for every slice, and is cut the same way for one worker as for many: the samples never
depend on the number of workers. Files in which the noise is loud enough to show at a seam are decoded whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av

from ifw.audio.resample import MONO, Resampler, Shape
from ifw.audio.timeline import MAX_DRIFT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame

    from ifw.audio.assignment import Assignment
    from ifw.audio.container import AudioFile

LEAD_S = 1  # one chunk of the resampler
SETTLE_S = 0.5  # before the lead: MP3's bit reservoir, Opus's 80 ms, AAC's overlap
SEAM_S = 0.5  # the end of the lead


class UnsafeSliceError(Exception):
    """This slice cannot be proven to equal its part of a start-to-end decode."""


@dataclass(frozen=True, slots=True)
class Grid:
    """How a file is cut, and how its timestamps count samples.

    Attributes:
        n_slices: At least 2.
        slice_s: Seconds a slice.
        rate: Input samples a second.
        first_pts: Timestamp of the first frame.
        ticks: Timestamp units a sample.
    """

    n_slices: int
    slice_s: int
    rate: int
    first_pts: int
    ticks: int

    def position(self, frame: AudioFrame) -> int:
        """Index of the frame's first sample, counted from the first frame.

        Raises:
            UnsafeSliceError: The timestamp is missing, falls between two samples, or the rate changed.
        """
        if frame.pts is None or frame.sample_rate != self.rate or (frame.pts - self.first_pts) % self.ticks:
            raise UnsafeSliceError("timestamps do not count samples")
        return (frame.pts - self.first_pts) // self.ticks

    def pts(self, second: float) -> int:
        """Timestamp of a second of audio."""
        return self.first_pts + int(second * self.rate) * self.ticks


def draw_grid(file: AudioFile, first: AudioFrame, assignment: Assignment) -> Grid | None:
    """Cut the file, or None where it is to be decoded whole: short, or timestamps too coarse, or a late start."""
    slicing, duration_s = assignment.slicing, file.duration_s
    if slicing is None or assignment.clip or (assignment.n_workers == 1 and file.is_exact):
        return None
    if duration_s is None or duration_s < slicing.min_duration_s or duration_s < 2 * slicing.slice_s:
        return None
    return count_samples(file, first, int(duration_s // slicing.slice_s), slicing.slice_s)


def count_samples(file: AudioFile, first: AudioFrame, n_slices: int = 2, slice_s: int = 1) -> Grid | None:
    """How timestamps count samples; None where they are too coarse, or the audio starts late."""
    if first.pts is None or first.time_base is None:
        return None
    ticks = 1 / (Fraction(first.time_base) * first.sample_rate)
    starts_late = file.origin_s is not None and float(first.pts * first.time_base) - file.origin_s > MAX_DRIFT_S
    if ticks.denominator != 1 or starts_late:
        return None
    return Grid(n_slices, slice_s, first.sample_rate, first.pts, int(ticks))


class SliceDecoder:
    """Decodes slices of one file, one after the other.

    Attributes:
        file: The open file.
        end_s: Where the last frame decoded ends, from the first frame on.
    """

    def __init__(self, file: AudioFile, frames: Iterator[AudioFrame], grid: Grid, shape: Shape = MONO) -> None:
        """Take over an open file.

        Args:
            file: Fresh, but for the first frames.
            frames: Its frames from the first on; used by slice 0.
            grid: How it is cut.
            shape: What comes out.
        """
        self.file = file
        self._frames = frames
        self._grid = grid
        self._shape = shape
        self.end_s = 0.0

    def chunks(self, index: int) -> Iterator[bytes]:
        """Decode one slice, in chunks of one second; the first is the lead, except in slice 0.

        Raises:
            UnsafeSliceError: See above.
        """
        n_lead = LEAD_S if index else 0
        is_last = index == self._grid.n_slices - 1
        n_given = 0
        for chunk in self.from_second(index * self._grid.slice_s):
            yield chunk
            n_given += 1
            if n_given == n_lead + self._grid.slice_s and not is_last:
                return
        if not is_last or n_given <= n_lead:
            raise UnsafeSliceError("the audio ends before its declared end")

    def from_second(self, second: int) -> Iterator[bytes]:
        """Decode to the end, in chunks of one second; the first is the one before `second`, except at second 0.

        Raises:
            UnsafeSliceError: See above.
        """
        resampler = None
        for position, frame in self._positioned(second):
            if resampler is None:
                n_skip = (second - LEAD_S) * self._grid.rate - position if second else 0
                if n_skip < 0:
                    raise UnsafeSliceError("the seek went too far")
                resampler = Resampler(frame, n_skip, self._shape)
            elif not resampler.takes(frame):
                raise UnsafeSliceError("the sample format changes")
            yield from resampler.push(frame)
        if resampler is not None:
            yield from resampler.push(None)

    def _positioned(self, second: int) -> Iterator[tuple[int, AudioFrame]]:
        """Frames from there on with their positions, each of which must follow from the one before."""
        expected = None if second else 0
        for frame in self._seek(second):
            position = self._grid.position(frame)
            if expected is not None and position != expected:
                raise UnsafeSliceError("timestamps jump")
            expected = position + frame.samples
            self.end_s = expected / self._grid.rate
            yield position, frame

    def _seek(self, second: int) -> Iterator[AudioFrame]:
        if second == 0:
            return self._frames
        if not self.file.is_exact:
            self.file = self.file.reopened()
        try:
            self.file.reader.seek(self._grid.pts(second - LEAD_S - SETTLE_S))
        except av.error.FFmpegError as error:
            raise UnsafeSliceError("the container cannot seek") from error
        return self.file.reader.frames()
