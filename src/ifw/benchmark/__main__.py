"""`python -m ifw.benchmark` is `ifw bench` where only torch, numpy, safetensors and tokenizers are installed."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import cast

from ifw.benchmark.options import Flags, default_flags, options_of
from ifw.benchmark.results import write_results
from ifw.benchmark.run import run_benchmark
from ifw.benchmark.tables import page
from ifw.errors import IfwError


def main() -> None:
    """Run, and end with one line where something is not allowed or has failed."""
    try:
        _run()
    except IfwError as error:
        sys.exit(f"error: {error}")


def _run() -> None:
    """Measure, write the results, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m ifw.benchmark", description=__doc__)
    parser.add_argument("--scenario", help="names, with commas between")
    parser.add_argument("--models")
    parser.add_argument("--engines")
    parser.add_argument("--switches")
    parser.add_argument("--batches", help="numbers, with commas between")
    parser.add_argument("--threads", type=int, help="0: half of the processors")
    for name in ("--windows", "--tokens", "--rounds"):
        parser.add_argument(name, type=int)
    for name in ("--budget-s", "--wait-s"):
        parser.add_argument(name, type=float)
    parser.add_argument("--device")
    parser.add_argument("--passive", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers-dir", type=Path)
    parser.set_defaults(**default_flags())
    parser.add_argument("--output-dir", type=Path, default=Path("build/bench/results"))
    parser.add_argument("--name", help="of the results; left out: the device")
    arguments = parser.parse_args()
    options = options_of(cast("Flags", vars(arguments)))
    command = shlex.join(["python", "-m", "ifw.benchmark", *sys.argv[1:]])
    results = run_benchmark(options, _note, command)
    text = page(results)
    write_results(results, text, arguments.output_dir, arguments.name or results["options"]["device"])
    sys.stdout.write(text)


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
