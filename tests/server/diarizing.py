"""A diarization model for servers under test: of the true architecture, with random weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS / "diarize"))
import random_models  # noqa: E402  # found by the line above


def write_model(folder: Path) -> Path:
    """Write it, and say where it is."""
    with np.load(TESTS / "diarize" / "reference.npz") as reference:
        return random_models.write_folder(folder, reference["classifier"], reference["bias"])
