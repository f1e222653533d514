"""What the scenario `engine` found out about the set-ups of a model, for the scenarios that come after it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ifw.benchmark.engines import OWN, Setup


@dataclass(frozen=True, slots=True)
class Tuned:
    """How fast a set-up is with the batch that suits it.

    Attributes:
        window_s: Seconds a window.
        batch: Windows decoded together.
    """

    window_s: float
    batch: int


@dataclass(frozen=True, slots=True)
class Tuning:
    """The batches that suit the set-ups of a model; of none where the scenario `engine` was not run.

    Attributes:
        found: What was found, by the label of the set-up.
    """

    found: Mapping[str, Tuned] = field(default_factory=dict)

    def batch(self, setup: Setup, default: int) -> int:
        """The batch that suits a set-up; a default where nothing was found."""
        return self.found[setup.label].batch if setup.label in self.found else default

    def window_s(self, setup: Setup) -> float:
        """Seconds a window of a set-up with the batch that suits it; infinite where nothing was found."""
        return self.found[setup.label].window_s if setup.label in self.found else math.inf

    def fastest(self, chosen: Sequence[Setup]) -> list[Setup]:
        """The fastest of each engine, ours in every precision; all of an engine of which nothing was found."""
        return [
            setup
            for setup in chosen
            if setup.engine == OWN
            or self.window_s(setup) == min(self.window_s(one) for one in chosen if one.engine == setup.engine)
        ]

    def record(self) -> dict[str, dict[str, Any]]:
        """For the results."""
        return {label: {"ms_a_window": 1e3 * one.window_s, "batch": one.batch} for label, one in self.found.items()}
