"""What one worker process is told to decode."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Slicing:
    """When and how a file is cut into time slices that are decoded side by side.

    Attributes:
        slice_s: Whole seconds a slice, so that every slice starts on a sample of both rates.
        min_duration_s: Shorter audio is decoded by one worker from start to end.
    """

    slice_s: int = 60
    min_duration_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """One worker's share of a file.

    Attributes:
        index: The worker decodes slices `index`, `index + n_workers`, ...
        n_workers: Workers in all.
        slicing: The same for all workers, so that all of them draw the same slices; None decodes from start to end.
        skip_samples: Samples at 16 kHz that were delivered before; a decode from start to end drops them.
        clip: Stretches to decode, in seconds; none means all. They are decoded by one worker.
        is_split: Samples of all channels, interleaved, and not their mix.
    """

    index: int = 0
    n_workers: int = 1
    slicing: Slicing | None = None
    skip_samples: int = 0
    clip: tuple[tuple[float, float | None], ...] = ()
    is_split: bool = False

    def to_json(self) -> str:
        """Write the assignment as one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Assignment:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        slicing = values.pop("slicing")
        clip = tuple((start_s, end_s) for start_s, end_s in values.pop("clip"))
        return cls(slicing=None if slicing is None else Slicing(**slicing), clip=clip, **values)
