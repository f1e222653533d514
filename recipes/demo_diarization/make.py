"""Command line of the recipe: one sub-command per stage, and ``all`` for the whole."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ifw.diarize.plda import Plda

from .chunks import CALIBRATION_SET, TRAINING_SETS, render, stretch_specs
from .embedding_training import train_embedding
from .evaluation import evaluate, table
from .export import export_networks, write_config
from .fixtures import write_fixtures
from .plda import fit_plda
from .sample import write_sample
from .schedule import Schedule
from .segmentation_training import train_segmentation
from .speech import TRAINING_POOLS, VARIANTS_FOLDER, Corpus, pools, synthesise
from .team import run_as_team
from .testset import draw_set
from .tuning import choose_settings, hear, known_embeddings, load_listener
from .voices import Voice, traits

_SEED_OF_SETS = {"validation": 21, "test": 22}
_FIXTURES_FOLDER = Path("tests/diarize/heldout")


def _synthesise(options: argparse.Namespace) -> None:
    synthesise(options.work_dir / "speech", pools(options.seed, options.per_voice), options.seed, options.processes)


def _render(options: argparse.Namespace) -> None:
    specs = stretch_specs(options.seed, options.conversations)
    render(options.work_dir / "speech", options.work_dir / "chunks", specs, options.processes)


def _segmentation(options: argparse.Namespace) -> None:
    job = partial(
        train_segmentation,
        [traits(voice, options.work_dir / "speech" / VARIANTS_FOLDER) for voice in _training_voices(options)],
        options.work_dir / "chunks",
        TRAINING_SETS,
        output=options.work_dir / "segmentation.pt",
        schedule=Schedule(options.segmentation_steps, options.seed),
    )
    run_as_team(job, options.processes)


def _embedding(options: argparse.Namespace) -> None:
    voices = _training_voices(options)
    job = partial(
        train_embedding,
        voices,
        [traits(voice, options.work_dir / "speech" / VARIANTS_FOLDER) for voice in voices],
        options.work_dir / "chunks",
        TRAINING_SETS,
        output=options.work_dir / "embedding.pt",
        schedule=Schedule(options.embedding_steps, options.seed),
    )
    run_as_team(job, options.processes)


def _training_voices(options: argparse.Namespace) -> list[Voice]:
    return Corpus(options.work_dir / "speech", TRAINING_POOLS).voices


def _export(options: argparse.Namespace) -> None:
    segmentation, embedding = (torch.load(options.work_dir / f"{name}.pt") for name in ("segmentation", "embedding"))
    export_networks(segmentation, embedding, options.out)


def _fit(options: argparse.Namespace) -> None:
    listener = load_listener(options.out)
    # Of voices that the network has learned by heart one would believe that a voice hardly varies.
    embeddings, voices = known_embeddings(listener, options.work_dir / "chunks", CALIBRATION_SET, options.plda_chunks)
    fit_plda(embeddings, voices, options.plda_width).write(options.out / "plda")
    corpus = Corpus(options.work_dir / "speech", ["validation"])
    heard = [hear(listener, one) for one in draw_set(corpus, options.validation_each, _SEED_OF_SETS["validation"])]
    settings, rate, lines = choose_settings(listener, heard, Plda(options.out / "plda"))
    (options.work_dir / "settings.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{settings}: {rate:.1%}")
    write_config(options.out, settings, 0.0)


def _evaluate(options: argparse.Namespace) -> None:
    corpus = Corpus(options.work_dir / "speech", [options.pool])
    rows = evaluate(options.out, draw_set(corpus, options.test_each, _SEED_OF_SETS[options.pool]))
    print(table(rows))


def _sample(options: argparse.Namespace) -> None:
    print(json.dumps(write_sample(options.out, options.seed)))


def _fixtures(options: argparse.Namespace) -> None:
    print(*write_fixtures(Corpus(options.work_dir / "speech", ["test"]), _FIXTURES_FOLDER))


_STAGES: dict[str, Callable[[argparse.Namespace], None]] = {
    "synthesise": _synthesise,
    "render": _render,
    "segmentation": _segmentation,
    "embedding": _embedding,
    "export": _export,
    "fit": _fit,
    "evaluate": _evaluate,
    "sample": _sample,
    "fixtures": _fixtures,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recipes.demo_diarization", description=__doc__)
    parser.add_argument("stage", choices=[*_STAGES, "all"])
    parser.add_argument("--out", type=Path, default=Path("src/ifw/demo_diarizer"), help="folder to export to")
    parser.add_argument("--work-dir", type=Path, default=Path("build/demo_diarization"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=4, help="of synthesis, rendering and training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--per-voice", type=int, default=12, help="utterances of each training voice")
    parser.add_argument("--conversations", type=int, default=9000, help="two chunks of ten seconds each")
    parser.add_argument("--segmentation-steps", type=int, default=3000)
    parser.add_argument("--embedding-steps", type=int, default=3000)
    parser.add_argument("--plda-chunks", type=int, default=3000)
    parser.add_argument("--plda-width", type=int, default=64)
    parser.add_argument(
        "--validation-each", type=int, default=8, help="conversations of each kind to choose settings by"
    )
    parser.add_argument("--test-each", type=int, default=20, help="conversations of each kind to measure with")
    parser.add_argument("--pool", choices=list(_SEED_OF_SETS), default="test", help="whose voices to measure with")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run one stage of the recipe, or all of them in order."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    stages = list(_STAGES) if options.stage == "all" else [options.stage]
    for stage in stages:
        print(f"== {stage}", flush=True)
        _STAGES[stage](options)


if __name__ == "__main__":
    main()
