"""How loud audio is."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ifw.constants import SAMPLE_RATE
from ifw.speech.buffer import FloatArray

_PART_SAMPLES: Final = SAMPLE_RATE // 10


def loudest_db(samples: FloatArray) -> float:
    """Level of the loudest tenth of a second.

    Args:
        samples: [n] float32.

    Returns:
        Root mean square in dB below full scale: 0 for the loudest square wave, minus infinity for zeros.
    """
    if not len(samples):
        return -math.inf
    starts = np.arange(0, len(samples), _PART_SAMPLES)
    energies = np.add.reduceat(np.square(samples, dtype=np.float64), starts) / _PART_SAMPLES
    loudest = float(energies.max())
    return 10 * math.log10(loudest) if loudest > 0 else -math.inf
