"""The operations in which the time goes, as a model sees them: what each does, whoever computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ifw.model.eight_bit_kv import EightBitKv


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorm:
    """Layer normalisation; torch keeps mean and variance in float32 for every dtype."""

    weight: Tensor  # [D]
    bias: Tensor  # [D]

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last axis of `x` [..., D]."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias)


class Linear(Protocol):
    """A linear layer that is ready to run, with the norm before it if it has one."""

    def __call__(self, x: Tensor, *, gelu: bool = False, residual: Tensor | None = None) -> Tensor:
        """Map `x` [..., in] to [..., out]; then GELU (erf) if asked, or add `residual` [..., out] if given."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class KeyLimit:
    """Which keys each query of one decode call may see: those up to its own position.

    Attributes:
        positions: [B, T] int64, the position of each query.
        visible: [B, 1, T, n_keys] bool, the same as a mask.
    """

    positions: Tensor
    visible: Tensor


class MakeLinear(Protocol):
    """How a linear layer is made."""

    def __call__(self, weight: Tensor, bias: Tensor | None, n_rows: int, norm: LayerNorm | None = None) -> Linear:
        """Lay out `weight` [out, in], with `bias` [out], for inputs of about `n_rows` rows that `norm` normalises."""
        ...


EncoderAttention = Callable[[Tensor], Tensor]
DecodeAttention = Callable[[Tensor, Tensor, Tensor, "KeyLimit | None"], Tensor]
KeepInt8 = Callable[[Tensor, EightBitKv], None]
EightBitAttention = Callable[[Tensor, EightBitKv, EightBitKv], Tensor]


class Decode(Protocol):
    """The whole decoder as one operation."""

    def __call__(
        self,
        token_ids: Tensor,
        offsets: Tensor,
        self_cache: Tensor,
        cross_cache: Tensor,
        *,
        cross_scales: Tensor | None = None,
        queries: Tensor | None = None,
    ) -> Tensor:
        """Run it as `Whisper.decode` does; a cache of int8 comes with its scales.

        `queries` [L, B, T, H, Dh] is filled with the scaled queries of the cross-attention.
        """
        ...


class MakeDecode(Protocol):
    """How the whole decoder is made one operation."""

    def __call__(
        self,
        layers: Sequence[Mapping[str, Linear]],
        token_embedding: Tensor,
        positions: Tensor,
        norm: LayerNorm,
        *,
        n_heads: int,
    ) -> Decode | None:
        """Take each layer's linear layers by name, [V, D], [N_text, D] and the last norm; None where it cannot."""
        ...


class ChooseTokens(Protocol):
    """Token rules, greedy choice and what is known about a row behind it as one operation."""

    def __call__(
        self, logits: Tensor, states: Tensor, rows: Sequence[int], suppress: Tensor | Sequence[Tensor]
    ) -> tuple[list[int], list[float]]:
        """Choose in `rows` of `logits` [B, V], which are overwritten, and record it in `states` [F, B].

        `states` are those of `ifw.engine.rules.RowStates`; `suppress` are int64 ids, one tensor for all of the rows or
        one for each. The result is a token a row, and its natural-log probability under the rules.
        """
        ...


class MakeChooseTokens(Protocol):
    """How choosing is made one operation."""

    def __call__(
        self, *, n_vocab: int, eot: int, no_timestamps: int, timestamp_begin: int, begin_suppress: Sequence[int]
    ) -> ChooseTokens:
        """Take the tokens that the rules speak about."""
        ...


@dataclass(frozen=True, slots=True)
class Ops:
    """One choice of implementations.

    Queries come already scaled by Dh ** -0.5: the scale is folded into their projection.

    Attributes:
        linear: Makes the layers of the blocks and of the cross-attention keys and values.
        conv: Makes the two convolutions of the encoder, as linear layers.
        output: Makes the layer that scores the vocabulary.
        encoder_attention: qkv [B, S, 3, H, Dh] -> [B, S, H * Dh]; every position sees every other.
        decode_attention: (query [B, T, H, Dh], keys [B, H, N, Dh], values [B, H, N, Dh], limit, or None for all
            keys) -> [B, T, H * Dh]. Keys and values may be views on a larger cache.
        decode: Makes one operation of the decoder, where these operations have one.
        weight_dtype: Of what `linear`, `conv` and `output` are given; None is the model's.
        compute_type: Its name where it is not that of the model's dtype.
        reads_by_limit: For one query a row, `decode_attention` reads only the keys that the limit shows.
        eight_bit_attention: The same as `decode_attention` for one query a row and all keys, which are in 8 bits; None
            where they have to be unpacked first.
        keep_int8: Rounds keys and values [..., S, Dh] to int8; None is `EightBitKv.copy_`.
        encoder_linear: Makes the layers of the encoder's blocks; None is `linear`.
        encoder_products: How these multiply, where it is not as the others do.
        choose_tokens: Makes one operation of choosing the next tokens; None where that is done step by step.
        splits_cross_kv: `decode_attention` is fast on cross-attention keys and values that are kept as `SplitKv`.
        key_block: How many keys of the self-attention are read should be a multiple of this.
    """

    linear: MakeLinear
    conv: MakeLinear
    output: MakeLinear
    encoder_attention: EncoderAttention
    decode_attention: DecodeAttention
    decode: MakeDecode | None = None
    weight_dtype: torch.dtype | None = None
    compute_type: str | None = None
    reads_by_limit: bool = False
    eight_bit_attention: EightBitAttention | None = None
    keep_int8: KeepInt8 | None = None
    encoder_linear: MakeLinear | None = None
    encoder_products: str = "same"
    choose_tokens: MakeChooseTokens | None = None
    splits_cross_kv: bool = False
    key_block: int = 1
