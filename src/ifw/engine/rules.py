"""Which token comes next: suppression, the timestamp grammar, greedy choice or sampling, for all rows at once.

Everything here runs on the device without a synchronisation. The semantics are those of openai/whisper `decoding.py`
(`SuppressBlank`, `SuppressTokens`, `ApplyTimestampRules`, `GreedyDecoder`).

A token id belongs to one of three ranges: text below `eot`, special from `eot`, timestamps from `timestamp_begin`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ifw.engine.device import upload
from ifw.engine.noise import gumbel_noise

NO_LIMIT = 1 << 30
_NONE = -1


@dataclass(frozen=True, slots=True)
class RuleTokens:
    """The tokens that the rules speak about.

    Attributes:
        eot: `<|endoftext|>`, the first special token.
        no_timestamps: `<|notimestamps|>`.
        timestamp_begin: `<|0.00|>`, the first timestamp.
        begin_suppress: Never the first token of a window.
    """

    eot: int
    no_timestamps: int
    timestamp_begin: int
    begin_suppress: tuple[int, ...]


class Field(enum.IntEnum):
    """The integers that the device keeps about a row."""

    TOKEN = 0  # fed next: the last sampled token, or the last one of the prefix
    OFFSET = 1  # its position
    IS_LIVE = 2  # 0: the row is computed but means nothing
    N_SAMPLED = 3
    BEFORE = 4  # the token sampled before TOKEN; none: -1
    LAST_STAMP = 5  # the last sampled timestamp, counted from timestamp_begin; none: -1
    HAS_GRAMMAR = 6  # 1: timestamps follow the grammar
    MAX_FIRST_STAMP = 7  # the first timestamp is at most this
    KEY_LOW = 8  # of the sampler's noise
    KEY_HIGH = 9


@dataclass(frozen=True, slots=True)
class RowStart:
    """How a row starts to sample.

    Attributes:
        last_prefix_token: The token before the first sampled one.
        n_prefix: Tokens of the prefix.
        has_grammar: Timestamps follow the grammar.
        max_first_stamp: The first timestamp is at most this many positions into the window.
        temperature: 0 is greedy.
        key: From `noise_key`.
        given_ids: The last tokens of the prefix that count as sampled; with the grammar, the first of them is 0.00 s.
    """

    last_prefix_token: int
    n_prefix: int
    has_grammar: bool
    max_first_stamp: int
    temperature: float
    key: tuple[int, int]
    given_ids: tuple[int, ...] = ()

    def fields(self) -> list[int]:
        """One integer per `Field`."""
        return [
            self.last_prefix_token,
            self.n_prefix - 1,
            1,
            len(self.given_ids),
            self.given_ids[-2] if len(self.given_ids) > 1 else _NONE,
            0 if self.given_ids and self.has_grammar else _NONE,
            int(self.has_grammar),
            self.max_first_stamp,
            *self.key,
        ]


class RowStates:
    """What the device knows about every slot's row.

    Attributes:
        ints: [len(Field), B] int64.
        temperatures: [B] float32.
    """

    def __init__(self, ints: Tensor, temperatures: Tensor) -> None:
        self.ints = ints
        self.temperatures = temperatures

    @classmethod
    def allocate(cls, n_slots: int, idle_token: int, device: torch.device) -> RowStates:
        """States of `n_slots` idle rows; an idle row is fed `idle_token` at position 0."""
        ints = torch.zeros(len(Field), n_slots, dtype=torch.int64, device=device)
        ints[Field.TOKEN] = idle_token
        return cls(ints, torch.zeros(n_slots, device=device))

    def view(self, begin: int, end: int) -> RowStates:
        """The slots from `begin` to before `end`, sharing memory."""
        return RowStates(self.ints[:, begin:end], self.temperatures[begin:end])

    def start(self, slot: int, start: RowStart) -> None:
        """Let a row sample from the beginning."""
        self.ints[:, slot] = upload(start.fields(), self.ints.device)
        self.temperatures[slot] = start.temperature

    def stop(self, slot: int) -> None:
        """Make a row idle: it stays at position 0, where the next prefill overwrites what it writes."""
        self.ints[Field.OFFSET : Field.IS_LIVE + 1, slot] = 0

    def park(self, slot: int, start: RowStart) -> None:
        """Make a row idle at the end of its prefix, of which it goes on writing only the last position."""
        self.start(slot, start)
        self.ints[Field.IS_LIVE, slot] = 0

    def gather(self, sources: Tensor) -> None:
        """Let row i take over the row `sources[i]`, for the first rows."""
        n_rows = len(sources)
        self.ints[:, :n_rows] = self.ints[:, sources]
        self.temperatures[:n_rows] = self.temperatures[sources]

    def __getitem__(self, field: Field) -> Tensor:
        return self.ints[field]

    def append(self, tokens: Tensor, timestamp_begin: int) -> None:
        """Record the sampled `tokens` [B] of the live rows."""
        ints, live = self.ints, self[Field.IS_LIVE]
        is_live = live > 0
        stamps = torch.where(tokens >= timestamp_begin, tokens - timestamp_begin, self[Field.LAST_STAMP])
        before = torch.where(self[Field.N_SAMPLED] > 0, self[Field.TOKEN], _NONE)
        ints[Field.LAST_STAMP] = stamps
        ints[Field.BEFORE] = before
        ints[Field.TOKEN] = torch.where(is_live, tokens, self[Field.TOKEN])
        ints[Field.OFFSET] += live
        ints[Field.N_SAMPLED] += live


class TokenRules:
    """Chooses the next token of every row."""

    def __init__(self, tokens: RuleTokens, device: torch.device) -> None:
        self._tokens = tokens
        self._device = device
        self._begin_suppress = torch.tensor(tokens.begin_suppress, dtype=torch.int64, device=device)

    def mask(self, logits: Tensor, states: RowStates, suppress: Tensor | Sequence[Tensor]) -> None:
        """Set what may not come next to minus infinity.

        Args:
            logits: [B, V] float32; overwritten.
            states: Of the B rows.
            suppress: What is never chosen: int64 ids, one tensor for all rows or one a row, or [B, V] bool.
        """
        self._suppress(logits, states, suppress)
        self._apply_grammar(logits, states)

    def choose(self, logits: Tensor, states: RowStates, sampled_rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Choose a token in every row.

        Args:
            logits: [B, V] float32 from `mask`.
            states: Of the B rows.
            sampled_rows: Rows whose temperature is above 0.

        Returns:
            [B] int64 tokens and [B] float32, their natural-log probabilities under the rules, at temperature 1.
        """
        tokens = logits.argmax(-1)
        if sampled_rows:
            rows = upload(sampled_rows, self._device)
            tokens[rows] = _sample(
                logits[rows],
                states.ints[Field.KEY_LOW :, rows],
                states[Field.N_SAMPLED][rows],
                states.temperatures[rows],
            )
        return tokens, _logprobs(logits, tokens)

    @staticmethod
    def pick_alike(logits: Tensor, states: RowStates, *, is_sampling: bool) -> Tensor:
        """The tokens of `choose_alike` alone."""
        tokens = logits.argmax(-1)
        if is_sampling:
            is_sampled = states.temperatures > 0
            divisors = torch.where(is_sampled, states.temperatures, 1.0)
            drawn = _sample(logits, states.ints[Field.KEY_LOW :], states[Field.N_SAMPLED], divisors)
            tokens = torch.where(is_sampled, drawn, tokens)
        return tokens

    @staticmethod
    def choose_alike(logits: Tensor, states: RowStates, *, is_sampling: bool) -> tuple[Tensor, Tensor]:
        """The same choice by the same work whatever the rows are, as a CUDA graph needs it.

        Args:
            logits: [B, V] float32 from `mask`.
            states: Of the B rows.
            is_sampling: Whether a temperature may be above 0; then noise is made for every row.

        Returns:
            As `choose`.
        """
        tokens = TokenRules.pick_alike(logits, states, is_sampling=is_sampling)
        return tokens, _logprobs(logits, tokens)

    @staticmethod
    def rank(logits: Tensor, n_best: int) -> tuple[Tensor, Tensor]:
        """The likeliest tokens of every row.

        Args:
            logits: [B, V] float32 from `mask`.
            n_best: N.

        Returns:
            [B, N] int64 tokens and [B, N] float32, their natural-log probabilities under the rules, falling.
        """
        logprobs, tokens = torch.log_softmax(logits, -1).topk(n_best)
        return tokens, logprobs

    def _suppress(self, logits: Tensor, states: RowStates, suppress: Tensor | Sequence[Tensor]) -> None:
        if isinstance(suppress, Tensor) and suppress.dtype == torch.bool:
            logits.masked_fill_(suppress, -torch.inf)
        elif isinstance(suppress, Tensor):
            logits.index_fill_(1, suppress, -torch.inf)
        else:
            for row, ids in zip(logits, suppress, strict=True):
                row.index_fill_(0, ids, -torch.inf)
        begins = states[Field.N_SAMPLED] == 0
        logits[:, self._begin_suppress] += _penalty(begins)

    def _apply_grammar(self, logits: Tensor, states: RowStates) -> None:
        ids = self._tokens
        text, special = logits[:, : ids.eot], logits[:, ids.eot : ids.timestamp_begin]
        stamps = logits[:, ids.timestamp_begin :]
        has_grammar = states[Field.HAS_GRAMMAR] > 0
        begins = states[Field.N_SAMPLED] == 0
        before, last_stamp = states[Field.BEFORE], states[Field.LAST_STAMP]
        last_is_stamp = ~begins & (states[Field.TOKEN] >= ids.timestamp_begin)
        before_is_stamp = (before == _NONE) | (before >= ids.timestamp_begin)
        is_closed = has_grammar & last_is_stamp & before_is_stamp  # a pair: text or the end comes next
        is_open = has_grammar & last_is_stamp & ~before_is_stamp  # half a pair: a timestamp or the end comes next
        is_first = has_grammar & begins  # a timestamp comes next

        special[:, ids.no_timestamps - ids.eot] += _penalty(has_grammar).squeeze(1)
        lowest = torch.where(has_grammar, last_stamp + 1 - is_open.long(), 0)
        highest = torch.where(is_first, states[Field.MAX_FIRST_STAMP], NO_LIMIT).masked_fill_(is_closed, _NONE)
        stamp = torch.arange(stamps.shape[-1], device=self._device)
        stamps.masked_fill_((stamp < lowest[:, None]) | (stamp > highest[:, None]), -torch.inf)

        best_text = text.amax(-1).masked_fill_(is_open, -torch.inf)
        best_other = torch.maximum(best_text, special.amax(-1)).masked_fill_(is_first, -torch.inf)
        must_be_stamp = is_first | (has_grammar & (stamps.logsumexp(-1) > best_other))
        text += _penalty(is_open | must_be_stamp)
        special += _penalty(must_be_stamp)


def _sample(logits: Tensor, key: Tensor, step: Tensor, temperatures: Tensor) -> Tensor:
    """Draw a token a row: logits [B, V], key [2, B], step and temperatures [B] -> [B]."""
    noise = gumbel_noise(key, step, n_vocab=logits.shape[-1])
    return (logits / temperatures[:, None] + noise).argmax(-1)


def _logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """[B, V] and [B] -> [B] natural-log probabilities at temperature 1."""
    return torch.log_softmax(logits, -1).gather(1, tokens[:, None]).squeeze(1)


def _penalty(is_forbidden: Tensor) -> Tensor:
    """[B] bool -> [B, 1] float32: minus infinity where forbidden, else 0."""
    return torch.zeros_like(is_forbidden, dtype=torch.float32).masked_fill_(is_forbidden, -torch.inf)[:, None]
