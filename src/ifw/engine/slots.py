"""Which cache rows are free."""

from __future__ import annotations

import heapq


class SlotPool:
    """Hands out the lowest free slot, so that occupied slots stay close together at the bottom of the cache."""

    def __init__(self, n_slots: int) -> None:
        assert n_slots >= 1
        self.n_slots = n_slots
        self._free = list(range(n_slots))  # a heap
        self._occupied: set[int] = set()

    @property
    def n_free(self) -> int:
        """Slots that `acquire` can still hand out."""
        return len(self._free)

    @property
    def occupied(self) -> frozenset[int]:
        """Slots in use."""
        return frozenset(self._occupied)

    def acquire(self) -> int:
        """Take the lowest free slot; there must be one."""
        assert self._free, "no slot is free"
        slot = heapq.heappop(self._free)
        self._occupied.add(slot)
        return slot

    def release(self, slot: int) -> None:
        """Give a slot back; it must be in use."""
        assert slot in self._occupied, f"slot {slot} is not in use"
        self._occupied.remove(slot)
        heapq.heappush(self._free, slot)
