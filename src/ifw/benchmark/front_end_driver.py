"""What comes before our engine, a stage at a time; see `benchmark.driver_main`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ifw import __version__
from ifw.audio.whole import decode
from ifw.config import AudioOptions
from ifw.constants import WINDOW_SAMPLES
from ifw.model.mel import log_mel
from ifw.speech.vad import VoiceDetector


class Driver:
    """Decodes, listens for voices, computes log-mel: on one processor.

    Args:
        job: Of which the threads count.
    """

    stages = ("decode", "vad", "mel")

    def __init__(self, job: dict[str, Any]) -> None:
        torch.set_num_threads(job["n_threads"])
        self._detector: VoiceDetector | None = None
        self.versions = {"ifw": __version__, "torch": torch.__version__}

    def front_end(self, stage: str, audio: str, samples: str) -> int:
        """Do one stage: `decode` the file `audio`, or `vad` or `mel` over `samples`, a numpy file."""
        if stage == "decode":
            return len(decode(audio, AudioOptions(n_workers=1)).samples)
        heard = np.load(samples)
        if stage == "mel":
            transform = log_mel(80, torch.device("cpu"))
            windows = [heard[first : first + WINDOW_SAMPLES] for first in range(0, len(heard), WINDOW_SAMPLES)]
            return sum(transform([window]).shape[2] for window in windows)
        self._detector = self._detector or VoiceDetector()
        stream = self._detector.stream(boost_quiet=True)
        return len(stream.feed(heard)) + len(stream.finish())
