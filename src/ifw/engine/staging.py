"""Samples on their way to a CUDA device: through memory that it reads by itself, while the host goes on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ifw.constants import WINDOW_SAMPLES
from ifw.engine.streams import mark
from ifw.model.mel import Samples

_N_BUFFERS = 2


class PinnedWindows:
    """Pads windows into pinned buffers, which take turns.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: list[Tensor | None] = [None] * _N_BUFFERS
        self._was_sent: list[torch.cuda.Event | None] = [None] * _N_BUFFERS
        self._turn = 0

    def send(self, windows: Sequence[Samples]) -> Tensor:
        """Copy windows to the device, on the current stream.

        Args:
            windows: float32 samples, at most 30 s each.

        Returns:
            [B, 480000] float32 on the device, padded with zeros.
        """
        turn = self._turn = (self._turn + 1) % _N_BUFFERS
        was_sent = self._was_sent[turn]
        if was_sent is not None:
            was_sent.synchronize()
        buffer = self._buffers[turn]
        if buffer is None or len(buffer) < len(windows):
            buffer = self._buffers[turn] = torch.empty(len(windows), WINDOW_SAMPLES, pin_memory=True)
        for row, samples in zip(buffer, windows, strict=False):
            n_samples = len(samples)
            row[:n_samples] = torch.as_tensor(samples)
            row[n_samples:] = 0
        sent = buffer[: len(windows)].to(self._device, non_blocking=True)
        self._was_sent[turn] = mark()
        return sent
