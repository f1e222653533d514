"""The forward passes of attempts with several hypotheses, of one window at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ifw.engine.cache import DecoderCache
from ifw.engine.rules import Field, RuleTokens, TokenRules
from ifw.engine.runner_interface import SearchInput
from ifw.engine.search import Move, Sampled
from ifw.engine.workspace import SearchWorkspace
from ifw.model.cross_projection import CrossCache
from ifw.model.whisper import Whisper


@dataclass(frozen=True, slots=True)
class _RunningSearch:
    search: SearchInput
    cross_kv: CrossCache  # [L, 2, 1, H, S, Dh], a view on the slot
    suppress: Tensor


class SearchRunner:
    """Carries out one search after the other; the rows are allocated when the first one begins."""

    def __init__(self, model: Whisper, rules: TokenRules, tokens: RuleTokens) -> None:
        self._model = model
        self._rules = rules
        self._tokens = tokens
        self._workspace: SearchWorkspace | None = None
        self._running: _RunningSearch | None = None

    def begin(self, search: SearchInput, cache: DecoderCache, suppress: Tensor) -> None:
        """Begin on an attempt; the one before is forgotten.

        Args:
            search: The attempt.
            cache: Of all slots.
            suppress: int64 ids that are never chosen.

        Raises:
            EngineMemoryError: The device has no room for the rows.
        """
        model, slot = self._model, search.slot
        self._running = _RunningSearch(search, cache.view(slot, slot + 1).cross_kv, suppress)
        if self._workspace is None or self._workspace.n_rows < search.n_rows:
            self._workspace = None  # its memory goes back before more is asked for
            self._workspace = SearchWorkspace(
                model.dims, search.n_rows, self._tokens.eot, device=model.device, dtype=model.dtype
            )
        self._workspace.begin(cache.self_kv[:, :, slot], search.starts)

    def step(self, moves: Sequence[Move]) -> list[list[Sampled]]:
        """Let the rows become what `moves` say; see `ModelRunner.search`."""
        work, running = self._workspace, self._running
        assert work is not None
        assert running is not None
        if moves:
            work.move(moves, self._tokens.timestamp_begin)
        search, states = running.search, work.states
        work.offset += 1
        hidden = self._model.decode(
            states[Field.TOKEN][:, None], states[Field.OFFSET], work.self_kv, running.cross_kv, n_keys=work.offset
        )
        logits = self._model.logits(hidden[:, 0])
        self._rules.mask(logits, states, running.suppress)
        if search.n_candidates > 1:
            tokens, logprobs = self._rules.rank(logits, search.n_candidates)
        else:
            sampled_rows = range(work.n_live if search.starts[0].temperature > 0 else 0)
            tokens, logprobs = (row[:, None] for row in self._rules.choose(logits, states, sampled_rows))
        packed = torch.stack((tokens.float(), logprobs), -1).tolist()  # ids are below 2**24: exact in float32
        return [[Sampled(int(token), logprob) for token, logprob in row] for row in packed]

    def end(self, slot: int) -> None:
        """Forget the search, if it is that of `slot`; the next one reads nothing that it left."""
        if self._running is not None and self._running.search.slot == slot:
            self._running = None
