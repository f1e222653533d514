"""PyanNet: who of up to three local speakers speaks in each frame of a chunk.

Source: Bredin and Laurent 2021, "End-to-end speaker segmentation"; the classes are sets of speakers as in Plaquet and
Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker diarization".
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifw.constants import SAMPLE_RATE
from ifw.diarize.sinc_net import WIDTH, SincNet


@dataclass(frozen=True, slots=True)
class SegmentationDims:
    """The sizes of one segmentation network.

    Attributes:
        stride: Samples between outputs of the first filters.
        lstm_width: Units of each direction of an LSTM layer.
        n_lstm_layers: Number of LSTM layers.
        is_bidirectional: The LSTM runs both ways.
        linear_width: Units of the layers behind it.
        n_linear_layers: Number of these layers.
        n_speakers: Local speakers of a chunk.
        max_at_once: How many of them one frame may hold.
        chunk_s: Length of a chunk.
    """

    stride: int
    lstm_width: int
    n_lstm_layers: int
    is_bidirectional: bool
    linear_width: int
    n_linear_layers: int
    n_speakers: int
    max_at_once: int
    chunk_s: float

    @property
    def chunk_samples(self) -> int:
        """Samples of a chunk."""
        return round(self.chunk_s * SAMPLE_RATE)


def speaker_sets(n_speakers: int, max_at_once: int) -> Tensor:
    """Which speakers each class of the network stands for.

    Returns:
        [n_classes, n_speakers] of zeros and ones: nobody, each alone, each pair, and so on.
    """
    sets = [members for size in range(max_at_once + 1) for members in itertools.combinations(range(n_speakers), size)]
    table = torch.zeros(len(sets), n_speakers, dtype=torch.uint8)
    for row, members in enumerate(sets):
        table[row, list(members)] = 1
    return table


class SegmentationNetwork(nn.Module):
    """PyanNet with powerset classes."""

    def __init__(self, dims: SegmentationDims) -> None:
        super().__init__()
        self.dims = dims
        self.sincnet = SincNet(dims.stride)
        self.lstm = nn.LSTM(
            WIDTH, dims.lstm_width, dims.n_lstm_layers, batch_first=True, bidirectional=dims.is_bidirectional
        )
        width = dims.lstm_width * (2 if dims.is_bidirectional else 1)
        widths = [width] + [dims.linear_width] * dims.n_linear_layers
        self.linear = nn.ModuleList([nn.Linear(*pair) for pair in itertools.pairwise(widths)])
        self.register_buffer("sets", speaker_sets(dims.n_speakers, dims.max_at_once), persistent=False)
        self.sets: Tensor
        self.classifier = nn.Linear(widths[-1], len(self.sets))

    def forward(self, samples: Tensor) -> Tensor:
        """Hear chunks.

        Args:
            samples: [B, n] float32.

        Returns:
            [B, F, n_speakers] uint8: 1 where a local speaker speaks.
        """
        return self.speech(self.hidden(self.sincnet(samples.unsqueeze(1)).transpose(1, 2)))

    def hidden(self, features: Tensor) -> Tensor:
        """What the LSTM, which may be bfloat16, makes of features of SincNet: [B, F, 60] to [B, F, width], float32."""
        found: Tensor = self.lstm(features.to(next(self.lstm.parameters()).dtype))[0]
        return found.float()

    def speech(self, hidden: Tensor) -> Tensor:
        """Say who speaks: what `hidden` returns to what `forward` returns."""
        for linear in self.linear:
            hidden = F.leaky_relu(linear(hidden))
        return self.sets[self.classifier(hidden).argmax(2)]

    @property
    def n_frames(self) -> int:
        """Frames of a chunk."""
        return self.sincnet.n_frames(self.dims.chunk_samples)
