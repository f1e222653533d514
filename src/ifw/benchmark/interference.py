"""How much of the processors others used while something was measured. Linux only: elsewhere nothing is known."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_FOREIGN: Final = 0.06  # of the processors' time; a pass with more is disturbed
_IDLE: Final = 0.05
_LOOK_S: Final = 0.25
_BUSY_FIELDS: Final = (0, 1, 2, 5, 6, 7)  # of /proc/stat: user, nice, system, irq, softirq, steal


def processors(n_threads: int) -> tuple[int, ...]:
    """The last so many processors that this process may use: the first ones have most of the interrupts.

    Args:
        n_threads: How many.

    Returns:
        Their numbers; none where processes cannot be bound to processors.
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0))[-n_threads:])


def busy_s(cpus: Collection[int]) -> float | None:
    """Seconds that these processors have worked since the system started; None where the system does not tell."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return parse_busy_s(lines, cpus, os.sysconf("SC_CLK_TCK"))


def parse_busy_s(lines: list[str], cpus: Collection[int], ticks_per_s: int) -> float:
    """The same from the lines of `/proc/stat`."""
    names = {f"cpu{cpu}" for cpu in cpus}
    ticks = 0
    for line in lines:
        name, *fields = line.split()
        if name in names:
            ticks += sum(int(fields[index]) for index in _BUSY_FIELDS if index < len(fields))
    return ticks / ticks_per_s


def tree_s(pid: int) -> float:
    """Processor seconds of a process, its children, and those of its children that have ended."""
    children: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        one = int(path.parent.name)
        children.setdefault(int(fields[1]), []).append(one)
        spent[one] = sum(map(int, fields[11:15]))  # utime, stime, and those of children that were waited for
    total, left = 0, [pid]
    while left:
        one = left.pop()
        total += spent.get(one, 0)
        left += children.get(one, [])
    return total / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a `Watch` found.

    Attributes:
        share: Of the processors' time, how much others used; None where it is not known.
        own_s: Processor seconds of the process and its children; None where it is not known.
        load: Load average of a minute at the end; None where the system has none.
    """

    share: float | None = None
    own_s: float | None = None
    load: float | None = None

    @property
    def is_disturbed(self) -> bool:
        """Whether what was measured meanwhile is to be left out."""
        return self.share is not None and self.share > MAX_FOREIGN


class Watch:
    """Sees what others than a process and its children do on some processors, from when it is made until `end`.

    Args:
        cpus: The processors that the process is bound to.
        pid: The process; None where it starts later, so that all of its work counts as its own.
    """

    def __init__(self, cpus: Collection[int], pid: int | None = None) -> None:
        self._cpus = cpus
        self._busy_s, self._own_s = busy_s(cpus), 0.0 if pid is None else tree_s(pid)
        self._started = time.perf_counter()

    def end(self, pid: int) -> Foreign:
        """What has happened since.

        Args:
            pid: The process, which nobody has waited for yet.
        """
        wall_s = time.perf_counter() - self._started
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        now_s = busy_s(self._cpus)
        if self._busy_s is None or now_s is None:
            return Foreign(load=load)
        own_s = tree_s(pid) - self._own_s
        if not self._cpus or wall_s <= 0:
            return Foreign(own_s=own_s, load=load)
        share = max(0.0, (now_s - self._busy_s - own_s) / (wall_s * len(self._cpus)))
        return Foreign(share, own_s, load)


def wait_until_idle(cpus: Collection[int], limit_s: float) -> bool:
    """Wait until others leave some processors alone.

    Args:
        cpus: The processors.
        limit_s: Wait no longer than this.

    Returns:
        Whether they are idle; True where the system does not tell.
    """
    deadline = time.monotonic() + limit_s
    while True:
        before, started = busy_s(cpus), time.perf_counter()
        if before is None or not cpus:
            return True
        time.sleep(_LOOK_S)
        after = busy_s(cpus)
        assert after is not None
        if after - before <= _IDLE * len(cpus) * (time.perf_counter() - started):
            return True
        if time.monotonic() >= deadline:
            return False
