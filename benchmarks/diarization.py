"""Diarization: memory of a long file.

    python benchmarks/diarization.py --hours 3

It is that of a process which is fed the samples of a long file. The networks have their true sizes and random weights
(those of tests/diarize). They hear the first groups of chunks; what they would say of the others is drawn: it has the
same size. The speed of the embeddings is a scenario of `ifw bench`: `ifw bench --scenario diarization`.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "diarize"), str(ROOT / "benchmarks" / "peers"), str(ROOT / "src")]
import random_models  # noqa: E402 - in a folder that was just added
from pyannote_audio_driver import write_models  # noqa: E402

from ifw.diarize.diarizer import Diarizer  # noqa: E402
from ifw.diarize.listener import Listener  # noqa: E402
from ifw.diarize.stream import DiarizationStream  # noqa: E402

RATE = random_models.RATE
MEBIBYTE = 1 << 20
N_HEARD = 32  # groups of chunks


class DrawnListener:
    """Hears some groups with the networks and draws what they say of all others."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._noise = np.random.default_rng(0)
        self._voices = self._noise.standard_normal((6, 256)).astype(np.float32)
        self._n_heard = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def begin(self, samples: Any, cancel: Any) -> Future[Any]:
        """Hear, or draw: each local speaker speaks for most of a second chunk out of two."""
        self._n_heard += 1
        if self._n_heard <= N_HEARD:
            return self._listener.begin(samples, cancel)
        drawn: Future[Any] = Future()
        drawn.set_result(self._draw(samples))
        return drawn

    def _draw(self, samples: Any) -> tuple[Any, Any]:
        grid = self._listener.grid
        n_chunks = 1 + (len(samples) - self._listener.chunk_samples) // self._listener.step_samples
        speech = np.zeros((n_chunks, grid.n_frames, 3), np.uint8)
        thirds = np.array_split(np.arange(grid.n_frames), 3)
        for slot, third in enumerate(thirds):
            speech[:, third, slot] = self._noise.random((n_chunks, 1)) < 0.5
        voices = self._voices[self._noise.integers(6, size=(n_chunks, 3))]
        return speech, voices + 0.35 * self._noise.standard_normal((n_chunks, 3, 256), np.float32)


def measure_memory(folder: Path, hours: float) -> None:
    """Print the peak memory of this process while it diarizes a long file."""
    diarizer = Diarizer(folder, device="cpu")
    listener: Any = DrawnListener(diarizer._listener)
    stream = DiarizationStream(listener, diarizer._assembler, diarizer.stream()._options)
    loaded = _peak_bytes()
    block = np.resize(random_models.conversation(), 60 * RATE)
    for _ in range(round(hours * 60)):
        stream.feed(block.copy())
    fed = _peak_bytes()
    start = time.perf_counter()
    found = stream.finish()
    print(
        f"{hours:g} h: loaded {loaded / MEBIBYTE:.0f} MiB, all heard {fed / MEBIBYTE:.0f} MiB, "
        f"told apart {_peak_bytes() / MEBIBYTE:.0f} MiB; {len(found.speakers)} speakers, {len(found.turns)} turns, "
        f"telling apart took {time.perf_counter() - start:.1f} s"
    )


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure each length in a process of its own, so that none inherits the memory of another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--hours", type=float, default=3.0, help="length of the long file")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.alone:
        for hours in (0.5, arguments.hours):
            sizes = ("--threads", str(arguments.threads), "--hours", str(hours))
            subprocess.run([sys.executable, str(Path(__file__).resolve()), "--alone", *sizes], check=True)
        return
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        measure_memory(write_models(Path(folder)), arguments.hours)


if __name__ == "__main__":
    main()
