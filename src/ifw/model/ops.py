"""The three operations in which the time goes, chosen once for a device and a dtype."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Linear(Protocol):
    """A linear layer that is ready to run."""

    def __call__(self, x: Tensor, *, gelu: bool = False, residual: Tensor | None = None) -> Tensor:
        """Map `x` [..., in] to [..., out]; then GELU (erf) if asked; then add `residual` [..., out] if given."""
        ...


@dataclass(frozen=True, slots=True)
class KeyLimit:
    """Which keys each query of one decode call may see: those up to its own position.

    Attributes:
        positions: [B, T] int64, the position of each query.
        visible: [B, 1, T, n_keys] bool, the same as a mask.
    """

    positions: Tensor
    visible: Tensor


MakeLinear = Callable[[Tensor, "Tensor | None", int], Linear]
EncoderAttention = Callable[[Tensor], Tensor]
DecodeAttention = Callable[[Tensor, Tensor, Tensor, "KeyLimit | None"], Tensor]


@dataclass(frozen=True, slots=True)
class Ops:
    """One choice of implementations.

    Queries come already scaled by Dh ** -0.5: the scale is folded into their projection.

    Attributes:
        linear: (weight [out, in], bias [out] or None, usual number of rows) -> the layer, weights laid out as
            its kernel likes them.
        encoder_attention: qkv [B, S, 3, H, Dh] -> [B, S, H * Dh]; every position sees every other.
        decode_attention: (query [B, T, H, Dh], keys [B, H, N, Dh], values [B, H, N, Dh], limit or None for all
            keys) -> [B, T, H * Dh].
    """

    linear: MakeLinear
    encoder_attention: EncoderAttention
    decode_attention: DecodeAttention


@dataclass(frozen=True, slots=True)
class PlainLinear:
    """`torch.nn.functional.linear` on the weight as it is."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor, *, gelu: bool = False, residual: Tensor | None = None) -> Tensor:
        """Apply the layer; see `Linear`."""
        y = F.linear(x, self.weight, self.bias)
        if gelu:
            y = F.gelu(y)
        return y if residual is None else y.add_(residual)


def plain_linear(weight: Tensor, bias: Tensor | None, _n_rows: int) -> Linear:
    """Make a `PlainLinear`."""
    return PlainLinear(weight, bias)


def sdpa_encoder_attention(qkv: Tensor) -> Tensor:
    """Full attention through `scaled_dot_product_attention`; see `Ops.encoder_attention`."""
    query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, S, Dh]
    return F.scaled_dot_product_attention(query, key, value, scale=1.0).transpose(1, 2).flatten(2)


def sdpa_decode_attention(query: Tensor, keys: Tensor, values: Tensor, limit: KeyLimit | None) -> Tensor:
    """Attention of a few queries over a cache through `scaled_dot_product_attention`; see `Ops.decode_attention`."""
    mask = None if limit is None else limit.visible
    mixed = F.scaled_dot_product_attention(query.transpose(1, 2), keys, values, attn_mask=mask, scale=1.0)
    return mixed.transpose(1, 2).flatten(2)


def choose_ops(device: torch.device, dtype: torch.dtype) -> Ops:
    """Choose the fastest implementations for a device and a dtype."""
    del device, dtype
    return Ops(plain_linear, sdpa_encoder_attention, sdpa_decode_attention)
