"""The next token of every live row, recorded in its state: in one operation where the model has one, else by `rules`.

Which of the two a row goes through depends on the row alone, so its tokens and probabilities do not depend on its
neighbours. Rows that draw, at a temperature above 0, always go through `rules`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ifw.engine.device import upload
from ifw.engine.rules import RowStates, RuleTokens, TokenRules
from ifw.engine.search import Sampled
from ifw.model.ops import ChooseTokens
from ifw.model.whisper import Whisper


class TokenChooser:
    """Chooses for one model.

    Args:
        model: Whose logits they are.
        rules: On its device.
        tokens: Those of the rules.
    """

    def __init__(self, model: Whisper, rules: TokenRules, tokens: RuleTokens) -> None:
        self._rules, self._tokens, self._device = rules, tokens, model.device
        make = model.ops.choose_tokens
        self._choose_at_once: ChooseTokens | None = None
        if make is not None:
            self._choose_at_once = make(
                n_vocab=model.dims.n_vocab,
                eot=tokens.eot,
                no_timestamps=tokens.no_timestamps,
                timestamp_begin=tokens.timestamp_begin,
                begin_suppress=tokens.begin_suppress,
            )

    def choose(
        self, logits: Tensor, states: RowStates, suppress: Sequence[Tensor | None], sampled_rows: Sequence[int]
    ) -> list[Sampled]:
        """Choose in every live row, and record it in its state.

        Args:
            logits: [B, V] float32; overwritten.
            states: Of the B rows.
            suppress: For each row int64 ids that are never chosen; None where it is not live.
            sampled_rows: Rows whose temperature is above 0.

        Returns:
            One token a live row.
        """
        if self._choose_at_once is None:
            chosen = self._choose_by_rules(logits, states, suppress, sampled_rows)
            return [one for one, ids in zip(chosen, suppress, strict=True) if ids is not None]
        greedy = {row: ids for row, ids in enumerate(suppress) if ids is not None and row not in sampled_rows}
        by_row: dict[int, Sampled] = {}
        if greedy:
            lists = _shared(tuple(greedy.values()))
            tokens, logprobs = self._choose_at_once(logits, states.ints, tuple(greedy), lists)
            by_row = dict(zip(greedy, map(Sampled, tokens, logprobs), strict=True))
        if sampled_rows:
            by_row |= self._draw(logits, states, suppress, sampled_rows)
        return [by_row[row] for row in sorted(by_row)]

    def _draw(
        self, logits: Tensor, states: RowStates, suppress: Sequence[Tensor | None], rows: Sequence[int]
    ) -> dict[int, Sampled]:
        """Choose in rows whose temperature is above 0, and leave the others alone."""
        where = upload(rows, self._device)
        part = RowStates(states.ints[:, where], states.temperatures[where])
        sampled = self._choose_by_rules(logits[where], part, [suppress[row] for row in rows], range(len(rows)))
        states.ints[:, where] = part.ints
        return dict(zip(rows, sampled, strict=True))

    def _choose_by_rules(
        self, logits: Tensor, states: RowStates, suppress: Sequence[Tensor | None], sampled_rows: Sequence[int]
    ) -> list[Sampled]:
        """Choose in every row; what comes of those that are not live means nothing."""
        default = next(ids for ids in suppress if ids is not None)
        self._rules.mask(logits, states, _shared([default if ids is None else ids for ids in suppress]))
        tokens, logprobs = self._rules.choose(logits, states, sampled_rows)
        states.append(tokens, self._tokens.timestamp_begin)
        packed = torch.stack((tokens.float(), logprobs)).tolist()  # ids are below 2**24: exact in float32
        return [Sampled(int(token), logprob) for token, logprob in zip(*packed, strict=True)]


def _shared(lists: Sequence[Tensor]) -> Tensor | Sequence[Tensor]:
    """The tensor that they all are, where they are one."""
    return lists[0] if all(ids is lists[0] for ids in lists) else lists
