"""The next token of every row as one call of the native library: token rules, the likeliest token, the row's state."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import byref, c_float, c_int64
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from ifw.errors import ShapeError
from ifw.kernels.library import ChoiceCallStruct, Kernels, TokenRulesStruct

ROW_FIELDS: Final = (
    "token",
    "offset",
    "is_live",
    "n_sampled",
    "before",
    "last_stamp",
    "has_grammar",
    "max_first_stamp",
)
"""What the first integers about a row are; more may follow, which are left alone."""
_NOTHING: Final = torch.tensor([], dtype=torch.int64)


class NativeTokenChoice:
    """Chooses greedily, by openai/whisper's token rules.

    Args:
        kernels: From `ifw.kernels.library`.
        n_vocab: V.
        eot: `<|endoftext|>`, the first special token.
        no_timestamps: `<|notimestamps|>`, a special token.
        timestamp_begin: The first timestamp; all tokens behind it are timestamps.
        begin_suppress: Never the first token.

    Raises:
        ShapeError: The tokens do not follow each other in this order, or are not in the vocabulary.
    """

    def __init__(
        self,
        kernels: Kernels,
        *,
        n_vocab: int,
        eot: int,
        no_timestamps: int,
        timestamp_begin: int,
        begin_suppress: Sequence[int],
    ) -> None:
        if not 0 < eot <= no_timestamps < timestamp_begin < n_vocab:
            raise ShapeError(
                f"rules: got eot {eot}, no_timestamps {no_timestamps}, timestamp_begin {timestamp_begin}, allowed: in "
                f"this order, within {n_vocab} tokens"
            )
        if not all(0 <= token < n_vocab for token in begin_suppress):
            raise ShapeError(f"begin_suppress: got {tuple(begin_suppress)}, allowed: 0 to {n_vocab - 1}")
        self._kernels, self._n_vocab = kernels, n_vocab
        self._begin_suppress = torch.tensor(begin_suppress, dtype=torch.int64)  # the struct points to it
        self._struct = TokenRulesStruct(
            n_vocab=n_vocab,
            eot=eot,
            no_timestamps=no_timestamps,
            timestamp_begin=timestamp_begin,
            n_begin_suppress=len(begin_suppress),
            begin_suppress=self._begin_suppress.data_ptr(),
        )
        self._rules = byref(self._struct)

    def __call__(
        self, logits: Tensor, states: Tensor, rows: Sequence[int], suppress: Tensor | Sequence[Tensor]
    ) -> tuple[list[int], list[float]]:
        """Choose a token in some rows, and record it in their states.

        Args:
            logits: [B, V] float32, rows dense; overwritten in these rows.
            states: [at least 8, B] int64, rows dense, in the order of `ROW_FIELDS`; brought forward in these rows.
            rows: Which rows, each once.
            suppress: int64 ids that are never chosen: one tensor for all of these rows, or one for each of them.

        Returns:
            One token a row, and its natural-log probability under the rules.

        Raises:
            ShapeError: Shapes, dtypes or strides do not fit, or a row or a token is not there.
        """
        self._check(logits, states, rows)
        n_rows = len(rows)
        begins = None
        if not isinstance(suppress, Tensor):
            if len(suppress) != n_rows:
                raise ShapeError(f"suppress: got {len(suppress)} lists, allowed: one for each of {n_rows} rows")
            begins = (c_int64 * (n_rows + 1))(*accumulate(map(len, suppress), initial=0))
            suppress = torch.cat((*suppress, _NOTHING))
        if suppress.dtype != torch.int64 or suppress.ndim != 1 or not suppress.is_contiguous():
            raise ShapeError(f"suppress: got {suppress.dtype} {list(suppress.shape)}, allowed: int64 [N], dense")
        tokens, logprobs = (c_int64 * n_rows)(), (c_float * n_rows)()
        call = ChoiceCallStruct(
            n_rows,
            (c_int64 * n_rows)(*rows),
            logits.data_ptr(),
            logits.stride(0),
            states.data_ptr(),
            states.stride(0),
            suppress.data_ptr(),
            suppress.shape[0],
            begins,
            tokens,
            logprobs,
        )
        if self._kernels.choose_tokens(byref(self._kernels.team()), self._rules, byref(call)):
            raise ShapeError(f"suppress: got {suppress.tolist()}, allowed: 0 to {self._n_vocab - 1}")
        return tokens[:], logprobs[:]

    def _check(self, logits: Tensor, states: Tensor, rows: Sequence[int]) -> None:
        if logits.ndim != 2 or logits.shape[1] != self._n_vocab or logits.dtype != torch.float32:
            raise ShapeError(f"logits: got {_describe(logits)}, allowed: float32 [B, {self._n_vocab}] on cpu")
        n_rows = logits.shape[0]
        if states.ndim != 2 or states.shape[0] < len(ROW_FIELDS) or states.shape[1] != n_rows:
            raise ShapeError(f"states: got {_describe(states)}, allowed: int64 [{len(ROW_FIELDS)} or more, {n_rows}]")
        if states.dtype != torch.int64 or not logits.device.type == states.device.type == "cpu":
            raise ShapeError(f"states: got {_describe(states)}, allowed: int64 on cpu, as the logits")
        if logits.stride(1) != 1 or (states.stride(1) != 1 and n_rows > 1):
            raise ShapeError(f"logits, states: got strides {logits.stride()}, {states.stride()}, allowed: rows dense")
        if not all(0 <= row < n_rows for row in rows):
            raise ShapeError(f"rows: got {list(rows)}, allowed: 0 to {n_rows - 1}")


def _describe(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)} on {tensor.device}"
