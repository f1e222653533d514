"""`python -m ifw.benchmark` is `ifw bench` where only torch, numpy, safetensors and tokenizers are installed."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from ifw.benchmark.options import BenchmarkOptions, parse_batches, parse_names
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
    defaults = BenchmarkOptions()
    parser = argparse.ArgumentParser(prog="python -m ifw.benchmark", description=__doc__)
    parser.add_argument("--scenario", type=parse_names, default=defaults.scenarios, help="names, with commas between")
    parser.add_argument("--models", type=parse_names, default=defaults.models)
    parser.add_argument("--engines", type=parse_names, default=defaults.engines)
    parser.add_argument("--batches", type=parse_batches, default=defaults.batches, help="numbers, with commas between")
    parser.add_argument("--threads", type=int, default=0, help="0: half of the processors")
    parser.add_argument("--windows", type=int, default=defaults.n_windows)
    parser.add_argument("--tokens", type=int, default=defaults.n_tokens)
    parser.add_argument("--rounds", type=int, default=defaults.n_rounds)
    parser.add_argument("--budget-s", type=float, default=defaults.budget_s)
    parser.add_argument("--wait-s", type=float, default=defaults.wait_s)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--passive", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output-dir", type=Path, default=Path("build/bench/results"))
    parser.add_argument("--peers-dir", type=Path, default=defaults.peers_dir)
    parser.add_argument("--name", help="of the results; left out: the device")
    arguments = parser.parse_args()
    options = BenchmarkOptions(
        scenarios=arguments.scenario,
        models=arguments.models,
        engines=arguments.engines,
        batches=arguments.batches,
        n_threads=arguments.threads or defaults.default_threads(),
        n_tokens=arguments.tokens,
        n_windows=arguments.windows,
        n_rounds=arguments.rounds,
        budget_s=arguments.budget_s,
        wait_s=arguments.wait_s,
        device=arguments.device,
        is_passive=arguments.passive,
        peers_dir=arguments.peers_dir,
    )
    command = shlex.join(["python", "-m", "ifw.benchmark", *sys.argv[1:]])
    results = run_benchmark(options.quick() if arguments.quick else options, _note, command)
    text = page(results)
    write_results(results, text, arguments.output_dir, arguments.name or results["options"]["device"])
    sys.stdout.write(text)


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
