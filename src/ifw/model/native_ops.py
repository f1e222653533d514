"""The operations of a model on CPU by the native kernels: one choice for each compute type that they serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ifw.kernels import attention
from ifw.kernels.decoder import NativeDecoder
from ifw.kernels.keep_int8 import keep_int8
from ifw.kernels.library import HEAD_DIM, Kernels
from ifw.kernels.linear import NativeLinear
from ifw.kernels.token_choice import NativeTokenChoice
from ifw.model import torch_ops
from ifw.model.eight_bit_kv import EightBitKv
from ifw.model.ops import Decode, KeyLimit, LayerNorm, Linear, MakeLinear, Ops


def int8_ops(kernels: Kernels) -> Ops:
    """Products of int8 everywhere but in attention and the two convolutions; activations and caches are bfloat16.

    Args:
        kernels: From `ifw.kernels.library`.

    Returns:
        The choice, for a model of dtype bfloat16 whose weights are given in float32.
    """
    return Ops(
        linear=_maker(kernels, torch.bfloat16, is_int8=True),
        conv=_maker(kernels, torch.bfloat16, is_int8=False),
        output=_maker(kernels, torch.bfloat16, is_int8=True, output_dtype=torch.float32),
        encoder_attention=partial(_encoder_attention, kernels),
        decode_attention=partial(_decode_attention, kernels),
        decode=partial(_fused_decode, kernels),
        choose_tokens=partial(NativeTokenChoice, kernels),
        keep_int8=partial(_keep_int8, kernels),
        weight_dtype=torch.float32,
        compute_type="int8",
    )


def bfloat16_ops(kernels: Kernels) -> Ops:
    """Products of bfloat16 everywhere.

    Args:
        kernels: From `ifw.kernels.library`, which have bfloat16.

    Returns:
        The choice, for a model of dtype bfloat16.
    """
    return Ops(
        linear=_maker(kernels, torch.bfloat16, is_int8=False),
        conv=_maker(kernels, torch.bfloat16, is_int8=False),
        output=_maker(kernels, torch.bfloat16, is_int8=False, output_dtype=torch.float32),
        encoder_attention=partial(_encoder_attention, kernels),
        decode_attention=partial(_decode_attention, kernels),
        decode=partial(_fused_decode, kernels),
        choose_tokens=partial(NativeTokenChoice, kernels),
        keep_int8=partial(_keep_int8, kernels),
    )


def float32_attention(kernels: Kernels) -> dict[str, Any]:
    """The attention of a model of float32: fields of `Ops`. Its linear layers are torch's.

    Args:
        kernels: From `ifw.kernels.library`.
    """
    return {
        "encoder_attention": partial(_encoder_attention, kernels),
        "decode_attention": partial(_decode_attention, kernels),
        "splits_cross_kv": False,
        "key_block": 1,
    }


def _maker(
    kernels: Kernels, dtype: torch.dtype, *, is_int8: bool, output_dtype: torch.dtype | None = None
) -> MakeLinear:
    def make(weight: Tensor, bias: Tensor | None, n_rows: int, norm: LayerNorm | None = None) -> Linear:
        del n_rows  # one layout serves all
        return NativeLinear(
            kernels,
            weight,
            bias,
            norm=None if norm is None else (norm.weight, norm.bias),
            is_int8=is_int8,
            dtype=dtype,
            output_dtype=output_dtype,
        )

    return make


def _fused_decode(
    kernels: Kernels,
    layers: Sequence[Mapping[str, Linear]],
    token_embedding: Tensor,
    positions: Tensor,
    norm: LayerNorm,
    *,
    n_heads: int,
) -> Decode | None:
    if token_embedding.shape[1] != n_heads * HEAD_DIM:
        return None
    native = [{name: linear for name, linear in layer.items() if isinstance(linear, NativeLinear)} for layer in layers]
    return NativeDecoder(kernels, native, token_embedding, positions, (norm.weight, norm.bias))


def _keep_int8(kernels: Kernels, vectors: Tensor, kept: EightBitKv) -> None:
    if vectors.shape[-1] != HEAD_DIM:
        kept.copy_(vectors)
        return
    for layer, numbers, scales in zip(vectors, kept.values, kept.scales, strict=True):
        keep_int8(kernels, layer, numbers, scales)


def _encoder_attention(kernels: Kernels, qkv: Tensor) -> Tensor:
    if qkv.shape[-1] != HEAD_DIM:  # no published checkpoint
        return torch_ops.matmul_encoder_attention(qkv)
    return attention.encoder_attention(kernels, qkv)


def _decode_attention(kernels: Kernels, query: Tensor, keys: Tensor, values: Tensor, limit: KeyLimit | None) -> Tensor:
    if query.shape[-1] != HEAD_DIM:
        return torch_ops.matmul_decode_attention(query, keys, values, limit)
    return attention.decode_attention(kernels, query, keys, values, None if limit is None else limit.positions)
