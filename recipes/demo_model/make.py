"""Command line of the recipe: one stage per sub-command."""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    """Runs one stage of the recipe, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage")
    parser.add_argument("--work-dir", type=Path, default=Path("build/demo_model"))
    parser.add_argument("--audio-hours", type=float, default=420.0)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-steps", type=int)
    options = parser.parse_args()
    if options.stage == "train":
        from recipes.demo_model.training import TrainingOptions, train

        train(
            TrainingOptions(
                options.work_dir,
                options.audio_hours,
                options.processes,
                options.seed,
                options.max_steps,
            )
        )


if __name__ == "__main__":
    main()
