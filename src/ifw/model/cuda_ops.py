"""The operations of a model on CUDA: torch's fused kernels, and Triton's for the attention of decode steps if it works.

Triton compiles when it is first used, and needs a C compiler, so the choice is tried out when a model is loaded.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor

from ifw.model.eight_bit_kv import EightBitKv, EightBits
from ifw.model.ops import DecodeAttention, EightBitAttention, KeyLimit, Ops
from ifw.model.torch_ops import sdpa_decode_attention

_LOG = logging.getLogger(__name__)
_N_HEADS, _N_KEYS, _HEAD_DIM = 2, 200, 64
_TOLERANCE = 2e-2  # of values around 1, in bfloat16


def choose_cuda_ops(ops: Ops, device: torch.device, dtype: torch.dtype) -> Ops:
    """Triton's attention where it compiles and gives what torch's gives, else torch's, with a warning that says why.

    Args:
        ops: Torch's operations.
        device: A CUDA device.
        dtype: Of queries, keys and values.
    """
    try:
        from ifw.model import triton_attention as own  # noqa: PLC0415 - CPU machines have no Triton

        error = max(
            _largest_error(own.triton_decode_attention, device, dtype),
            *(
                _largest_eight_bit_error(own.triton_eight_bit_attention, device, dtype, how)
                for how in get_args(EightBits)
            ),
        )
        if error < _TOLERANCE:
            return replace(
                ops,
                decode_attention=own.triton_decode_attention,
                reads_by_limit=True,
                eight_bit_attention=own.triton_eight_bit_attention,
            )
        reason = f"its results are off by {error:.3g}"
    except Exception as failure:  # a missing package, compiler or driver: torch's kernels need none of them
        reason = f"{type(failure).__name__}: {failure}"
    _LOG.warning("decode steps use torch's attention in place of Triton's, which is faster: %s", reason)
    return ops


def _largest_error(attention: DecodeAttention, device: torch.device, dtype: torch.dtype) -> float:
    """Between an attention and torch's in float32, with all keys and with some."""
    query, keys, values = _numbers(device, dtype)
    positions = torch.tensor([[0], [5], [63], [64], [_N_KEYS - 1]]).to(device)
    visible = (torch.arange(_N_KEYS, device=device) <= positions[:, :, None]).unsqueeze(1)
    return max(
        _difference(attention(query, keys, values, limit), query, keys.float(), values.float(), limit)
        for limit in (None, KeyLimit(positions, visible))
    )


def _largest_eight_bit_error(
    attention: EightBitAttention, device: torch.device, dtype: torch.dtype, how: EightBits
) -> float:
    """The same with keys and values in 8 bits, which both are given."""
    query, *rows = _numbers(device, dtype)
    kept = EightBitKv.zeros(2, *rows[0].shape, device=device, how=how)
    kept.copy_(torch.stack(rows))
    keys, values = kept
    return _difference(attention(query, keys, values), query, keys.float(), values.float(), None)


def _numbers(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """A query, keys and values of five rows, around 1."""
    generator = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, 5, _N_HEADS, _N_KEYS, _HEAD_DIM, generator=generator).to(device, dtype)
    query = torch.randn(5, 1, _N_HEADS, _HEAD_DIM, generator=generator) * _HEAD_DIM**-0.5
    return query.to(device, dtype), keys, values


def _difference(got: Tensor, query: Tensor, keys: Tensor, values: Tensor, limit: KeyLimit | None) -> float:
    """Infinite where a number is not finite."""
    expected = sdpa_decode_attention(query.float(), keys, values, limit)
    error = float((got.float() - expected).abs().max())
    return error if math.isfinite(error) else math.inf
