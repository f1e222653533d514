"""Several tokens a pass: a draft decoder proposes them, and the model checks all of them at once.

A round is one pass of the model over the last token of a row and K proposed ones, of which those count that the model
itself would have chosen, each behind the ones before it; then comes one token of its own. So the text is that of steps
of one token. Above temperature 0 too: the noise of a sample is fixed by its place, and the draft draws with the same.
Rows accept different numbers. What was not accepted stays in the caches behind the row's position, where nobody sees it
before it is overwritten.

Everything lies in buffers that never move, and no work depends on a value, so a round can be a CUDA graph.

Source: Leviathan et al. 2023, "Fast inference from transformers via speculative decoding"; Gandhi et al. 2023,
"Distil-Whisper", section 6.3: the draft shares the encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ifw.engine.rules import Field, RowStates, RuleTokens, TokenRules
from ifw.engine.suppression import SuppressMasks

if TYPE_CHECKING:
    from ifw.engine.cache import DecoderCache
    from ifw.model.whisper import Whisper


class Decoder(NamedTuple):
    """A model and the caches of its decoder."""

    model: Whisper
    cache: DecoderCache


class RoundKey(NamedTuple):
    """What decides which work a round is.

    Attributes:
        n_rows: Rows that are computed, from slot 0.
        n_keys: Positions of the self-attention caches that are read; all rows end before.
        n_drafted: K; 0 is a step without the draft.
        is_sampling: A row's temperature may be above 0.
    """

    n_rows: int
    n_keys: int
    n_drafted: int
    is_sampling: bool


class SpeculativeStep:
    """Decodes up to K + 1 tokens in every row.

    Args:
        main: The model, whose tokens count.
        draft: What proposes; of the same vocabulary and audio.
        states: Of all slots.
        rules: On the same device; they hold for what is proposed too.
        tokens: Those of the rules.
        max_drafted: The highest K.

    Attributes:
        suppressed: What each row never produces.
        results: [2 * (max_drafted + 1) + 1, S] float32, of the last round: K + 1 tokens (ids are below 2**24: exact),
            from row `max_drafted + 1` on their natural-log probabilities, and at last how many proposals count.
    """

    def __init__(
        self,
        main: Decoder,
        draft: Decoder,
        states: RowStates,
        rules: TokenRules,
        tokens: RuleTokens,
        *,
        max_drafted: int,
    ) -> None:
        n_slots, device = main.cache.n_slots, main.model.device
        self._main, self._draft, self._states, self._rules, self._tokens = main, draft, states, rules, tokens
        self._max_drafted = max_drafted
        # 1 where the last proposal was accepted: the draft has not been given it, and its token is in `_unseen`
        self._is_behind = torch.zeros(n_slots, dtype=torch.int64, device=device)
        self._unseen = torch.zeros(n_slots, dtype=torch.int64, device=device)
        self.suppressed = SuppressMasks(n_slots, main.model.dims.n_vocab, device)
        self.results = torch.zeros(2 * (max_drafted + 1) + 1, n_slots, device=device)

    def begin(self, slot: int) -> None:
        """Say that a row begins where the caches of both decoders end, or that it has ended."""
        self._is_behind[slot] = 0

    def run(self, key: RoundKey) -> None:
        """Decode in the first rows, write what came into their states and the results."""
        n_rows, n_drafted = key.n_rows, key.n_drafted
        states = self._states.view(0, n_rows)
        along = self._propose(states, key)  # [len(Field), B, K + 1]: each position as if all before it were accepted
        tokens = along[Field.TOKEN]
        logits = self._main.model.logits(_hidden(self._main, tokens, states[Field.OFFSET], key))
        chosen, logprobs = self._choose(logits, along, states.temperatures, is_sampling=key.is_sampling)
        agrees = chosen[:, :-1] == tokens[:, 1:]
        n_accepted = agrees.long().cumprod(1).sum(1)  # [B]
        # what the draft has not been given is its last proposal, where that was accepted
        self._is_behind[:n_rows] = (n_accepted == n_drafted) * states[Field.IS_LIVE]
        self._unseen[:n_rows] = tokens[:, -1]
        states.ints.copy_(along.gather(2, n_accepted[None, :, None].expand(len(Field), -1, 1))[..., 0])
        states.append(chosen.gather(1, n_accepted[:, None])[:, 0], self._tokens.timestamp_begin)
        self._tell(n_rows, n_drafted, chosen, logprobs, n_accepted)

    def _propose(self, states: RowStates, key: RoundKey) -> Tensor:
        """The states [len(Field), B, K + 1] before each proposal and behind the last."""
        n_rows = key.n_rows
        now = RowStates(states.ints.clone(), states.temperatures)
        along = [now.ints]
        for index in range(key.n_drafted):
            hidden = self._follow(now, key) if index else self._catch_up(now, key)
            logits = self._draft.model.logits(hidden)
            self._rules.mask(logits, now, self.suppressed.rows[:n_rows])
            token = self._rules.pick_alike(logits, now, is_sampling=key.is_sampling)
            now = RowStates(now.ints.clone(), now.temperatures)
            now.append(token, self._tokens.timestamp_begin)
            along.append(now.ints)
        return torch.stack(along, -1)

    def _follow(self, now: RowStates, key: RoundKey) -> Tensor:
        """The draft's hidden states [B, D] at the token of each row."""
        return _hidden(self._draft, now[Field.TOKEN][:, None], now[Field.OFFSET], key)[:, 0]

    def _catch_up(self, now: RowStates, key: RoundKey) -> Tensor:
        """The same where the token before may be new to the draft as well."""
        behind, unseen = self._is_behind[: key.n_rows], self._unseen[: key.n_rows]
        token = now[Field.TOKEN]
        # where it is not, the second token is padding, which the next proposal overwrites
        pair = torch.stack((torch.where(behind > 0, unseen, token), token), 1)
        hidden = _hidden(self._draft, pair, now[Field.OFFSET] - behind, key)  # [B, 2, D]
        return torch.where(behind[:, None] > 0, hidden[:, 1], hidden[:, 0])

    def _choose(
        self, logits: Tensor, along: Tensor, temperatures: Tensor, *, is_sampling: bool
    ) -> tuple[Tensor, Tensor]:
        """[B, K + 1, V] logits and [len(Field), B, K + 1] states -> the model's own tokens and log-probabilities."""
        n_rows, n_new, n_vocab = logits.shape
        flat, rows = logits.view(n_rows * n_new, n_vocab), (n_rows, n_new)
        states = RowStates(along.flatten(1), temperatures[:, None].expand(rows).flatten())
        suppressed = self.suppressed.rows[:n_rows, None].expand(-1, n_new, -1).flatten(0, 1)
        self._rules.mask(flat, states, suppressed)
        chosen, logprobs = self._rules.choose_alike(flat, states, is_sampling=is_sampling)
        return chosen.view(rows), logprobs.view(rows)

    def _tell(self, n_rows: int, n_drafted: int, chosen: Tensor, logprobs: Tensor, n_accepted: Tensor) -> None:
        n_new, half = n_drafted + 1, self._max_drafted + 1
        self.results[:n_new, :n_rows] = chosen.T.float()
        self.results[half : half + n_new, :n_rows] = logprobs.T
        self.results[-1, :n_rows] = n_accepted.float()


def _hidden(decoder: Decoder, tokens: Tensor, offsets: Tensor, key: RoundKey) -> Tensor:
    """[B, T] tokens from [B] positions on -> [B, T, D]."""
    cache = decoder.cache.view(0, key.n_rows)
    return decoder.model.decode(tokens, offsets, cache.self_kv, cache.cross_kv, n_keys=key.n_keys)
