"""Passes in turn, there and back, and what they come to."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

AA_RANGE: Final = (0.97, 1.03)  # in which a set-up must be to itself for a run to be trusted
_MIN_CLEAN: Final = 2


@dataclass(frozen=True, slots=True)
class Pass:
    """One measured run of one contender.

    Attributes:
        wall_s: Seconds.
        cpu_s: Processor seconds of the engine's process and its children.
        stages: Stage to seconds, of the stages that the engine tells apart.
        foreign: Share of the processors' time that others used; None where it is not known.
        is_disturbed: Others used too much.
        load: Load average at its end.
        began_idle: The processors were idle when it began; otherwise it did not wait longer for them.
        detail: What else was found.
    """

    wall_s: float
    cpu_s: float
    stages: dict[str, float] = field(default_factory=dict)
    foreign: float | None = None
    is_disturbed: bool = False
    load: float | None = None
    began_idle: bool = True
    detail: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """What the results say about it."""
        return {key: value for key, value in asdict(self).items() if key not in {"detail", "stages"}}


@dataclass(frozen=True, slots=True)
class Summary:
    """What the passes of one contender come to: those that were not disturbed, or all where too few are left.

    Attributes:
        wall_s: Median.
        low_s: Least.
        high_s: Most.
        cpu_s: Median of the processor seconds.
        stages: Medians.
        n_passes: Passes that were made.
        n_disturbed: Of them disturbed.
        is_disturbed: Too few passes were undisturbed, fewer than two of several, so disturbed ones are in the figures.
        counted: The passes that the figures are of.
    """

    wall_s: float
    low_s: float
    high_s: float
    cpu_s: float
    stages: dict[str, float]
    n_passes: int
    n_disturbed: int
    is_disturbed: bool
    counted: tuple[Pass, ...]

    def figures(self) -> dict[str, Any]:
        """All but the passes, for the results."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "counted"}


@dataclass(frozen=True, slots=True)
class Contender:
    """What takes its turn.

    Attributes:
        name: Unique in its scenario.
        run: Makes a pass.
        earlier: A pass that counts already, of a contender so far behind that two do (`decoding_scenarios` says who):
            it takes part on the way back of the first round only. Where time is up before that, one pass has to do:
            this one, or another in its place where this one was disturbed.
    """

    name: str
    run: Callable[[], Pass]
    earlier: Pass | None = None


def alternate(contenders: Sequence[Contender], n_rounds: int, deadline: float) -> dict[str, list[Pass]]:
    """Let contenders make passes in turn, A B C C B A: a machine that slows down meanwhile slows all of them alike.

    Args:
        contenders: Each is warm.
        n_rounds: Rounds there and back, two passes each.
        deadline: Of `time.monotonic`: no further round is begun after it, but those that are not far behind make the
            first one always.

    Returns:
        Name to passes, in their order.
    """
    passes = {one.name: [] if one.earlier is None else [one.earlier] for one in contenders}
    precise = [one for one in contenders if one.earlier is None]
    for index in range(n_rounds):
        is_late = time.monotonic() >= deadline
        if index and is_late:
            break
        needed = [one for one in contenders if one.earlier is None or one.earlier.is_disturbed or not is_late]
        for contender in (*precise, *reversed(precise if index else needed)):
            if is_late and contender.earlier is not None:
                passes[contender.name].clear()  # it was disturbed, and one pass has to do
            passes[contender.name].append(contender.run())
    return passes


def summarise(passes: Sequence[Pass]) -> Summary:
    """Medians and ranges.

    Args:
        passes: At least one.

    Returns:
        The summary.
    """
    clean = [one for one in passes if not one.is_disturbed]
    is_disturbed = len(clean) < min(_MIN_CLEAN, len(passes))
    counted = passes if is_disturbed else clean
    walls = [one.wall_s for one in counted]
    stages = {
        stage: statistics.median(one.stages[stage] for one in counted if stage in one.stages)
        for stage in counted[0].stages
    }
    return Summary(
        wall_s=statistics.median(walls),
        low_s=min(walls),
        high_s=max(walls),
        cpu_s=statistics.median(one.cpu_s for one in counted),
        stages=stages,
        n_passes=len(passes),
        n_disturbed=sum(one.is_disturbed for one in passes),
        is_disturbed=is_disturbed,
        counted=tuple(counted),
    )
