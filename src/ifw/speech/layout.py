"""How speech is laid out in a window: silence shortened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ifw.constants import SAMPLE_RATE
from ifw.speech.buffer import FloatArray
from ifw.speech.spans import FoundSpan
from ifw.speech.windows import Piece, Window

KEPT_SILENCE_SAMPLES: Final = 1 * SAMPLE_RATE  # beside each of two spans: longer silence between them is shortened


def stretches_of(spans: Sequence[FoundSpan]) -> list[tuple[int, int]]:
    """Lay out a window: the spans and the silence between them, long silence shortened.

    Args:
        spans: In order, without overlap.

    Returns:
        (start, stop) of each stretch of audio, in samples.
    """
    stretches = [(spans[0].start, spans[0].stop)]
    for span in spans[1:]:
        start, stop = stretches[-1]
        if span.start - stop <= 2 * KEPT_SILENCE_SAMPLES:
            stretches[-1] = (start, span.stop)
        else:
            stretches[-1] = (start, stop + KEPT_SILENCE_SAMPLES)
            stretches.append((span.start - KEPT_SILENCE_SAMPLES, span.stop))
    return stretches


def n_samples_of(spans: Sequence[FoundSpan]) -> int:
    """Length in samples of a window that holds these spans."""
    return sum(stop - start for start, stop in stretches_of(spans))


def make_window(index: int, spans: Sequence[FoundSpan], parts: Sequence[FloatArray]) -> Window:
    """Put a window together.

    Args:
        index: Its position among the windows.
        spans: What it holds.
        parts: The samples of each of `stretches_of(spans)`.
    """
    pieces: list[Piece] = []
    window_start = 0
    for start, stop in stretches_of(spans):
        pieces.append(Piece(window_start / SAMPLE_RATE, start / SAMPLE_RATE, (stop - start) / SAMPLE_RATE))
        window_start += stop - start
    return Window(index, np.concatenate(parts), tuple(pieces), tuple(span.to_seconds() for span in spans))
