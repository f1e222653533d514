"""A run of our engine and of one that pretends, as small as runs are."""

import sys

import pytest

from ifw.benchmark.options import BenchmarkOptions
from ifw.benchmark.run import run_benchmark

HONEST = """
LOST = 0
class Driver:
    versions = {"pretender": "1.0"}
    stages = ("mel",)
    def __init__(self, job):
        self.job = job
        print("this is no reply")
    def decode(self, batch, windows, lengths):
        assert len(self.job["suppress_tokens"]) == 1608
        assert self.job["dims"]["n_text_positions"] == 448
        return {"tokens": [[7] * (length - LOST) for length in lengths], "stages": {"encode_s": 0.001}}
    def transcribe(self, recordings, batch, together):
        counts = [len(one["ends_s"]) * (one["n_tokens"] - LOST) for one in recordings]
        return {"counts": counts, "ends_s": [0.1] * len(counts)}
    def front_end(self, stage, audio, samples):
        assert stage == "mel"
        assert audio.endswith(".mp3") and samples.endswith(".npy")
        return 1
"""


VOICES = """
class Driver:
    def __init__(self, job):
        assert job["setup"] == {"seconds": 11}
        self.versions = {"pyannote.audio": "4.0"}
        self.embedded = []
    def about(self):
        return {"engines": ["ifw", "pyannote-audio"], "n_chunks": 2, "n_slots": 6, "n_speaking": 5}
    def embed(self, engine):
        self.embedded.append(engine)
    def difference(self):
        assert self.embedded == ["ifw", "pyannote-audio"] * 2 + ["pyannote-audio", "ifw"], self.embedded
        return 2e-5
"""
BROKEN = "def Driver(job): raise OSError('no such library')"


@pytest.fixture
def peers(tmp_path):
    """Drivers that pretend to be engines which the tests have: one is lazy, one is broken."""
    folder = tmp_path / "peers"
    folder.mkdir()
    (folder / "transformers_driver.py").write_text(HONEST)
    (folder / "openai_whisper_driver.py").write_text(HONEST.replace("LOST = 0", "LOST = 1"))
    (folder / "openvino_driver.py").write_text(BROKEN)
    (folder / "pyannote_audio_driver.py").write_text(VOICES)
    for name in ("openvino", "pyannote-audio"):
        python = tmp_path / f".venv-peers-{name}" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
    return folder


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """Checkpoints and windows, made once."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def run(peers, kept):
    """Run a benchmark; gives the results and what was noted."""

    def measured(*engines, **changes):
        options = BenchmarkOptions(
            engines=engines,
            n_threads=1,
            device="cpu",
            work_dir=kept,
            peers_dir=peers,
            venvs_dir=peers.parent,
            **changes,
        )
        notes = []
        return run_benchmark(options.quick(), notes.append, "ifw bench --quick"), notes

    return measured
