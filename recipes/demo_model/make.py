"""Command line of the recipe: one sub-command per stage, and ``all`` for the whole."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch

from .corpus import TEST_POOL, VALIDATION_POOL, synthesise, training_pools
from .evalset import write_evaluation_set
from .evaluation import evaluate, table
from .export import export
from .fixtures import write_fixtures
from .sample import write_sample
from .tokens import build_tokenizer
from .training import TrainingOptions, train

_DEMO_FOLDER = Path("src/ifw/demo")
_FIXTURES_FOLDER = Path("tests/end_to_end/heldout")


def _synthesise(options: argparse.Namespace) -> None:
    specs = [*training_pools(options.utterances), VALIDATION_POOL, TEST_POOL]
    synthesise(options.work_dir / "speech", specs, options.processes)


def _tokenizer(options: argparse.Namespace) -> None:
    build_tokenizer(options.work_dir / "tokenizer")


def _train(options: argparse.Namespace) -> None:
    train(
        TrainingOptions(
            work_dir=options.work_dir,
            audio_hours=options.audio_hours,
            processes=options.processes,
            seed=options.seed,
            max_steps=options.max_steps,
        )
    )


def _export(options: argparse.Namespace) -> None:
    progress = export(
        options.work_dir, options.checkpoint, averaged=not options.last_weights, earlier=options.earlier_state
    )
    print(f"{options.checkpoint}: {progress}")


def _evalset(options: argparse.Namespace) -> None:
    pool = VALIDATION_POOL if options.validation else TEST_POOL
    folder = options.evalset_dir or options.work_dir / f"evalset-{pool.name}"
    speech = options.work_dir / "speech"
    synthesise(speech, [pool], processes=1)
    write_evaluation_set(speech, folder, pool=pool, seed=options.seed)


def _fixtures(options: argparse.Namespace) -> None:
    write_fixtures(options.evalset_dir or options.work_dir / f"evalset-{TEST_POOL.name}", _FIXTURES_FOLDER)


def _evaluate(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    pool = VALIDATION_POOL if options.validation else TEST_POOL
    folder = options.evalset_dir or options.work_dir / f"evalset-{pool.name}"
    rows = evaluate(options.checkpoint, folder, options.limit)
    report = json.dumps(rows, indent=1, ensure_ascii=False)
    (options.work_dir / f"evaluation-{pool.name}.json").write_text(report, encoding="utf-8")
    print(table(rows))


def _sample(options: argparse.Namespace) -> None:
    print(f"{write_sample(options.checkpoint):.1f} s")


_STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    "synthesise": _synthesise,
    "tokenizer": _tokenizer,
    "train": _train,
    "export": _export,
    "sample": _sample,
    "evalset": _evalset,
    "fixtures": _fixtures,
    "evaluate": _evaluate,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recipes.demo_model", description=__doc__)
    parser.add_argument("stage", choices=[*_STAGES, "all"])
    parser.add_argument("--work-dir", type=Path, default=Path("build/demo_model"))
    parser.add_argument("--checkpoint", type=Path, default=_DEMO_FOLDER, help="folder to export to and to measure")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--utterances", type=int, default=90000, help="size of the training pools")
    parser.add_argument(
        "--audio-hours",
        type=float,
        default=640.0,
        help="length of the training schedule; may be changed when training goes on",
    )
    parser.add_argument("--max-steps", type=int, help="stop training after this many steps")
    parser.add_argument("--last-weights", action="store_true", help="export the last weights, not their average")
    parser.add_argument("--earlier-state", type=Path, help="export the mean with this earlier copy of state.pt")
    parser.add_argument("--evalset-dir", type=Path, help="default: a folder in the working folder")
    parser.add_argument("--validation", action="store_true", help="seen sentences and voices, to compare runs")
    parser.add_argument("--limit", type=int, help="evaluate this many files per kind")
    parser.add_argument("--threads", type=int, help="threads of the evaluation")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Runs one stage of the recipe, or all of them in order."""
    options = _parser().parse_args(arguments)
    stages = list(_STAGES) if options.stage == "all" else [options.stage]
    for stage in stages:
        print(f"== {stage}", flush=True)
        _STAGES[stage](options)


if __name__ == "__main__":
    main()
