"""Agglomerative clustering: the closest two clusters are merged, over and over, until they are too far apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from ifw.cancellation import CancelToken
from ifw.diarize.arrays import ByteArray, DoubleArray, FloatArray, IntArray, unit
from ifw.diarize.clustering import Bounds, Clusters, affinity, closest, formative, means, one_speaker
from ifw.diarize.dendrogram import cut, cut_after
from ifw.diarize.linkage import centroid_linkage
from ifw.diarize.pipeline_config import AgglomerativeSettings

_SMALL_RATIO = 0.1  # of the embeddings: in short recordings a speaker needs no more than that


def cluster_agglomeratively(
    embeddings: FloatArray,
    speech: ByteArray,
    bounds: Bounds,
    settings: AgglomerativeSettings,
    *,
    cancel: CancelToken | None = None,
) -> Clusters:
    """Find the speakers of a recording.

    Args:
        embeddings: [C, S, D].
        speech: [C, F, S] 1 where a local speaker speaks.
        bounds: How many speakers there may be.
        settings: The numbers of the pipeline.
        cancel: Ends it, where it takes long.

    Returns:
        The speakers. Two local speakers of a chunk may be the same one.
    """
    forming = embeddings[formative(speech) & np.isfinite(embeddings).all(2)]
    bounds = bounds.within(len(forming))
    if bounds.highest is None or bounds.highest < 2:
        return one_speaker(embeddings, speech, forming)
    labels = _labels(forming, (bounds.lowest, bounds.highest), settings, cancel)
    centroids = means(forming, labels, np.arange(labels.max() + 1))
    return Clusters(closest(affinity(embeddings, centroids)), centroids.astype(np.float64))


def _labels(
    forming: FloatArray, allowed: tuple[int, int], settings: AgglomerativeSettings, cancel: CancelToken | None
) -> IntArray:
    """[n] the speaker of each formative embedding; n is at least 2."""
    lowest, highest = allowed
    smallest = min(settings.min_cluster_size, max(1, round(_SMALL_RATIO * len(forming))))
    vectors = unit(forming)
    dendrogram = centroid_linkage(vectors, cancel)
    labels = cut(dendrogram, settings.threshold)
    n_large = len(_large(labels, smallest))
    wanted = min(max(n_large, lowest), highest)
    if n_large != wanted:
        labels = _labels_of_number(dendrogram, wanted, smallest, settings.threshold)
    return _join_small(vectors, labels, smallest)


def _large(labels: IntArray, smallest: int) -> IntArray:
    """The clusters with at least so many members."""
    names, sizes = np.unique(labels, return_counts=True)
    return names[sizes >= smallest]


def _labels_of_number(dendrogram: DoubleArray, wanted: int, smallest: int, threshold: float) -> IntArray:
    """Undo more merges, or fewer, until the wanted number of large clusters is left, or come as close as possible."""
    best_turn, best_number = len(dendrogram), 1
    for turn in np.argsort(np.abs(dendrogram[:, 2] - threshold), kind="stable"):
        if dendrogram[turn, 3] < smallest:
            continue  # this merge made no large cluster
        labels = cut_after(dendrogram, int(turn) + 1)
        number = len(_large(labels, smallest))
        if abs(number - wanted) < abs(best_number - wanted):
            best_turn, best_number = int(turn), number
        if number == wanted:
            return labels
    return cut_after(dendrogram, best_turn + 1)


def _join_small(vectors: FloatArray, labels: IntArray, smallest: int) -> IntArray:
    """Small clusters join the closest large one; what is left is numbered from 0."""
    names, sizes = np.unique(labels, return_counts=True)
    large, small = names[sizes >= smallest], names[sizes < smallest]
    if not len(large):
        return np.zeros_like(labels)
    if len(small):
        distances: npt.NDArray[np.float64] = cdist(
            means(vectors, labels, large), means(vectors, labels, small), metric="cosine"
        )
        joined = dict(zip(small.tolist(), large[distances.argmin(0)].tolist(), strict=True))
        labels = np.array([joined.get(label, label) for label in labels.tolist()])
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
