"""What each row never produces, as masks that stay where they are."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from ifw.engine.device import upload

_MAX_KEPT_LISTS: Final = 16


class SuppressMasks:
    """One mask a slot.

    Args:
        n_slots: Rows.
        n_vocab: Tokens.
        device: Where they are.

    Attributes:
        rows: [S, V] bool, true where a token is never chosen.
    """

    def __init__(self, n_slots: int, n_vocab: int, device: torch.device) -> None:
        self.rows = torch.zeros(n_slots, n_vocab, dtype=torch.bool, device=device)
        self._lists: dict[tuple[int, ...], Tensor] = {}

    def set(self, slot: int, ids: tuple[int, ...]) -> None:
        """Say what a row never produces."""
        mask = self._lists.get(ids)
        if mask is None:
            if len(self._lists) >= _MAX_KEPT_LISTS:
                self._lists.clear()
            mask = torch.zeros_like(self.rows[0])
            self._lists[ids] = mask.index_fill_(0, upload(ids, mask.device), True)
        self.rows[slot] = mask
