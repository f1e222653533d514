"""The stretch of audio that is still needed."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from ifw.errors import ShapeError

FloatArray = npt.NDArray[np.float32]


def check_samples(samples: FloatArray) -> None:
    """Check the form of samples.

    Raises:
        ShapeError: They are not one-dimensional float32.
    """
    if samples.ndim != 1 or samples.dtype != np.float32:
        raise ShapeError(f"samples: got {samples.dtype} of shape {list(samples.shape)}, allowed: float32 of shape [n]")


class SampleBuffer:
    """Samples addressed by their place in the whole audio; those that nobody needs any more are let go.

    Attributes:
        n_samples: Samples appended so far.
    """

    def __init__(self) -> None:
        self.n_samples = 0
        self._blocks: deque[tuple[int, FloatArray]] = deque()  # (place of its first sample, samples)

    def append(self, samples: FloatArray) -> None:
        """Take over the next samples, [n] float32. They are not copied and must not change afterwards."""
        if len(samples):
            self._blocks.append((self.n_samples, samples))
            self.n_samples += len(samples)

    def read(self, start: int, stop: int) -> FloatArray:
        """Copy the samples of a stretch.

        Args:
            start: Place of the first sample.
            stop: Place behind the last sample.

        Returns:
            [stop - start] float32; zeros before the audio begins and after what was appended.
        """
        samples = np.zeros(stop - start, np.float32)
        for first, block in self._blocks:
            lower, upper = max(start, first), min(stop, first + len(block))
            if lower < upper:
                samples[lower - start : upper - start] = block[lower - first : upper - first]
        return samples

    def forget(self, before: int) -> None:
        """Let go of whole blocks that end at or before a place."""
        while self._blocks and self._blocks[0][0] + len(self._blocks[0][1]) <= before:
            self._blocks.popleft()
