"""How long a new process takes: `import ifw`, `ifw --help`, and the first text of the demo sample.

    python benchmarks/cold_start.py

Whole processes, medians of several runs after one that is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from importlib.resources import files

BARE = [sys.executable, "-c", "pass"]
IMPORT = [sys.executable, "-c", "import ifw"]
HELP = [sys.executable, "-m", "ifw", "--help"]
FIRST_TEXT = """
import sys
from ifw import Transcriber
with Transcriber("demo") as transcriber:
    next(transcriber.stream(sys.argv[1]))
"""


def wall_s(command: list[str]) -> float:
    """Seconds from the start of the process to its end."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    sample = str(files("ifw") / "demo" / "sample.mp3")
    rows = {
        "bare python": BARE,
        "import ifw": IMPORT,
        "ifw --help": HELP,
        "first text of the demo sample": [sys.executable, "-c", FIRST_TEXT, sample],
    }
    print("| process | median s | min s | max s |\n|---|---|---|---|")
    for name, command in rows.items():
        wall_s(command)
        times = [wall_s(command) for _ in range(arguments.runs)]
        print(f"| {name} | {statistics.median(times):.2f} | {min(times):.2f} | {max(times):.2f} |")


if __name__ == "__main__":
    main()
