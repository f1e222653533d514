"""What telling speakers apart adds to the time of a transcription, on CPU, with the demo models.

    python benchmarks/diarization_beside.py --minutes 30 --rounds 2

The file is a conversation repeated (the bundled sample, or --audio). One process, warm, transcribes it without and
with diarization in turn (A B B A, as often as --rounds says). Printed are wall and CPU seconds of every run with the
stages, the medians, and their ratio: of wall seconds, which counts on a machine that does nothing else, and of CPU
seconds, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import av
import numpy as np

from ifw import DiarizationOptions, TranscribeOptions, Transcriber
from ifw.audio import decode
from ifw.constants import SAMPLE_RATE
from ifw.engine.heap import keep_freed_memory

GOAL = 1.35


def write_repeated(source: Path, target: Path, duration_s: float) -> None:
    """Repeat a recording until it lasts `duration_s`, as WAV."""
    samples = np.resize(decode(source).samples, round(duration_s * SAMPLE_RATE))
    with av.open(str(target), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(transcriber: Transcriber, path: Path, options: TranscribeOptions) -> tuple[float, float]:
    """Wall and CPU seconds of one transcription, printed with its stages."""
    wall, cpu = time.perf_counter(), time.process_time()
    transcript = transcriber.transcribe(path, options)
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    stages = ", ".join(f"{name} {spent_s:.2f}" for name, spent_s in transcript.timings.items() if name != "load")
    kind = "without" if options.diarize is None else f"with, {len(transcript.speaker_embeddings)} speakers"
    spent = f"{wall_s:.2f} s, {cpu_s:.2f} CPU s, {cpu_s / wall_s:.2f} cores"
    print(f"{kind}: {spent}, load {os.getloadavg()[0]:.1f} ({stages})", flush=True)
    return wall_s, cpu_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--audio", type=Path, default=Path(str(files("ifw") / "demo" / "sample.mp3")))
    parser.add_argument("--diarization-model", default="demo")
    options = parser.parse_args()
    keep_freed_memory()  # as the command line and the server do
    without, beside = TranscribeOptions(), TranscribeOptions(diarize=DiarizationOptions())
    spent: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with (
        tempfile.TemporaryDirectory() as folder,
        Transcriber(
            "demo", "cpu", n_threads=options.threads, diarization_model=options.diarization_model
        ) as transcriber,
    ):
        path = Path(folder, "long.wav")
        write_repeated(options.audio, path, 60.0)
        transcriber.transcribe(path, beside)  # everything is loaded now
        write_repeated(options.audio, path, 60 * options.minutes)
        for is_beside in (False, True, True, False) * options.rounds:
            spent[is_beside].append(measure(transcriber, path, beside if is_beside else without))
    for index, unit in enumerate(("wall", "CPU")):
        plain_s, with_s = (statistics.median(run[index] for run in spent[kind]) for kind in (False, True))
        goal = f", the goal is {GOAL}x" if unit == "wall" else ""
        print(f"{unit}: {plain_s:.2f} s without, {with_s:.2f} s with: {with_s / plain_s:.2f}x{goal}")


if __name__ == "__main__":
    main()
