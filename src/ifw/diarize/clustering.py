"""What both ways of clustering share: which embeddings may form speakers, and whose each local speaker is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ifw.config import DiarizationOptions
from ifw.diarize.arrays import NOBODY, ByteArray, DoubleArray, FloatArray, IntArray

LEAST_MARGIN: Final = 0.05  # who is not sure at all still has a vote
_MIN_ALONE_RATIO: Final = 0.2  # of a chunk: less than that alone is too little to form a speaker


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many speakers there may be.

    Attributes:
        lowest: At least so many.
        highest: At most so many; None where nothing is known.
    """

    lowest: int
    highest: int | None

    @classmethod
    def of(cls, options: DiarizationOptions) -> Bounds:
        """The bounds that a caller gave."""
        lowest = options.num_speakers or options.min_speakers or 1
        return cls(lowest, options.num_speakers or options.max_speakers)

    def clip(self, n_speakers: int) -> int:
        """The closest allowed number."""
        n_speakers = max(n_speakers, self.lowest)
        return n_speakers if self.highest is None else min(n_speakers, self.highest)

    def within(self, n_embeddings: int) -> Bounds:
        """The same, as far as so many embeddings can fulfil it; the upper bound is definite."""
        highest = n_embeddings if self.highest is None else min(self.highest, n_embeddings)
        return Bounds(max(1, min(self.lowest, n_embeddings)), max(1, highest))


@dataclass(frozen=True, slots=True)
class Clusters:
    """Speakers of the whole recording.

    Attributes:
        owners: [C, S] the speaker that a local speaker is, from 0; `NOBODY` where it is none.
        centroids: [speakers, D] mean embedding of each.
    """

    owners: IntArray
    centroids: DoubleArray


def formative(speech: ByteArray) -> npt.NDArray[np.bool_]:
    """Which local speakers speak alone for long enough that they may form a speaker.

    Args:
        speech: [C, F, S] 1 where a local speaker speaks.

    Returns:
        [C, S].
    """
    is_alone = speech.sum(2, dtype=np.int64, keepdims=True) == 1
    return np.asarray((speech * is_alone).sum(1, dtype=np.int64) >= _MIN_ALONE_RATIO * speech.shape[1])


def one_speaker(embeddings: FloatArray, speech: ByteArray, forming: FloatArray) -> Clusters:
    """Everybody is the same speaker, described by the formative embeddings, or by all where none is."""
    if not len(forming):
        forming = embeddings[speech.any(1)]
    owners = np.zeros(embeddings.shape[:2], np.int64)
    return Clusters(owners, forming.mean(0, keepdims=True).astype(np.float64))


def means(vectors: npt.NDArray[np.floating], labels: IntArray, wanted: IntArray) -> npt.NDArray[np.floating]:
    """[len(wanted), D] the mean of the vectors of each wanted label."""
    return np.vstack([vectors[labels == label].mean(0) for label in wanted])


def affinity(embeddings: FloatArray, centroids: npt.NDArray[np.floating]) -> DoubleArray:
    """[C, S, speakers] 1 + cosine of embeddings and centroids, 0 to 2, as pyannote.audio has it."""
    n_chunks, n_speakers, width = embeddings.shape
    distances: DoubleArray = cdist(embeddings.reshape(-1, width), centroids, metric="cosine")
    return 2 - distances.reshape(n_chunks, n_speakers, -1)


def margins(embeddings: FloatArray, clusters: Clusters) -> FloatArray:
    """How much closer each local speaker is to the speaker it was given to than to any other.

    Who is two voices that were taken for one is close to several, and so is of whom little was heard.

    Args:
        embeddings: [C, S, D].
        clusters: Whose each is.

    Returns:
        [C, S] difference of cosines, at least `LEAST_MARGIN`, at most 2.
    """
    scores = affinity(embeddings, clusters.centroids)
    owners = np.maximum(clusters.owners, 0)[..., None]
    own = np.take_along_axis(scores, owners, 2)[..., 0]
    np.put_along_axis(scores, owners, -np.inf, 2)
    lead = np.nan_to_num(own - scores.max(2), nan=LEAST_MARGIN)
    return np.asarray(np.clip(lead, LEAST_MARGIN, 2), np.float32)


def closest(scores: DoubleArray) -> IntArray:
    """[C, S] the speaker with the highest affinity, whoever else in the chunk is the same one."""
    return np.asarray(scores.argmax(2), np.int64)


def closest_apart(scores: DoubleArray, speech: ByteArray) -> IntArray:
    """Assign so that no two local speakers of a chunk are the same one, and the affinities sum to the most.

    Args:
        scores: [C, S, speakers].
        speech: [C, F, S] 1 where a local speaker speaks.

    Returns:
        [C, S] the speaker, or `NOBODY` for those left over.
    """
    scores = scores.copy()
    scores[~speech.any(1)] = np.nanmin(scores) - 1.0  # who is silent takes what the others leave
    scores = np.nan_to_num(scores, nan=float(np.nanmin(scores)))
    owners = np.full(scores.shape[:2], NOBODY, np.int64)
    for chunk, gains in enumerate(scores):
        speakers, clusters = linear_sum_assignment(gains, maximize=True)
        owners[chunk, speakers] = clusters
    return owners
