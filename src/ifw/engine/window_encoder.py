"""From samples to encoder outputs: in one batch on a GPU, side by side on the cores of a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import torch
from torch import Tensor

from ifw.engine.staging import PinnedWindows
from ifw.model.cores import use_cores
from ifw.model.mel import Samples, log_mel
from ifw.model.whisper import Whisper


class WindowEncoder:
    """Encodes several windows at once. Used by one thread.

    On CPU every window has a thread of its own, with its share of the cores: the threads of one product wait for each
    other hundreds of times a window, and on cores that others use too, each time for the slowest.

    Args:
        model: On its device.
    """

    def __init__(self, model: Whisper) -> None:
        self._model = model
        self._log_mel = log_mel(model.dims.n_mels, model.device)
        self._is_cpu = model.device.type == "cpu"
        self._pinned = None if self._is_cpu else PinnedWindows(model.device)
        self._pool: ThreadPoolExecutor | None = None

    def encode(self, windows: Sequence[Samples]) -> list[Tensor]:
        """Encode windows; on CPU with the threads that torch has in the calling thread.

        Args:
            windows: float32 samples, at most 30 s each.

        Returns:
            [1500, D] of each, in order.
        """
        n_threads = torch.get_num_threads()
        if not windows:
            return []
        if self._pinned is not None:
            return list(self._model.encode(self._log_mel(self._pinned.send(windows))))
        if len(windows) == 1 or n_threads == 1:
            return list(self._model.encode(self._log_mel(windows)))
        return self._side_by_side(windows, n_threads)

    def _side_by_side(self, windows: Sequence[Samples], n_threads: int) -> list[Tensor]:
        n_parts = min(len(windows), n_threads)
        share = n_threads // n_parts
        pool = self._pool = self._pool or ThreadPoolExecutor(n_threads - 1, thread_name_prefix="ifw-encode")
        others = [pool.submit(self._one_by_one, windows[part::n_parts], share) for part in range(1, n_parts)]
        try:
            own = self._one_by_one(windows[::n_parts], share)
        finally:
            wait(others)
            torch.set_num_threads(n_threads)
        parts = [own, *(other.result() for other in others)]
        return [parts[index % n_parts][index // n_parts] for index in range(len(windows))]

    def _one_by_one(self, windows: Sequence[Samples], n_threads: int) -> list[Tensor]:
        use_cores(n_threads)
        return [self._model.encode(self._log_mel([window]))[0] for window in windows]
