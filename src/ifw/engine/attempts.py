"""The attempts that may be made at a window, in their order: one each until a guard is content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ifw.config import DecodeOptions

AttemptKind = Literal["sample", "beam"]


@dataclass(frozen=True, slots=True)
class AttemptOptions:
    """How an attempt is made.

    Attributes:
        kind: `sample` draws every hypothesis on its own (at temperature 0 it is greedy), `beam` searches.
        n_hypotheses: Grown side by side.
        temperature: Of the sampler.
    """

    kind: AttemptKind
    n_hypotheses: int
    temperature: float

    @property
    def is_single(self) -> bool:
        """Whether it is one hypothesis, which grows in the window's own slot; several need the search workspace."""
        return self.n_hypotheses == 1


def attempt_ladder(options: DecodeOptions) -> tuple[AttemptOptions, ...]:
    """The ladder: greedy and then a beam search at temperature 0, `best_of` samples at each temperature above it.

    A beam of one hypothesis is greedy decoding, so it is no attempt of its own.
    """
    ladder: list[AttemptOptions] = []
    for temperature in options.temperatures:
        if temperature > 0:
            ladder.append(AttemptOptions("sample", options.best_of, temperature))
            continue
        ladder.append(AttemptOptions("sample", 1, temperature))
        if options.beam_size is not None and options.beam_size > 1:
            ladder.append(AttemptOptions("beam", options.beam_size, temperature))
    return tuple(ladder)
