"""Where to cut audio that is longer than a window."""

from __future__ import annotations

from typing import Final

import numpy as np

from ifw.constants import SAMPLE_RATE
from ifw.speech.buffer import FloatArray
from ifw.speech.spans import VAD_FRAME_SAMPLES

_FULL_PAUSE_SAMPLES: Final = SAMPLE_RATE  # a pause of 1 s is as good a place as any longer one
_PAUSE_PER_WINDOW: Final = 3.0  # giving up a tenth of the window is right for 0.3 s more of pause
_SHORTEST_PAUSE_FRAMES: Final = 3  # 96 ms: a shorter dip may be the closure of a consonant
_HOP: Final = SAMPLE_RATE // 100  # 10 ms
_QUIET_HOPS: Final = 6  # 60 ms: 20 ms finds closures within words, 100 ms and more misses the pauses between them


def cut_score(pause: int, unused: int, longest: int) -> float:
    """How good it is to end a window in a pause.

    Args:
        pause: Length of the pause in samples.
        unused: Samples of the window that stay empty because it ends here and not as late as possible.
        longest: Samples that a window can hold.

    Returns:
        A number to compare; higher is better.
    """
    return min(pause, _FULL_PAUSE_SAMPLES) / SAMPLE_RATE - _PAUSE_PER_WINDOW * unused / longest


def best_pause(probabilities: FloatArray, offset: float, longest: int) -> tuple[int, int] | None:
    """Find the best pause to cut in, in a stretch that ends where the window must end at the latest.

    Args:
        probabilities: [n_frames] of speech.
        offset: Below this a frame is no speech.
        longest: Samples that a window can hold.

    Returns:
        First frame and frame behind the last; None where there is no pause.
    """
    is_quiet = np.concatenate(([False], probabilities < offset, [False]))
    edges = np.flatnonzero(is_quiet[1:] != is_quiet[:-1]).tolist()
    best, best_score = None, -np.inf
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        unused = (len(probabilities) - (first + last) / 2) * VAD_FRAME_SAMPLES
        score = cut_score((last - first) * VAD_FRAME_SAMPLES, round(unused), longest)
        if last - first >= _SHORTEST_PAUSE_FRAMES and score > best_score:
            best, best_score = (first, last), score
    return best


def quietest_point(samples: FloatArray) -> int:
    """Find the middle of the 60 ms with the least energy, the last of them where several are equal.

    Args:
        samples: [n] float32, at least 10 ms.

    Returns:
        Index of a sample that is neither the first nor the last.
    """
    n_hops = len(samples) // _HOP
    energies = np.square(samples[: n_hops * _HOP], dtype=np.float64).reshape(n_hops, _HOP).sum(axis=1)
    width = min(_QUIET_HOPS, n_hops)
    sums = np.convolve(energies, np.ones(width), mode="valid")
    first = len(sums) - 1 - int(np.argmin(sums[::-1]))
    return first * _HOP + width * _HOP // 2
