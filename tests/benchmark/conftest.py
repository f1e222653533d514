"""A run of our engine and of one that pretends, as small as runs are."""

from pathlib import Path

import pytest

from ifw.benchmark.options import BenchmarkOptions
from ifw.benchmark.run import run_benchmark

HONEST = """
class Driver:
    versions = {"pretender": "1.0"}
    def __init__(self, job):
        self.job = job
        print("this is no reply")
    def decode(self, batch, windows, lengths):
        n_lost = 1 if self.job["setup"]["compute_type"] == "bfloat16" else 0
        assert len(self.job["suppress_tokens"]) == 1608
        return {"tokens": [[7] * (length - n_lost) for length in lengths], "stages": {"encode_s": 0.001}}
"""


BROKEN = "def Driver(job): raise OSError('no such library')"


@pytest.fixture
def peers(tmp_path):
    """Drivers that pretend to be engines which the tests have: one is lazy in bfloat16, one is broken."""
    folder = tmp_path / "peers"
    folder.mkdir()
    (folder / "transformers_driver.py").write_text(HONEST)
    (folder / "openai_whisper_driver.py").write_text(BROKEN)
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
            engines=engines, n_threads=1, device="cpu", work_dir=kept, peers_dir=peers, venvs_dir=Path(peers), **changes
        )
        notes = []
        return run_benchmark(options.quick(), notes.append, "ifw bench --quick"), notes

    return measured
