"""Peak memory while a long file is transcribed, and how soon its first segment comes.

    python benchmarks/memory.py --hours 10

The files are the bundled sample, repeated: one of ten minutes, then the long one. Memory is the resident set of the
process and its decoder processes, sampled every 20 ms from outside; what the loaded and warm model takes is counted
apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from importlib.resources import files
from pathlib import Path

import av
import psutil

TRANSCRIBE = """
import sys
from ifw import Transcriber
with Transcriber("demo") as transcriber:
    transcriber.transcribe(sys.argv[1])
    print("loaded", flush=True)
    for path in sys.argv[2:]:
        sys.stdin.readline()
        transcript = transcriber.transcribe(path)
        timings = transcript.timings
        print(transcript.duration_s, len(transcript.segments), timings["total"], timings["first_text"], flush=True)
"""
SHORT_S = 600.0


def write_repeated(sample: Path, target: Path, duration_s: float) -> None:
    """Repeat an audio file, packet by packet, until it lasts `duration_s`."""
    with av.open(str(target), "w") as output, av.open(str(sample)) as first:
        stream = output.add_stream_from_template(first.streams.audio[0])
        offset = 0
        while offset * stream.time_base < duration_s if offset else True:
            end = 0
            with av.open(str(sample)) as container:
                for packet in container.demux(audio=0):
                    if packet.pts is None or packet.pts < 0:
                        continue
                    end = packet.pts + (packet.duration or 0)
                    packet.pts += offset
                    packet.dts = packet.pts
                    packet.stream = stream
                    output.mux(packet)
            offset += end


class PeakSampler(threading.Thread):
    """Follows the resident memory of a process tree."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self.peak_bytes = 0

    def now(self) -> int:
        """Resident bytes of the process and all its children."""
        total = 0
        for process in [self._process, *self._process.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total

    def run(self) -> None:
        """Sample until stopped."""
        while not self._ended.wait(0.02):
            self.peak_bytes = max(self.peak_bytes, self.now())

    def stop(self) -> None:
        """End the sampling."""
        self._ended.set()
        self.join()


def main() -> None:
    """Measure one long file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--container", default="mp3", choices=["mp3", "mka"], help="of the long file")
    arguments = parser.parse_args()
    sample = Path(str(files("ifw") / "demo" / "sample.mp3"))
    with tempfile.TemporaryDirectory() as folder:
        short_file, long_file = (Path(folder) / f"{name}.{arguments.container}" for name in ("short", "long"))
        write_repeated(sample, short_file, SHORT_S)
        write_repeated(sample, long_file, arguments.hours * 3600)
        child = subprocess.Popen(
            [sys.executable, "-c", TRANSCRIBE, str(sample), str(short_file), str(long_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "loaded"
        loaded_bytes = PeakSampler(child.pid).now()
        print(f"loaded and warm {loaded_bytes / 1e6:.0f} MB")
        first_texts = [measure(child, loaded_bytes) for _ in (short_file, long_file)]
        child.wait()
    print(f"first segment of the long file {first_texts[1] / first_texts[0]:.2f} times as late as of the short one")


def measure(child: subprocess.Popen[str], loaded_bytes: int) -> float:
    """Let the process transcribe its next file, print what it took; gives the seconds to the first segment."""
    assert child.stdin is not None
    assert child.stdout is not None
    sampler = PeakSampler(child.pid)
    sampler.start()
    child.stdin.write("go\n")
    child.stdin.flush()
    duration_s, n_segments, total_s, first_s = map(float, child.stdout.readline().split())
    sampler.stop()
    print(
        f"{duration_s / 3600:.2f} h: {n_segments:.0f} segments in {total_s:.1f} s, the first after {first_s:.2f} s; "
        f"peak {sampler.peak_bytes / 1e6:.0f} MB, {(sampler.peak_bytes - loaded_bytes) / 1e6:.0f} MB above the model",
        flush=True,
    )
    return first_s


if __name__ == "__main__":
    main()
