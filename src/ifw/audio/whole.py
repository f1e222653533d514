"""A whole file at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ifw.audio.decoder_process import Launch, launch_fresh
from ifw.audio.feed import Samples
from ifw.audio.source import AudioSource
from ifw.audio.stream import open_stream
from ifw.config import AudioOptions
from ifw.constants import SAMPLE_RATE
from ifw.types import TranscriptWarning

_OPTIONS = AudioOptions()
_GROWTH = 1.25  # of the array, where the length is not known


@dataclass(frozen=True, slots=True)
class Audio:
    """Decoded audio.

    Attributes:
        samples: [n] float32 mono, 16 kHz, in [-1, 1]; [n, n_channels] with `channels="split"`.
        duration_s: n / 16000.
        warnings: What is wrong with the file.
    """

    samples: Samples
    duration_s: float
    warnings: tuple[TranscriptWarning, ...] = ()


def decode(source: AudioSource, options: AudioOptions = _OPTIONS, *, launch: Launch = launch_fresh) -> Audio:
    """Decode a whole file into memory: 64 kB a second, 230 MB an hour.

    Args:
        source: A path, bytes, or a binary file object, which is read from its position on.
        options: Length cap and workers.
        launch: Starts decoder processes.

    Raises:
        AudioError: As `open_stream` and its iteration raise it.
    """
    samples: Samples = np.empty(0, np.float32)
    n_samples = 0
    with open_stream(source, options, launch=launch) as stream:
        for block in stream:
            if not n_samples:
                samples = np.empty((0, *block.shape[1:]), np.float32)
            n_needed = n_samples + len(block)
            if n_needed > len(samples):
                n_room = max(n_needed, int(len(samples) * _GROWTH))
                samples.resize((n_room, *block.shape[1:]), refcheck=False)  # in place, no second copy
            samples[n_samples:n_needed] = block
            n_samples = n_needed
    samples.resize((n_samples, *samples.shape[1:]), refcheck=False)
    return Audio(samples, n_samples / SAMPLE_RATE, stream.warnings)
