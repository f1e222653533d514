"""From frames to turns, and from numbers of clusters to labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from ifw.diarize.arrays import FloatArray
from ifw.diarize.votes import Grid
from ifw.types import SpeakerTurn

_MIN_TURN_S: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who spoke when.

    Attributes:
        turns: In order of their starts; turns of different speakers may overlap.
        exclusive_turns: The same without overlap: of those who speak at once, only the one who is heard best.
        embeddings: The voice of each speaker, [D] float32 by label; D is 256 for the published models. All zeros where
            somebody speaks of whom too little is heard alone.
    """

    turns: tuple[SpeakerTurn, ...] = ()
    exclusive_turns: tuple[SpeakerTurn, ...] = ()
    embeddings: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def speakers(self) -> tuple[str, ...]:
        """The labels, in order of first appearance."""
        return tuple(self.embeddings)


@dataclass(frozen=True, slots=True, order=True)
class ClusterTurn:
    """A turn of a speaker who has a number, but no label yet."""

    start_s: float
    end_s: float
    cluster: int


def find_turns(
    speaks: npt.NDArray[np.bool_], grid: Grid, min_duration_off_s: float, duration_s: float
) -> list[ClusterTurn]:
    """Find where speakers begin and end.

    Args:
        speaks: [frames, speakers].
        grid: When frames are.
        min_duration_off_s: Shorter pauses of a speaker are closed.
        duration_s: Length of the audio. The last chunk goes beyond it, what is heard there is cut off.

    Returns:
        In order of their starts.
    """
    times = grid.times(len(speaks))
    found = []
    for cluster, active in enumerate(speaks.T):
        changes = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
        starts, stops = changes[::2], np.minimum(changes[1::2], len(times) - 1)
        pieces = [(float(times[start]), float(times[stop])) for start, stop in zip(starts, stops, strict=True)]
        pieces = [piece for piece in pieces if piece[1] - piece[0] > _MIN_TURN_S]
        pieces = [(start_s, min(end_s, duration_s)) for start_s, end_s in _close_pauses(pieces, min_duration_off_s)]
        found += [ClusterTurn(start_s, end_s, cluster) for start_s, end_s in pieces if end_s - start_s > _MIN_TURN_S]
    return sorted(found)


def _close_pauses(pieces: Iterable[tuple[float, float]], shortest_s: float) -> list[tuple[float, float]]:
    closed: list[tuple[float, float]] = []
    for start_s, end_s in pieces:
        if closed and start_s - closed[-1][1] < shortest_s:
            closed[-1] = (closed[-1][0], end_s)
        else:
            closed.append((start_s, end_s))
    return closed


def name_speakers(
    turns: list[ClusterTurn], exclusive_turns: list[ClusterTurn], centroids: npt.NDArray[np.float64]
) -> Diarization:
    """Label speakers in the order in which they are first heard.

    Args:
        turns: All turns.
        exclusive_turns: Turns without overlap, of the same speakers.
        centroids: [speakers, D]; speakers beyond it are known by their number only.
    """
    labels: dict[int, str] = {}
    for turn in turns:
        labels.setdefault(turn.cluster, f"SPEAKER_{len(labels):02d}")
    unknown = np.zeros(centroids.shape[1])
    return Diarization(
        tuple(SpeakerTurn(turn.start_s, turn.end_s, labels[turn.cluster]) for turn in turns),
        tuple(SpeakerTurn(turn.start_s, turn.end_s, labels[turn.cluster]) for turn in exclusive_turns),
        {
            label: (centroids[cluster] if cluster < len(centroids) else unknown).astype(np.float32)
            for cluster, label in labels.items()
        },
    )
