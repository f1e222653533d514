"""`ifw bench`: how fast the engine is on this machine, beside other engines that are installed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from ifw.benchmark.options import default_flags, options_of
from ifw.cli import flags
from ifw.cli.ending import ending
from ifw.cli.exit_status import SUCCESS
from ifw.cli.interrupt import interruptible
from ifw.cli.report import Report
from ifw.errors import OutputError

Scenario = Annotated[
    str,
    typer.Option("--scenario", metavar="NAMES", help="What is measured, with commas between; see docs/benchmark.md."),
]
Models = Annotated[
    str,
    typer.Option("--models", metavar="NAMES", help="Architectures, with commas between: base,small,turbo,large-v3."),
]
Engines = Annotated[
    str,
    typer.Option(
        "--engines",
        metavar="NAMES",
        help="Engines, with commas between: ifw,faster-whisper,openvino,transformers,openai-whisper,"
        "pyannote-audio. Left out: all that 'make peers' installed, or that this Python can import.",
        show_default=False,
    ),
]
Switches = Annotated[
    str,
    typer.Option(
        "--switches",
        metavar="NAMES",
        help="Switches of ours that get a row each, with commas between: cross-kv-int8,cross-kv-float8,encoder-int8,"
        "encoder-float8,steps-static,draft.",
        show_default=False,
    ),
]
Threads = Annotated[
    int, typer.Option("--threads", min=0, help="Threads and processors of every engine; 0: half of the processors.")
]
Batches = Annotated[str, typer.Option("--batches", metavar="N,N,...", help="Windows decoded together that are tried.")]
Tokens = Annotated[int, typer.Option("--tokens", help="Tokens that every window is made to have.")]
Windows = Annotated[int, typer.Option("--windows", help="Windows of a pass at least; whole batches are made of them.")]
Rounds = Annotated[int, typer.Option("--rounds", help="Rounds there and back (A B C C B A); two passes each.")]
Budget = Annotated[
    float, typer.Option("--budget-s", help="When a model has taken so many seconds, no further round is begun.")
]
Wait = Annotated[float, typer.Option("--wait-s", help="How long a pass waits for others to leave its processors.")]
Passive = Annotated[
    bool,
    typer.Option(
        "--passive", help="Threads that wait sleep, in every engine: for busy machines, where those that spin stop all."
    ),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="Show that everything works, in seconds; the figures mean nothing.")
]
OutputDir = Annotated[Path, typer.Option("--output-dir", "-o", metavar="DIR", help="NAME.json and NAME.md go here.")]
Name = Annotated[str | None, typer.Option("--name", help="Of the results. Left out: cpu or cuda.", show_default=False)]
PeersDir = Annotated[Path, typer.Option("--peers-dir", metavar="DIR", help="The drivers of other engines.")]


_DEFAULTS: Final = default_flags()


def bench(
    *,
    scenario: Scenario = _DEFAULTS["scenario"],
    models: Models = _DEFAULTS["models"],
    engines: Engines = _DEFAULTS["engines"],
    switches: Switches = _DEFAULTS["switches"],
    threads: Threads = _DEFAULTS["threads"],
    batches: Batches = _DEFAULTS["batches"],
    tokens: Tokens = _DEFAULTS["tokens"],
    windows: Windows = _DEFAULTS["windows"],
    rounds: Rounds = _DEFAULTS["rounds"],
    budget_s: Budget = _DEFAULTS["budget_s"],
    wait_s: Wait = _DEFAULTS["wait_s"],
    device: flags.Device = "auto",
    passive: Passive = _DEFAULTS["passive"],
    quick: Quick = _DEFAULTS["quick"],
    output_dir: OutputDir = Path("build/bench/results"),
    name: Name = None,
    peers_dir: PeersDir = _DEFAULTS["peers_dir"],
    quiet: flags.Quiet = False,
) -> None:
    """Measure the engine beside others: the same random weights, windows and numbers of tokens, in turn."""
    report = Report(quiet=quiet)
    with ending(report):
        from ifw.benchmark.results import write_results
        from ifw.benchmark.run import run_benchmark
        from ifw.benchmark.tables import page

        options = options_of(
            {
                "scenario": scenario,
                "models": models,
                "engines": engines,
                "switches": switches,
                "batches": batches,
                "threads": threads,
                "windows": windows,
                "tokens": tokens,
                "rounds": rounds,
                "budget_s": budget_s,
                "wait_s": wait_s,
                "device": device,
                "passive": passive,
                "quick": quick,
                "peers_dir": peers_dir,
            }
        )
        with interruptible():
            results = run_benchmark(options, report.note, shlex.join(["ifw", *sys.argv[1:]]))
        text = page(results)
        try:
            written = write_results(results, text, output_dir, name or results["options"]["device"])
        except OSError as error:
            raise OutputError(f"cannot write to {output_dir}: {error.strerror or error}") from error
        report.print_output(text)
        for path in written:
            report.note(f"wrote {path}")
    raise typer.Exit(SUCCESS)
