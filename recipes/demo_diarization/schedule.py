"""How long training goes on, how fast, and in which order it sees its data."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_STARTED = time.monotonic()


@dataclass(frozen=True, slots=True)
class Schedule:
    """A warm-up, then a cosine that falls to nearly nothing, and perhaps another one from half the height.

    Attributes:
        n_steps: Steps in all.
        seed: Of the weights and the order.
        n_warm_up: Steps of the warm-up.
        second_from: The step where the second cosine begins; None for one alone.
    """

    n_steps: int
    seed: int
    n_warm_up: int = 150
    second_from: int | None = None

    def share(self, step: int) -> float:
        """The learning rate of a step, as a share of the highest."""
        if step < self.n_warm_up:
            return (step + 1) / self.n_warm_up
        first, last, height = self.n_warm_up, self.second_from or self.n_steps, 1.0
        if step >= last:
            first, last, height = last, self.n_steps, 0.5
        return height * (0.002 + 0.998 * 0.5 * (1 + math.cos(math.pi * (step - first) / max(1, last - first))))

    def is_stop(self, step: int, distance: int) -> bool:
        """Whether a step is the last of so many, or the last of all."""
        return step % distance == distance - 1 or step == self.n_steps - 1

    def batches(self, n_rows: int, size: int, first: int = 0) -> Iterator[tuple[int, list[int]]]:
        """The steps from `first` on and their rows: all rows once before any comes again."""
        rng = np.random.default_rng([self.seed, n_rows])
        waiting: list[int] = []
        for step in range(self.n_steps):
            if len(waiting) < size:
                waiting = rng.permutation(n_rows).tolist()
            rows = [waiting.pop() for _ in range(size)]
            if step >= first:
                yield step, rows


def report(what: str, step: int, schedule: Schedule, how: str) -> None:
    """Print how it goes."""
    minutes = (time.monotonic() - _STARTED) / 60
    print(f"{what} {step}/{schedule.n_steps}, {minutes:.1f} min: {how}", flush=True)
