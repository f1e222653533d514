"""The operations by torch: on CPU, and on CUDA where nothing better works."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ifw.model.ops import KeyLimit, LayerNorm


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
