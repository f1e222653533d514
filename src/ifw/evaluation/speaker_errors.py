"""How wrong speaker turns are: the diarization error rate.

Source: NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan"; the collar is that of
pyannote.metrics, half of it on each side of a boundary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from ifw.types import SpeakerTurn


@dataclass(frozen=True, slots=True)
class SpeakerErrors:
    """Seconds of speech that went wrong. Those of several files add up.

    Attributes:
        total_s: Speech of the reference; where two speak at once, it counts twice.
        missed_s: Speech of the reference where nobody, or too few, were found to speak.
        false_alarm_s: Speech that was found where nobody speaks, or fewer.
        confused_s: Speech of another speaker than the one who was found.
    """

    total_s: float = 0.0
    missed_s: float = 0.0
    false_alarm_s: float = 0.0
    confused_s: float = 0.0

    def __add__(self, other: SpeakerErrors) -> SpeakerErrors:
        return SpeakerErrors(
            self.total_s + other.total_s,
            self.missed_s + other.missed_s,
            self.false_alarm_s + other.false_alarm_s,
            self.confused_s + other.confused_s,
        )

    @property
    def rate(self) -> float | None:
        """The diarization error rate; None where nobody speaks."""
        wrong_s = self.missed_s + self.false_alarm_s + self.confused_s
        return wrong_s / self.total_s if self.total_s > 0 else None


def count_speaker_errors(
    reference: Iterable[SpeakerTurn], hypothesis: Iterable[SpeakerTurn], collar_s: float = 0.0
) -> SpeakerErrors:
    """Compare turns. Labels are matched one to one so that as much as possible is right.

    Args:
        reference: Who speaks when.
        hypothesis: Who was found to speak when.
        collar_s: So much around every start and end in the reference does not count, half of it before and half after.
    """
    true, found = _by_label(reference), _by_label(hypothesis)
    spans = _spans(true, found, collar_s)
    lengths_s = np.array([end_s - start_s for start_s, end_s in spans])
    middles_s = np.array([(start_s + end_s) / 2 for start_s, end_s in spans])
    speaks, heard = (
        np.array([_is_active(turns, middles_s) for turns in labelled.values()]).reshape(len(labelled), len(spans))
        for labelled in (true, found)
    )
    together_s = (speaks * lengths_s) @ heard.T
    right = float(together_s[linear_sum_assignment(together_s, maximize=True)].sum())
    n_true, n_found = speaks.sum(0), heard.sum(0)
    both_s = float((np.minimum(n_true, n_found) * lengths_s).sum())
    return SpeakerErrors(
        total_s=float((n_true * lengths_s).sum()),
        missed_s=float((np.maximum(n_true - n_found, 0) * lengths_s).sum()),
        false_alarm_s=float((np.maximum(n_found - n_true, 0) * lengths_s).sum()),
        confused_s=max(0.0, both_s - right),
    )


def _by_label(turns: Iterable[SpeakerTurn]) -> dict[str, list[tuple[float, float]]]:
    labelled: dict[str, list[tuple[float, float]]] = {}
    for turn in turns:
        labelled.setdefault(turn.speaker, []).append((turn.start_s, turn.end_s))
    return labelled


def _spans(
    true: Mapping[str, Sequence[tuple[float, float]]],
    found: Mapping[str, Sequence[tuple[float, float]]],
    collar_s: float,
) -> list[tuple[float, float]]:
    """Stretches within which nobody begins or ends, without the collars."""
    boundaries = [time_s for turns in true.values() for turn in turns for time_s in turn]
    collars = [(time_s - collar_s / 2, time_s + collar_s / 2) for time_s in boundaries] if collar_s else []
    times = {*boundaries, *(time_s for collar in collars for time_s in collar)}
    times |= {time_s for turns in found.values() for turn in turns for time_s in turn}
    spans = list(pairwise(sorted(times)))
    is_collar = _is_active(collars, np.array([(start_s + end_s) / 2 for start_s, end_s in spans]))
    return [span for span, is_out in zip(spans, is_collar, strict=True) if not is_out]


def _is_active(
    turns: Sequence[tuple[float, float]], times_s: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[n] whether each time is within a turn. The turns may overlap."""
    starts = np.sort([start_s for start_s, _ in turns])
    ends = np.sort([end_s for _, end_s in turns])
    return np.asarray(np.searchsorted(starts, times_s, "right") > np.searchsorted(ends, times_s, "left"))
