"""Stretches of a recording: where they lie in it, and where in the samples that are left of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ifw.constants import SAMPLE_RATE
from ifw.types import TranscriptWarning

Clip = Sequence[tuple[float, float | None]]


def clip_samples(clip: Clip) -> list[tuple[int, int | None]]:
    """The stretches in samples; a clip without any is one that holds everything."""
    return [
        (round(start_s * SAMPLE_RATE), None if end_s is None else round(end_s * SAMPLE_RATE))
        for start_s, end_s in clip or ((0.0, None),)
    ]


def clipped_s(clip: Clip, time_s: float) -> float:
    """How many seconds of the stretches lie before a time of the audio."""
    if not clip:
        return time_s
    return sum(max(min(time_s, time_s if end_s is None else end_s) - start_s, 0.0) for start_s, end_s in clip)


def shortfall(clip: Clip, n_samples: int) -> Iterator[TranscriptWarning]:
    """Warn where the audio ended before a stretch did.

    Args:
        clip: The stretches.
        n_samples: What came of all of them together.
    """
    for start, stop in clip_samples(clip):
        n_wanted = None if stop is None else stop - start
        if n_samples < (1 if n_wanted is None else n_wanted):
            end = "" if stop is None else f"{stop / SAMPLE_RATE:g}"
            where = f"at {(start + n_samples) / SAMPLE_RATE:.1f} s, inside of" if n_samples else "before"
            yield TranscriptWarning(
                "clip_past_end", f"the audio ends {where} the clip {start / SAMPLE_RATE:g}-{end} (seconds)"
            )
        n_samples = 0 if n_wanted is None else max(n_samples - n_wanted, 0)
