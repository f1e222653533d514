"""From chunks that overlap to one line of frames: how many speak, and who has how many votes.

Chunks and frames have times that are computed in double precision in the order of pyannote.audio, so that a boundary
falls on the same frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ifw.diarize.arrays import NOBODY, ByteArray, FloatArray, IntArray

_BLOCK = 1 << 15  # frames
_NUDGE = np.float32(1e-3)  # less than one chunk of all that hear a frame


@dataclass(frozen=True, slots=True)
class Grid:
    """When chunks and frames are.

    Attributes:
        chunk_s: Length of a chunk.
        step_s: From one chunk to the next.
        frame_s: What a frame hears.
        frame_step_s: From one frame to the next.
        n_frames: Frames of a chunk.
    """

    chunk_s: float
    step_s: float
    frame_s: float
    frame_step_s: float
    n_frames: int

    def first_frame(self, chunk: int) -> int:
        """The frame where a chunk begins."""
        return self._closest(chunk * self.step_s + 0.5 * self.frame_s)

    def n_frames_of(self, n_chunks: int) -> int:
        """Frames of so many chunks together."""
        return self._closest(self.chunk_s + (n_chunks - 1) * self.step_s + 0.5 * self.frame_s) + 1

    def times(self, n_frames: int) -> npt.NDArray[np.float64]:
        """[n_frames] the middle of each frame in seconds."""
        starts = np.arange(n_frames) * self.frame_step_s
        return 0.5 * (starts + (starts + self.frame_s))

    def _closest(self, time_s: float) -> int:
        return int(np.rint((time_s - 0.5 * self.frame_s) / self.frame_step_s))


def count_speakers(speech: ByteArray, grid: Grid, *, halves_to_one: bool = False) -> IntArray:
    """How many speak at once, by the mean over the chunks that hear a frame.

    Args:
        speech: [C, F, S] 1 where a local speaker speaks.
        grid: When chunks and frames are.
        halves_to_one: Half a speaker and one and a half are one, which is the most common number; else each half goes
            to the nearest even number.

    Returns:
        [frames].
    """
    n_frames = grid.n_frames_of(len(speech))
    total = np.zeros(n_frames, np.float32)
    heard = np.zeros(n_frames, np.float32)
    for chunk, at_once in enumerate(speech.sum(2, dtype=np.int64)):
        first = grid.first_frame(chunk)
        total[first : first + grid.n_frames] += at_once
        heard[first : first + grid.n_frames] += 1
    mean = total / np.maximum(heard, np.float32(1e-12))
    if halves_to_one:
        mean += _NUDGE * np.sign(1 - mean)
    return np.asarray(np.rint(mean), np.int64)


def count_votes(speech: ByteArray, clusters: IntArray, grid: Grid, weights: FloatArray | None = None) -> FloatArray:
    """In how many chunks each speaker is heard.

    Args:
        speech: [C, F, S] 1 where a local speaker speaks.
        clusters: [C, S] which speaker that is, or `NOBODY`.
        grid: When chunks and frames are.
        weights: [C, S] what the vote of a local speaker counts; 1 if left out.

    Returns:
        [frames, speakers].
    """
    votes = np.zeros((grid.n_frames_of(len(speech)), int(clusters.max()) + 1), np.float32)
    for chunk, (local, owners) in enumerate(zip(speech, clusters, strict=True)):
        first = grid.first_frame(chunk)
        ballots = local if weights is None else local * weights[chunk]
        for cluster in set(owners.tolist()) - {NOBODY}:
            votes[first : first + grid.n_frames, cluster] += ballots[:, owners == cluster].max(1)
    return votes


def elect(votes: FloatArray, counts: IntArray) -> npt.NDArray[np.bool_]:
    """Let those speak who have the most votes, as many as are counted; of equals the one with the lower number.

    Args:
        votes: [frames, speakers].
        counts: [frames].

    Returns:
        [frames, at least speakers].
    """
    n_missing = int(counts.max(initial=0)) - votes.shape[1]
    if n_missing > 0:
        votes = np.pad(votes, ((0, 0), (0, n_missing)))
    speaks = np.zeros(votes.shape, bool)
    for start in range(0, len(votes), _BLOCK):  # the order of all frames at once takes eight bytes a speaker
        block = slice(start, start + _BLOCK)
        order = np.argsort(-votes[block], axis=1, kind="stable")
        np.put_along_axis(speaks[block], order, np.arange(votes.shape[1]) < counts[block, None], axis=1)
    return speaks
