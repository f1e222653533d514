"""Where the last word of a segment ends: on towards the timestamp behind it, as far as something is heard."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ifw.constants import POSITION_S, SAMPLE_RATE

if TYPE_CHECKING:
    from ifw.engine.segments import WindowSegment
    from ifw.engine.words import WindowWord

MAX_REACH_S = 1.0
_FRAME_SAMPLES = round(POSITION_S * SAMPLE_RATE)
_QUIET_PERCENTILE = 5  # of all frames of the window: its noise
_SPEECH_PERCENTILE = 80  # of the frames of a segment
_NOISE_DB = (-40.0, -10.0)  # below speech: digital silence makes no noise loud, nor does a window without a pause
_HEARD_SHARE = 0.4  # of the way from noise to speech, in dB


def reach_ends(
    segments: Sequence[WindowSegment], words: Sequence[Sequence[WindowWord]], samples: npt.NDArray[np.float32]
) -> list[list[WindowWord]]:
    """Let last words that attention ends early last until the timestamp behind their segment.

    They go no further than to the last sound before it. A timestamp where the next segment starts, or the window ends,
    says nothing about the end of a word, and neither does one that is more than 1 s away.

    Args:
        segments: Of a window, in time order.
        words: Of each segment, as `time_words` finds them.
        samples: [n] float32 mono, 16 kHz: the window.

    Returns:
        The words, all of them as they were but for the ends of last ones, which are not before what they were.
    """
    levels = _levels_db(samples)
    quiet_db = float(np.percentile(levels, _QUIET_PERCENTILE)) if levels.size else 0.0
    content_s = len(samples) / SAMPLE_RATE
    reached = [list(of_segment) for of_segment in words]
    for index, (segment, following) in enumerate(zip_longest(segments, segments[1:])):
        if not reached[index]:
            continue
        first, last = reached[index][0], reached[index][-1]
        limit_s = content_s if following is None else following.start_s
        says_end = last.end_s < segment.end_s <= min(last.end_s + MAX_REACH_S, limit_s - POSITION_S / 2)
        if says_end:
            later = [other[0].start_s for other in reached[index + 1 :] if other]
            free_s = min([segment.end_s, *later])
            heard_s = _last_sound_s(levels, quiet_db, first.start_s, last.end_s, segment.end_s)
            reached[index][-1] = last._replace(end_s=min(free_s, heard_s))
    return reached


def _levels_db(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The loudness of each whole position."""
    n_frames = len(samples) // _FRAME_SAMPLES
    frames = samples[: n_frames * _FRAME_SAMPLES].reshape(n_frames, _FRAME_SAMPLES)
    power: npt.NDArray[np.float64] = np.square(frames, dtype=np.float64).mean(1)
    return 10 * np.log10(power + 1e-10)


def _last_sound_s(
    levels: npt.NDArray[np.float64], quiet_db: float, speech_s: float, from_s: float, until_s: float
) -> float:
    """When the last frame between two times ends that is loud beside the speech since `speech_s`; else `from_s`."""
    begin, start, stop = (round(time_s / POSITION_S) for time_s in (speech_s, from_s, until_s))
    if not levels[start:stop].size:
        return until_s
    speech = float(np.percentile(levels[begin:stop], _SPEECH_PERCENTILE))
    noise = min(max(quiet_db - speech, _NOISE_DB[0]), _NOISE_DB[1])
    heard = np.flatnonzero(levels[start:stop] > speech + (1 - _HEARD_SHARE) * noise)
    return from_s if not heard.size else min(until_s, (start + int(heard[-1]) + 1) * POSITION_S)
