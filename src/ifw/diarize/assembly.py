"""From what was heard of all chunks to who spoke when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ifw.cancellation import CancelToken
from ifw.config import DiarizationOptions
from ifw.diarize.agglomerative import cluster_agglomeratively
from ifw.diarize.arrays import ByteArray, FloatArray
from ifw.diarize.clustering import Bounds, Clusters, margins
from ifw.diarize.pipeline_config import AgglomerativeSettings, VbxSettings
from ifw.diarize.plda import Plda
from ifw.diarize.turns import Diarization, find_turns, name_speakers
from ifw.diarize.vbx import cluster_vbx
from ifw.diarize.votes import Grid, count_speakers, count_votes, elect


@dataclass(frozen=True, slots=True)
class Assembler:
    """The part of the pipeline that needs all chunks at once. Needs no torch.

    Attributes:
        grid: When chunks and frames are.
        settings: How embeddings are clustered.
        plda: The space of VBx; None where another clustering is used.
        min_duration_off_s: Shorter pauses of a speaker are closed.
        votes_by_margin: Where chunks disagree who speaks, each counts as much as its embedding is sure, and where they
            are divided how many speak, one does. Else all count the same, of equals the lower number is taken, and half
            a speaker is rounded to the nearest even number, as in pyannote.audio.
    """

    grid: Grid
    settings: AgglomerativeSettings | VbxSettings
    plda: Plda | None
    min_duration_off_s: float
    votes_by_margin: bool = False

    def assemble(
        self,
        speech: ByteArray,
        embeddings: FloatArray,
        options: DiarizationOptions,
        duration_s: float,
        *,
        cancel: CancelToken | None = None,
    ) -> Diarization:
        """Cluster, count, vote.

        Args:
            speech: [C, F, S] 1 where a local speaker speaks.
            embeddings: [C, S, D].
            options: How many speakers there may be.
            duration_s: Length of the audio.
            cancel: Ends it, where it takes long.

        Raises:
            CancelledError: The token was cancelled.
        """
        counts = count_speakers(speech, self.grid, halves_to_one=self.votes_by_margin)
        if not counts.any():
            return Diarization()
        bounds = Bounds.of(options)
        clusters = self.cluster(speech, embeddings, bounds, cancel)
        if bounds.highest is not None:
            counts = np.minimum(counts, bounds.highest)
        weights = margins(embeddings, clusters) if self.votes_by_margin else None
        votes = count_votes(speech, clusters.owners, self.grid, weights)
        turns, exclusive = (
            find_turns(elect(votes, limited), self.grid, self.min_duration_off_s, duration_s)
            for limited in (counts, np.minimum(counts, 1))
        )
        return name_speakers(turns, exclusive, clusters.centroids)

    def cluster(
        self, speech: ByteArray, embeddings: FloatArray, bounds: Bounds, cancel: CancelToken | None = None
    ) -> Clusters:
        """Find the speakers of the whole recording."""
        if isinstance(self.settings, AgglomerativeSettings):
            return cluster_agglomeratively(embeddings, speech, bounds, self.settings, cancel=cancel)
        assert self.plda is not None
        return cluster_vbx(embeddings, speech, bounds, self.settings, self.plda, cancel=cancel)
