"""Requests without a slot, in the order in which they get one."""

from __future__ import annotations

from collections.abc import Hashable

DEFAULT_MAX_BYPASSES = 15


class WaitingQueue:
    """Higher priority first; inside a priority the groups take turns; inside a group the oldest request first.

    Nothing starves: inside a priority every group has its turn, and after `max_bypasses` requests that were served
    while a lower priority waited, the oldest request of the lower priorities is served.
    """

    def __init__(self, max_bypasses: int = DEFAULT_MAX_BYPASSES) -> None:
        self._max_bypasses = max_bypasses
        self._n_bypasses = 0
        self._n_pushed = 0
        self._place: dict[str, tuple[int, Hashable]] = {}
        # priority -> group, in turn order -> request id, oldest first -> age rank
        self._levels: dict[int, dict[Hashable, dict[str, int]]] = {}

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._place

    def push(self, request_id: str, group: Hashable, priority: int) -> None:
        """Add a request; its group, where new, takes its turn after the others."""
        assert request_id not in self._place, f"request {request_id} is waiting already"
        self._levels.setdefault(priority, {}).setdefault(group, {})[request_id] = self._n_pushed
        self._place[request_id] = (priority, group)
        self._n_pushed += 1

    def pop(self) -> str:
        """Take the request whose turn it is; there must be one."""
        assert self._place, "nothing waits"
        priority = max(self._levels)
        if len(self._levels) > 1:
            self._n_bypasses += 1
            if self._n_bypasses > self._max_bypasses:
                self._n_bypasses = 0
                return self._take(self._oldest_below(priority))
        groups = self._levels[priority]
        group, requests = next(iter(groups.items()))
        request_id = self._take(next(iter(requests)))
        if requests:
            groups[group] = groups.pop(group)  # to the end of the turn order
        return request_id

    def remove(self, request_id: str) -> bool:
        """Take a request out of turn; False where it does not wait."""
        if request_id not in self._place:
            return False
        self._take(request_id)
        return True

    def _oldest_below(self, priority: int) -> str:
        heads = (
            next(iter(requests.items()))
            for level, groups in self._levels.items()
            if level < priority
            for requests in groups.values()
        )
        return min(heads, key=lambda head: head[1])[0]

    def _take(self, request_id: str) -> str:
        priority, group = self._place.pop(request_id)
        groups = self._levels[priority]
        del groups[group][request_id]
        if not groups[group]:
            del groups[group]
        if not groups:
            del self._levels[priority]
        return request_id
