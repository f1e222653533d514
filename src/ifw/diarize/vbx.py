"""VBx: how many speakers there are, and who is who, by variational Bayes.

Speakers are points in PLDA space with a standard normal prior. Those that explain nothing lose their share until they
are gone, so agglomerative clustering may begin with too many.

Source: Landini et al. 2022, "Bayesian HMM clustering of x-vector sequences (VBx) in speaker diarization", here without
transitions in time (a mixture instead of an HMM). The numbers in brackets are its equations.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import logsumexp, softmax

from ifw.cancellation import CancelToken
from ifw.diarize.arrays import ByteArray, DoubleArray, FloatArray, IntArray, product, unit
from ifw.diarize.clustering import (
    Bounds,
    Clusters,
    affinity,
    closest,
    closest_apart,
    formative,
    means,
    one_speaker,
)
from ifw.diarize.dendrogram import cut, cut_after
from ifw.diarize.k_means import k_means
from ifw.diarize.linkage import centroid_linkage
from ifw.diarize.pipeline_config import VbxSettings
from ifw.diarize.plda import Plda

_MAX_TURNS: Final = 20
_MIN_GAIN: Final = 1e-4  # of the evidence lower bound, below which it has converged
_SMOOTHING: Final = 7.0  # how sure the first responsibilities are of the first clusters
_MAX_RESPONSIBILITIES: Final = 16_000_000  # points times clusters: 128 MB, of which there are up to five at once
_MIN_SHARE: Final = 1e-7  # of the chunks, below which a speaker is gone


def cluster_vbx(
    embeddings: FloatArray,
    speech: ByteArray,
    bounds: Bounds,
    settings: VbxSettings,
    plda: Plda,
    *,
    cancel: CancelToken | None = None,
) -> Clusters:
    """Find the speakers of a recording.

    Args:
        embeddings: [C, S, D].
        speech: [C, F, S] 1 where a local speaker speaks.
        bounds: How many speakers there may be.
        settings: The numbers of the pipeline.
        plda: The space of VBx.
        cancel: Ends it, where it takes long.

    Returns:
        The speakers. No two local speakers of a chunk are the same one, unless the bounds changed their number.
    """
    forming = embeddings[formative(speech) & np.isfinite(embeddings).all(2)]
    if len(forming) < 2:
        return one_speaker(embeddings, speech, forming)
    vectors = unit(forming)
    first = first_clusters(centroid_linkage(vectors, cancel), settings.threshold)
    responsibilities, shares = infer(plda(forming), plda.between, first, settings)
    kept = responsibilities[:, shares > _MIN_SHARE]
    centroids = product(kept.T, forming) / kept.sum(0)[:, None]
    wanted = min(bounds.clip(len(centroids)), len(forming))
    if wanted == len(centroids):
        return Clusters(closest_apart(affinity(embeddings, centroids), speech), centroids)
    labels = k_means(vectors, wanted)
    centroids = means(forming, labels, np.unique(labels)).astype(np.float64)
    return Clusters(closest(affinity(embeddings, centroids)), centroids)


def first_clusters(dendrogram: DoubleArray, threshold: float) -> IntArray:
    """[n] the cluster that each point begins in, from 0.

    Where the points of a long recording are all far from each other, more merges are accepted than the threshold
    allows, so that what is inferred (points times clusters) does not grow with the square of the length.
    """
    labels = cut(dendrogram, threshold)
    most = max(2, _MAX_RESPONSIBILITIES // len(labels))
    if len(np.unique(labels)) > most:
        labels = cut_after(dendrogram, len(labels) - most)
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def infer(
    points: DoubleArray, between: DoubleArray, first: IntArray, settings: VbxSettings
) -> tuple[DoubleArray, DoubleArray]:
    """Alternate between where speakers are and who spoke, until the evidence grows no more.

    Args:
        points: [n, L] embeddings in PLDA space.
        between: [L] variance of speakers.
        first: [n] the cluster that each point begins in.
        settings: Weights of evidence and thrift.

    Returns:
        [n, speakers] how likely each point is whose, and [speakers] their shares.
    """
    ratio = settings.sharpness / settings.thrift
    n_points, n_axes = points.shape
    n_speakers = int(first.max()) + 1
    responsibilities = softmax(_SMOOTHING * np.eye(n_speakers)[first], axis=1)
    shares = np.full(n_speakers, 1 / n_speakers)
    constant = -0.5 * (np.square(points).sum(1, keepdims=True) + n_axes * np.log(2 * np.pi))  # of (23)
    scaled = points * np.sqrt(between)  # (18)
    before = -np.inf
    for _ in range(_MAX_TURNS):
        variance = 1 / (1 + ratio * responsibilities.sum(0)[:, None] * between)  # (17)
        mean = ratio * variance * product(responsibilities.T, scaled)  # (16)
        fit = product(scaled, mean.T) - 0.5 * product(variance + mean**2, between) + constant
        joint = settings.sharpness * fit + np.log(shares + 1e-8)  # (23) and the share
        evidence = logsumexp(joint, axis=1)
        responsibilities = np.exp(joint - evidence[:, None])
        shares = responsibilities.sum(0) / n_points
        penalty = 0.5 * settings.thrift * np.sum(np.log(variance) - variance - mean**2 + 1)
        bound = float(evidence.sum() + penalty)  # (25)
        if bound - before < _MIN_GAIN:
            break
        before = bound
    return responsibilities, shares
