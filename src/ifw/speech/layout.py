"""How speech is laid out in a window: what lies between is shortened, and silenced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ifw.constants import SAMPLE_RATE
from ifw.speech.buffer import FloatArray
from ifw.speech.spans import FoundSpan
from ifw.speech.windows import Piece, Window

KEPT_SILENCE_SAMPLES: Final = 1 * SAMPLE_RATE  # beside each of two spans: longer silence between them is shortened
QUIET: Final = 5e-3  # root mean square: the hush of a room does no harm, and taking it away does
FADE_SAMPLES: Final = SAMPLE_RATE // 100  # silence begins and ends softly: a step is a click


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

    What is between two spans is nobody's voice, and Whisper writes sentences for music and noise: what is loud
    of it is silenced.

    Args:
        index: Its position among the windows.
        spans: What it holds.
        parts: The samples of each of `stretches_of(spans)`.
    """
    pieces: list[Piece] = []
    silenced: list[FloatArray] = []
    window_start = 0
    for part, (start, stop) in zip(parts, stretches_of(spans), strict=True):
        pieces.append(Piece(window_start / SAMPLE_RATE, start / SAMPLE_RATE, (stop - start) / SAMPLE_RATE))
        silenced.append(_silenced(part, start, stop, spans))
        window_start += stop - start
    return Window(index, np.concatenate(silenced), tuple(pieces), tuple(span.to_seconds() for span in spans))


def _silenced(part: FloatArray, start: int, stop: int, spans: Sequence[FoundSpan]) -> FloatArray:
    """A stretch with nothing but fades between and around its spans, where that is loud enough to mislead."""
    volume = np.zeros(len(part), np.float32)
    free = start
    for span in spans:
        if start <= span.start < stop:
            _fade(volume[free - start : span.start - start], is_before=free > start, is_behind=True)
            volume[span.start - start : span.stop - start] = 1
            free = span.stop
    _fade(volume[free - start :], is_before=True, is_behind=False)
    between = part[volume == 0]
    return part * volume if len(between) and np.sqrt(np.square(between).mean()) > QUIET else part


def _fade(volume: FloatArray, *, is_before: bool, is_behind: bool) -> None:
    """Write the volume of a gap that may have speech before and behind it."""
    ramp = np.maximum(1 - np.arange(1, len(volume) + 1, dtype=np.float32) / FADE_SAMPLES, 0)
    np.maximum(ramp if is_before else 0, ramp[::-1] if is_behind else 0, out=volume)
