"""The sizes of the networks, chosen so that the demo diarizer is fast on a CPU."""

from __future__ import annotations

from typing import Final

from ifw.constants import SAMPLE_RATE
from ifw.diarize.embedding import EmbeddingDims
from ifw.diarize.segmentation import SegmentationDims
from ifw.diarize.sinc_net import SincNet

STRETCH_S: Final = 10.0  # what is kept on disk; training cuts chunks out of it
CHUNK_S: Final = 5.0  # fewer people speak within five seconds than within ten, and they are rarely confused
# Twice the published stride: 34 ms a frame, half the work.
SEGMENTATION: Final = SegmentationDims(
    stride=20,
    lstm_width=128,
    n_lstm_layers=3,
    is_bidirectional=True,
    linear_width=128,
    n_linear_layers=2,
    n_speakers=3,
    max_at_once=2,
    chunk_s=CHUNK_S,
)
EMBEDDING: Final = EmbeddingDims(n_mels=40, n_channels=8, width=128)
SINC_NET: Final = SincNet(SEGMENTATION.stride)
N_FRAMES: Final = SINC_NET.n_frames(SEGMENTATION.chunk_samples)
STRETCH_SAMPLES: Final = round(STRETCH_S * SAMPLE_RATE)
N_STRETCH_FRAMES: Final = SINC_NET.n_frames(STRETCH_SAMPLES)
