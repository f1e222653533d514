"""How far a file has come, how fast, and how long it will still take: nothing is promised before it is known."""

from __future__ import annotations

from collections import deque
from typing import Final

from ifw.types import Progress, Stage

MEMORY_S: Final = 60.0  # wall seconds that the speed is measured over: what was faster before does not count
MIN_EVIDENCE_S: Final = 3.0
MIN_STEPS: Final = 3
_STAGE_NAMES: Final[dict[Stage, str]] = {"decode": "heard", "transcribe": "written", "diarize": "told apart"}


class Pace:
    """The progress of one file through its stages.

    The stages run side by side, so the slowest one decides when the file is done. Its speed is that of the last
    minute; a stage that stands still gets slower while one watches.
    """

    def __init__(self) -> None:
        self._steps: dict[Stage, deque[tuple[float, float]]] = {}  # (wall seconds, seconds of audio behind the stage)
        self._total_s: float | None = None

    def advance(self, progress: Progress, now_s: float) -> None:
        """Take a step.

        Args:
            progress: Of one stage.
            now_s: Wall clock.
        """
        self._total_s = progress.total_s
        steps = self._steps.setdefault(progress.stage, deque())
        if steps and progress.done_s <= steps[-1][1]:
            return
        steps.append((now_s, progress.done_s))
        while len(steps) > MIN_STEPS and now_s - steps[0][0] > MEMORY_S:
            steps.popleft()

    @property
    def done_s(self) -> float | None:
        """Seconds of audio behind all stages that make something of it; None before the text has begun."""
        if "transcribe" not in self._steps:
            return None
        return min(steps[-1][1] for stage, steps in self._steps.items() if stage != "decode")

    def left_s(self, now_s: float) -> float | None:
        """Wall seconds until the end; None without evidence of how fast every stage is."""
        if self._total_s is None or "transcribe" not in self._steps:
            return None
        longest_s = 0.0
        for steps in self._steps.values():
            audio_left_s = self._total_s - steps[-1][1]
            if audio_left_s <= 0:
                continue
            wall_s, audio_s = now_s - steps[0][0], steps[-1][1] - steps[0][1]
            if wall_s < MIN_EVIDENCE_S or len(steps) < MIN_STEPS:
                return None
            longest_s = max(longest_s, audio_left_s * wall_s / audio_s)
        return longest_s

    def written(self, now_s: float) -> str:
        """Say it in words: `12:30 heard, 10:00 written of 1:02:03, 3:20 left`."""
        done = ", ".join(
            f"{clock_of(self._steps[stage][-1][1])} {name}"
            for stage, name in _STAGE_NAMES.items()
            if stage in self._steps
        )
        total = "" if self._total_s is None else f" of {clock_of(self._total_s)}"
        left_s = self.left_s(now_s)
        return f"{done}{total}" + ("" if left_s is None else f", {clock_of(left_s)} left")


def arrived(n_bytes: int, total: int | None) -> str:
    """Say how far a download has come: `12.3 of 45.6 MB downloaded`."""
    of_all = "" if total is None else f" of {total / 1e6:.1f}"
    return f"{n_bytes / 1e6:.1f}{of_all} MB downloaded"


def clock_of(time_s: float) -> str:
    """Write a time as people do: `2:03`, `1:02:03`."""
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
