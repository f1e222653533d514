import json
from importlib.resources import files
from pathlib import Path

import av
import numpy as np
import pytest

from ifw import Transcriber

DEMO = Path(str(files("ifw") / "demo"))


@pytest.fixture(scope="session")
def transcriber():
    with Transcriber("demo", n_threads=1) as shared:
        yield shared


@pytest.fixture(scope="session")
def sample():
    return DEMO / "sample.mp3"


@pytest.fixture(scope="session")
def reference():
    return json.loads((DEMO / "sample.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def make_wav(tmp_path_factory):
    """Write samples at 16 kHz to a wav file."""
    folder = tmp_path_factory.mktemp("made")

    def make(name, samples):
        path = folder / f"{name}.wav"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(
                (np.clip(samples, -1, 1) * 32767).astype(np.int16)[None], format="s16", layout="mono"
            )
            frame.sample_rate = 16_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make
