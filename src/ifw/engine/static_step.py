"""One decode step over buffers that never move, made of work that is the same whatever the rows hold.

That is what a CUDA graph can replay. The same code runs without graphs, on CPU too. Nothing here waits for the device,
copies from the host, or takes a shape from a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import Tensor

from ifw.engine.device import upload
from ifw.engine.rules import Field, RowStates, TokenRules
from ifw.engine.suppression import SuppressMasks

if TYPE_CHECKING:
    from ifw.engine.cache import DecoderCache
    from ifw.engine.runner import RunnerTokens
    from ifw.model.whisper import Whisper

MAX_FED: Final = 8
"""Tokens of a prefix that is fed by steps; a longer one, which has a prompt, is computed beforehand in one pass."""


class StepKey(NamedTuple):
    """What decides which work a step is.

    Attributes:
        n_rows: Rows that are computed, from slot 0.
        n_keys: Positions of the self-attention cache that are read.
        is_sampling: A row's temperature may be above 0.
    """

    n_rows: int
    n_keys: int
    is_sampling: bool


class StaticStep:
    """Decodes one token in every row, or feeds it the next token of its prefix.

    Args:
        model: On its device.
        cache: Of all slots.
        states: Of all slots.
        rules: On the same device.
        tokens: Those that the runner speaks about.

    Attributes:
        results: [3, S] float32, of the last step: tokens (ids are below 2**24: exact), their natural-log probabilities,
            and the probability of `<|nospeech|>` before any rule.
    """

    def __init__(
        self, model: Whisper, cache: DecoderCache, states: RowStates, rules: TokenRules, tokens: RunnerTokens
    ) -> None:
        n_slots, device = cache.n_slots, model.device
        self._model, self._cache, self._states, self._rules, self._tokens = model, cache, states, rules, tokens
        self._suppressed = SuppressMasks(n_slots, model.dims.n_vocab, device)
        self._fed = torch.zeros(n_slots, 1 + MAX_FED, dtype=torch.int64, device=device)  # their number, then they
        self.results = torch.zeros(3, n_slots, device=device)

    def run(self, key: StepKey) -> None:
        """Decode one token in the first rows, write it into their states and the results."""
        n_rows = key.n_rows
        cache, states = self._cache.view(0, n_rows), self._states.view(0, n_rows)
        last_position = self._model.dims.n_text_positions - 1
        # a row that has come to its end takes part once more before the host knows
        offsets = states[Field.OFFSET].clamp(max=last_position)
        hidden = self._model.decode(
            states[Field.TOKEN][:, None], offsets, cache.self_kv, cache.cross_kv, n_keys=key.n_keys
        )
        logits = self._model.logits(hidden[:, 0])
        silence = logits.softmax(-1)[:, self._tokens.no_speech]
        self._rules.mask(logits, states, self._suppressed.rows[:n_rows])
        chosen, logprobs = self._rules.choose_alike(logits, states, is_sampling=key.is_sampling)
        self._append(states, chosen, n_rows)
        self.results[:, :n_rows] = torch.stack((chosen.float(), logprobs, silence))

    def suppress(self, slot: int, ids: tuple[int, ...]) -> None:
        """Say what a row never produces."""
        self._suppressed.set(slot, ids)

    def feed(self, slot: int, token_ids: Sequence[int]) -> None:
        """Say with which tokens a row begins, at most `MAX_FED`. They do not matter to one that begins behind them."""
        assert len(token_ids) <= MAX_FED
        self._fed[slot] = upload([len(token_ids), *token_ids, *[0] * (MAX_FED - len(token_ids))], self._fed.device)

    def _append(self, states: RowStates, chosen: Tensor, n_rows: int) -> None:
        """Record the chosen tokens; in rows that are still fed, the next token of the prefix instead."""
        fed, following = self._fed[:n_rows], states[Field.OFFSET] + 1
        is_fed = (states[Field.IS_LIVE] > 0) & (following < fed[:, 0])
        token = fed.gather(1, (following + 1).clamp(max=MAX_FED)[:, None])[:, 0]
        sampled = states.ints[Field.N_SAMPLED : Field.LAST_STAMP + 1]
        before = sampled.clone()
        states.append(chosen, self._tokens.rules.timestamp_begin)
        sampled.copy_(torch.where(is_fed, before, sampled))
        states.ints[Field.TOKEN] = torch.where(is_fed, token, states[Field.TOKEN])
