"""The recorded reference, and the diarizer that has the recorded weights."""

from pathlib import Path

import numpy as np
import pytest
import random_models
import torch

from ifw.diarize.diarizer import Diarizer

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference():
    with np.load(Path(__file__).with_name("reference.npz")) as file:
        return dict(file)


@pytest.fixture(scope="session")
def folder(reference, tmp_path_factory):
    return random_models.write_folder(tmp_path_factory.mktemp("models"), reference["classifier"], reference["bias"])


@pytest.fixture(scope="session")
def diarizer(folder):
    return Diarizer(folder, device="cpu", dtype="float32")
