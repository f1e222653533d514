"""Diarization: speed of the embeddings against pyannote.audio on the same chunks, and memory of a long file.

    python benchmarks/diarization.py --hours 3

The networks have their true sizes and random weights (those of tests/diarize). Speed is compared in the environment of
pyannote.audio, PEER, which `make peers` makes; without it only our own is measured. Both
run in one process, in turn, on the same number of threads; the least CPU time of several rounds counts.

Memory is that of a process which is fed the samples of a long file. The networks hear the first two batches; what they
would say of the others is drawn, since it has the same size.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "diarize"), str(ROOT / "tools"), str(ROOT / "src")]
import random_models  # noqa: E402 - in a folder that was just added

import record_diarization  # noqa: E402
from ifw.diarize.diarizer import Diarizer  # noqa: E402
from ifw.diarize.listener import Listener  # noqa: E402
from ifw.diarize.stream import DiarizationStream  # noqa: E402

RATE = random_models.RATE
MEBIBYTE = 1 << 20


def write_models(folder: Path) -> Path:
    """Write the checkpoints of the tests."""
    with np.load(ROOT / "tests" / "diarize" / "reference.npz") as file:
        return random_models.write_folder(folder, file["classifier"], file["bias"])


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of this process for some work, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def import_peer() -> Any:
    """Import pyannote.audio; None where it is not installed."""
    try:
        return record_diarization.import_pyannote()
    except ImportError:
        return None


def compare_embeddings(peer: Any, folder: Path, seconds: float, n_rounds: int) -> None:
    """Print the CPU time of the embedding stage, of pyannote's too where it is installed, and their ratio."""
    samples = np.resize(random_models.conversation(), round(seconds * RATE))
    listener = Diarizer(folder, device="cpu")._listener
    heard = torch.from_numpy(samples[: len(samples) // listener.step_samples * listener.step_samples])
    speech = listener.segment(heard)
    n_chunks, _, n_speakers = speech.shape
    n_slots = int(speech.any(1).sum())
    print(f"{n_chunks} chunks, {n_slots} of {n_chunks * n_speakers} slots speak, {torch.get_num_threads()} threads")
    stock = None if peer is None else stock_stage(peer, folder, heard, speech)
    ours_s, stock_s, difference = [], [], 0.0
    for _ in range(n_rounds):
        spent_s, ours = cpu_seconds(lambda: listener.embed(heard, speech))
        ours_s.append(spent_s)
        if stock is not None:
            spent_s, theirs = cpu_seconds(stock)
            stock_s.append(spent_s)
            difference = max(difference, float(np.abs(ours.numpy() - theirs).max()))
    print(f"ours: {min(ours_s):.2f} CPU s, {min(ours_s) / n_chunks:.3f} a chunk (rounds: {_rounded(ours_s)})")
    if stock is not None:
        print(
            f"pyannote.audio: {min(stock_s):.2f} CPU s (rounds: {_rounded(stock_s)}); "
            f"embeddings differ by {difference:.1e}"
        )
        print(f"ratio: {min(stock_s) / min(ours_s):.2f}x, the goal is 2.5x")


def _rounded(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def stock_stage(peer: Any, folder: Path, heard: torch.Tensor, speech: torch.Tensor) -> Callable[[], Any]:
    """The embedding stage of pyannote.audio on the same chunks."""
    from pyannote.core import SlidingWindow, SlidingWindowFeature  # noqa: PLC0415 - not before pyannote.audio

    pipeline = peer.Pipeline.from_pretrained(folder)
    window = SlidingWindow(start=0.0, duration=10.0, step=1.0)
    said = SlidingWindowFeature(speech.numpy().astype(np.float32), window)
    file = {"waveform": heard[None], "sample_rate": RATE, "uri": "one"}
    return lambda: pipeline.get_embeddings(file, said, exclude_overlap=True)


class DrawnListener:
    """Hears two batches with the networks and draws what they say of all others."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._noise = np.random.default_rng(0)
        self._voices = self._noise.standard_normal((6, 256)).astype(np.float32)
        self._n_heard = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def hear(self, samples: Any) -> tuple[Any, Any]:
        """Hear, or draw: each local speaker speaks for most of a second chunk out of two."""
        self._n_heard += 1
        if self._n_heard <= 2:
            return self._listener.hear(samples)
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


def run_again(python: Path, *arguments: str) -> None:
    """Run a part of this script in a process of its own."""
    subprocess.run([str(python), str(Path(__file__).resolve()), *arguments], check=True)


def main() -> None:
    """Measure in processes of their own, so that none inherits the memory of another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    venv = ROOT / ".venv-peers-pyannote-audio"
    parser.add_argument("--peer", type=Path, default=venv, help="environment with pyannote.audio")
    parser.add_argument("--seconds", type=float, default=40.0, help="audio of which embeddings are computed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--hours", type=float, default=3.0, help="length of the long file; 0 leaves memory out")
    parser.add_argument("--part", choices=("embeddings", "memory"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    common = ("--threads", str(arguments.threads))
    if arguments.part is None:
        python = arguments.peer / "bin" / "python"
        if not python.is_file():
            print(f"no {python}: pyannote.audio is not compared; `make peers` makes it")
            python = Path(sys.executable)
        sizes = ("--seconds", str(arguments.seconds), "--rounds", str(arguments.rounds))
        run_again(python, "--part", "embeddings", *common, *sizes)
        for hours in (0.5, arguments.hours) if arguments.hours else ():
            run_again(Path(sys.executable), "--part", "memory", *common, "--hours", str(hours))
        return
    peer = import_peer() if arguments.part == "embeddings" else None  # before anything else imports it
    with tempfile.TemporaryDirectory() as folder:
        models = write_models(Path(folder))
        if arguments.part == "embeddings":
            compare_embeddings(peer, models, arguments.seconds, arguments.rounds)
        else:
            measure_memory(models, arguments.hours)


if __name__ == "__main__":
    main()
