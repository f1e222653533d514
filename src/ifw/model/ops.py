"""The three operations in which the time goes, chosen once for a device and a dtype.

The choice for CPU is measured (shapes of base, 2 threads on a busy AVX-512 machine, milliseconds):

    | operation                              | float32                       | bfloat16                      |
    |----------------------------------------|-------------------------------|-------------------------------|
    | linear 1500 x 512 -> 2048              | F.linear 18-25, packed 7.5    | F.linear 4.0, packed 3.5      |
    | linear 8 x 512 -> 51865                | F.linear 14.6, packed 3.5-7.4 | F.linear 2.5, packed 1.4      |
    | encoder attention, 8 heads             | SDPA 28, by head 17-18        | SDPA 29, by head 12           |
    | decode attention, 8 rows x 1500 keys   | SDPA 1.7, matmul 1.2          | SDPA 5.0, matmul 1.2          |

One token a row attends faster still by sums of rows of memory, with a cache laid out for it: see `bag_attention`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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


def choose_ops(device: torch.device, dtype: torch.dtype) -> Ops:
    """Choose the fastest implementations that this machine has.

    Args:
        device: Where the model runs.
        dtype: float32, bfloat16 or float16.

    Returns:
        The choice. All of them agree up to rounding.
    """
    if device.type == "cuda":
        from ifw.model.cuda_ops import choose_cuda_ops  # noqa: PLC0415 - it builds on what is here

        return choose_cuda_ops(
            _plain_ops(PlainLinear.make, sdpa_encoder_attention, sdpa_decode_attention), device, dtype
        )
    if device.type != "cpu":
        return _plain_ops(PlainLinear.make, sdpa_encoder_attention, sdpa_decode_attention)
    if not can_pack(dtype):
        return _plain_ops(PlainLinear.make, sdpa_encoder_attention, matmul_decode_attention)
    from ifw.model import bag_attention as bags  # noqa: PLC0415 - it builds on what is here

    encoder_attention = packed_encoder_attention if dtype == torch.float32 else matmul_encoder_attention
    if not bags.has_bags():
        return _plain_ops(PackedLinear.make, encoder_attention, matmul_decode_attention)
    ops = _plain_ops(PackedLinear.make, encoder_attention, bags.bag_decode_attention)
    return replace(ops, splits_cross_kv=True, key_block=bags.KEY_BLOCK)


def _plain_ops(linear: MakeLinear, encoder_attention: EncoderAttention, decode_attention: DecodeAttention) -> Ops:
    return Ops(linear, linear, linear, encoder_attention, decode_attention)


def can_pack(dtype: torch.dtype) -> bool:
    """Whether this machine's torch has oneDNN's packed linear layers for a dtype."""
    namespace = torch.ops.mkldnn
    if platform.machine() not in {"x86_64", "AMD64"} or not torch._C._has_mkldnn:
        return False
    if not hasattr(namespace, "_linear_pointwise") or not hasattr(namespace, "_reorder_linear_weight"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(namespace._is_mkldnn_bf16_supported()))


@dataclass(frozen=True, slots=True, eq=False)
class PlainLinear:
    """`torch.nn.functional.linear` on the weight as it is; see `Linear`."""

    weight: Tensor
    bias: Tensor | None
    norm: LayerNorm | None = None

    @classmethod
    def make(cls, weight: Tensor, bias: Tensor | None, n_rows: int, norm: LayerNorm | None = None) -> PlainLinear:
        """Make the layer; the number of rows does not matter here."""
        del n_rows
        return cls(weight, bias, norm)

    def __call__(self, x: Tensor, *, gelu: bool = False, residual: Tensor | None = None) -> Tensor:
        """Apply the layer."""
        y = F.linear(x if self.norm is None else self.norm(x), self.weight, self.bias)
        if gelu:
            return F.gelu(y)
        return y if residual is None else y.add_(residual)


@dataclass(frozen=True, slots=True, eq=False)
class PackedLinear:
    """oneDNN's kernel on a weight that was laid out for it once; see `Linear`.

    A row's result does not depend on how many rows come with it, bit for bit: MKL's kernels do not promise that.
    """

    weight: Tensor  # opaque layout
    bias: Tensor | None
    norm: LayerNorm | None = None

    @classmethod
    def make(cls, weight: Tensor, bias: Tensor | None, n_rows: int, norm: LayerNorm | None = None) -> PackedLinear:
        """Lay the weight out for inputs of about `n_rows` rows."""
        return cls(torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), n_rows), bias, norm)

    def __call__(self, x: Tensor, *, gelu: bool = False, residual: Tensor | None = None) -> Tensor:
        """Apply the layer."""
        if self.norm is not None:
            x = self.norm(x)
        if residual is not None:
            summed: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, self.weight, self.bias, "add")
            return summed
        return _pointwise(x, self.weight, self.bias, gelu=gelu)


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    name, algorithm = ("gelu", "none") if gelu else ("none", "")
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, name, [], algorithm)
    return y


def packed_product(rows: Tensor, columns: Tensor) -> Tensor:
    """`rows` [M, K] times `columns` [N, K] transposed, [M, N], by oneDNN's linear kernel; where `can_pack` says so."""
    return _pointwise(rows, columns)


def sdpa_encoder_attention(qkv: Tensor) -> Tensor:
    """Full attention through torch's fused kernel; see `Ops.encoder_attention`."""
    query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, S, Dh]
    return F.scaled_dot_product_attention(query, key, value, scale=1.0).transpose(1, 2).flatten(2)


def matmul_encoder_attention(qkv: Tensor) -> Tensor:
    """Full attention head by head, so that one head's [S, S] scores stay in the cache; see `Ops.encoder_attention`."""
    return _attend_by_head(qkv, lambda query, key, value: torch.mm(torch.softmax(torch.mm(query, key.T), -1), value))


def packed_encoder_attention(qkv: Tensor) -> Tensor:
    """The same through oneDNN's linear kernel, which beats `torch.mm` in float32; see `Ops.encoder_attention`."""
    return _attend_by_head(
        qkv,
        lambda query, key, value: packed_product(torch.softmax(packed_product(query, key), -1), value.T.contiguous()),
    )


def _attend_by_head(qkv: Tensor, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    n_windows, n_positions, _, n_heads, head_dim = qkv.shape
    mixed = qkv.new_empty(n_windows, n_positions, n_heads, head_dim)
    parts = qkv.permute(2, 0, 3, 1, 4).contiguous()  # [3, B, H, S, Dh]
    for window in range(n_windows):
        for head in range(n_heads):
            query, key, value = parts[:, window, head]
            mixed[window, :, head] = attend(query, key, value)
    return mixed.flatten(2)


def sdpa_decode_attention(query: Tensor, keys: Tensor, values: Tensor, limit: KeyLimit | None) -> Tensor:
    """Attention over a cache through torch's fused kernel; see `Ops.decode_attention`."""
    mask = None if limit is None else limit.visible
    mixed = F.scaled_dot_product_attention(query.transpose(1, 2), keys, values, attn_mask=mask, scale=1.0)
    return mixed.transpose(1, 2).flatten(2)


def matmul_decode_attention(query: Tensor, keys: Tensor, values: Tensor, limit: KeyLimit | None) -> Tensor:
    """Attention over a cache as two batched products, keys on the left; see `Ops.decode_attention`."""
    scores = torch.matmul(keys, query.permute(0, 2, 3, 1)).transpose(2, 3)  # [B, H, T, N]
    if limit is not None:
        scores.masked_fill_(~limit.visible, float("-inf"))
    return torch.matmul(torch.softmax(scores, -1), values).transpose(1, 2).flatten(2)
