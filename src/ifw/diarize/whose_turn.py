"""Whose turn a stretch of time is: one pass over stretches and turns, both in order of time."""

from __future__ import annotations

from collections.abc import Sequence

from ifw.types import SpeakerTurn


def hear_turns(
    stretches: Sequence[tuple[float, float]], turns: Sequence[SpeakerTurn], max_gap_s: float
) -> list[dict[str, float]]:
    """Find who is heard in each stretch, or else next to it.

    Args:
        stretches: (start_s, end_s) of each, in any order; they may overlap.
        turns: In any order; they may overlap.
        max_gap_s: A turn that is further away than this is not next to a stretch.

    Returns:
        For each stretch the seconds by speaker, whose turn begins first coming first. Where nobody is heard, all of it
        belongs to the nearest turn, of equals to the one that begins first; it is empty where none is near.
    """
    sweep = _Sweep(turns, max_gap_s)
    found: list[dict[str, float]] = [{} for _ in stretches]
    for index in sorted(range(len(stretches)), key=stretches.__getitem__):
        found[index] = sweep.heard_in(*stretches[index])
    return found


class _Sweep:
    """The turns around a stretch that only moves forward; a turn is known by its place among them, by start."""

    def __init__(self, turns: Sequence[SpeakerTurn], max_gap_s: float) -> None:
        self._turns = sorted(turns, key=lambda turn: (turn.start_s, turn.end_s, turn.speaker))
        self._max_gap_s = max_gap_s
        self._next = 0  # the first turn that has not been reached
        self._open: list[int] = []  # reached, and not over
        self._last_over: int | None = None  # of those that are over, the one that ended last

    def heard_in(self, start_s: float, end_s: float) -> dict[str, float]:
        """The seconds by speaker for a stretch that starts no earlier than the one before it."""
        self._move(start_s, end_s)
        overlap_s: dict[str, float] = {}
        for turn in (self._turns[index] for index in self._open):
            shared_s = min(end_s, turn.end_s) - max(start_s, turn.start_s)
            if shared_s > 0:
                overlap_s[turn.speaker] = overlap_s.get(turn.speaker, 0.0) + shared_s
        if overlap_s:
            return overlap_s
        nearest = self._nearest(start_s, end_s)
        return {} if nearest is None else {nearest: end_s - start_s}

    def _move(self, start_s: float, end_s: float) -> None:
        while self._next < len(self._turns) and self._turns[self._next].start_s < end_s:
            self._open.append(self._next)
            self._next += 1
        still_open = []
        for index in self._open:
            turn = self._turns[index]
            if turn.end_s > start_s:
                still_open.append(index)
            elif self._last_over is None or turn.end_s > self._turns[self._last_over].end_s:
                self._last_over = index
        self._open = still_open

    def _nearest(self, start_s: float, end_s: float) -> str | None:
        around = list(self._open)
        if self._last_over is not None:
            around.append(self._last_over)
        if self._next < len(self._turns):
            around.append(self._next)
        gaps = [(max(self._turns[i].start_s - end_s, start_s - self._turns[i].end_s, 0.0), i) for i in around]
        gap_s, index = min(gaps, default=(float("inf"), 0))
        return self._turns[index].speaker if gap_s <= self._max_gap_s else None
