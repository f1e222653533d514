"""`python -m ifw.benchmark` is `ifw bench` where only torch, numpy, safetensors and tokenizers are installed."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from ifw.benchmark.options import SCENARIOS, BenchmarkOptions
from ifw.benchmark.results import write_results
from ifw.benchmark.run import run_benchmark
from ifw.benchmark.tables import page


def main() -> None:
    """Measure, write the results, print the tables."""
    defaults = BenchmarkOptions()
    parser = argparse.ArgumentParser(prog="python -m ifw.benchmark", description=__doc__)
    parser.add_argument("--scenario", nargs="+", default=["engine"], choices=SCENARIOS)
    parser.add_argument("--models", nargs="+", default=list(defaults.models))
    parser.add_argument("--engines", nargs="+", default=[])
    parser.add_argument("--batches", nargs="+", type=int, default=list(defaults.batches))
    parser.add_argument("--threads", type=int, default=defaults.default_threads())
    parser.add_argument("--windows", type=int, default=defaults.n_windows)
    parser.add_argument("--tokens", type=int, default=defaults.n_tokens)
    parser.add_argument("--rounds", type=int, default=defaults.n_rounds)
    parser.add_argument("--budget-s", type=float, default=defaults.budget_s)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--passive", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output-dir", type=Path, default=Path("build/bench/results"))
    parser.add_argument("--name", help="of the results; left out: the device")
    arguments = parser.parse_args()
    options = BenchmarkOptions(
        scenarios=tuple(arguments.scenario),
        models=tuple(arguments.models),
        engines=tuple(arguments.engines),
        batches=tuple(arguments.batches),
        n_threads=arguments.threads,
        n_tokens=arguments.tokens,
        n_windows=arguments.windows,
        n_rounds=arguments.rounds,
        budget_s=arguments.budget_s,
        device=arguments.device,
        is_passive=arguments.passive,
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
