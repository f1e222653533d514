"""Room for the hypotheses of one window at a time: self-attention rows beside the slots, and what is known about them.

The cross-attention keys and values of the window stay in its slot, where all of its hypotheses read them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ifw.engine.device import upload
from ifw.engine.rules import RowStart, RowStates
from ifw.engine.search import Move
from ifw.errors import EngineMemoryError
from ifw.model.dims import ModelDims
from ifw.model.memory import is_out_of_memory


class SearchWorkspace:
    """Rows for the hypotheses of a search, allocated once and used by one search after the other.

    Args:
        dims: Of the model.
        n_rows: R, hypotheses that there is room for.
        idle_token: What a row is fed that was never used.
        device: Of the model.
        dtype: Of the model.

    Raises:
        EngineMemoryError: The device has no room for them.

    Attributes:
        n_rows: R.
        n_live: Hypotheses that are grown now; theirs are the first rows.
        offset: Tokens of each live row that are in the cache.
    """

    def __init__(
        self, dims: ModelDims, n_rows: int, idle_token: int, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (dims.n_decoder_layers, 2, n_rows, dims.n_heads, dims.n_text_positions, dims.head_dim)
        try:
            self._self_kv = torch.zeros(shape, device=device, dtype=dtype)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise EngineMemoryError(
                f"beam_size, best_of: got {n_rows} hypotheses, more than the memory of {device} has room for; "
                "ask for fewer hypotheses, or for fewer slots (n_slots)"
            ) from error
        self._states = RowStates.allocate(n_rows, idle_token, device)
        self.n_rows = n_rows
        self.n_live = 0
        self.offset = 0
        self._n_shared = 0  # the first positions, which are the same in every row

    @property
    def self_kv(self) -> Tensor:
        """[L, 2, n_live, H, 448, Dh], the live rows."""
        return self._self_kv[:, :, : self.n_live]

    @property
    def states(self) -> RowStates:
        """Of the live rows."""
        return self._states.view(0, self.n_live)

    def begin(self, prefix_kv: Tensor, starts: Sequence[RowStart]) -> None:
        """Let a search begin.

        Args:
            prefix_kv: [L, 2, H, 448, Dh], the slot whose row has computed the prefix.
            starts: How the rows begin; all have the same prefix.
        """
        self._n_shared = self.offset = starts[0].n_prefix - 1
        self._self_kv[..., : self._n_shared, :] = prefix_kv[:, :, None, :, : self._n_shared]
        self.n_live = len(starts)
        for row, start in enumerate(starts):
            self._states.start(row, start)

    def move(self, moves: Sequence[Move], timestamp_begin: int) -> None:
        """Carry the rows over to the hypotheses that go on.

        Args:
            moves: One a row from now on.
            timestamp_begin: `<|0.00|>`.
        """
        device = self._self_kv.device
        moved = [(row, move.source) for row, move in enumerate(moves) if move.source != row]
        if moved:
            rows, sources = upload(moved, device).T
            fresh = self._self_kv[..., self._n_shared : self.offset, :]
            fresh[:, :, rows] = fresh[:, :, sources]
        sources, tokens = upload(moves, device).T
        self._states.gather(sources)
        self.n_live = len(moves)
        self.states.append(tokens, timestamp_begin)
