"""Torch's operations, chosen once for a device and a dtype.

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

from dataclasses import replace

import torch

from ifw.model import bag_attention as bags
from ifw.model.cuda_ops import choose_cuda_ops
from ifw.model.ops import DecodeAttention, EncoderAttention, MakeLinear, Ops
from ifw.model.torch_ops import (
    PackedLinear,
    PlainLinear,
    can_pack,
    matmul_decode_attention,
    matmul_encoder_attention,
    packed_encoder_attention,
    sdpa_decode_attention,
    sdpa_encoder_attention,
)


def choose_ops(device: torch.device, dtype: torch.dtype) -> Ops:
    """Choose the fastest implementations that this machine has.

    Args:
        device: Where the model runs.
        dtype: float32, bfloat16 or float16.

    Returns:
        The choice. All of them agree up to rounding.
    """
    if device.type == "cuda":
        return choose_cuda_ops(
            _plain_ops(PlainLinear.make, sdpa_encoder_attention, sdpa_decode_attention), device, dtype
        )
    if device.type != "cpu":
        return _plain_ops(PlainLinear.make, sdpa_encoder_attention, sdpa_decode_attention)
    if not can_pack(dtype):
        return _plain_ops(PlainLinear.make, sdpa_encoder_attention, matmul_decode_attention)
    encoder_attention = packed_encoder_attention if dtype == torch.float32 else matmul_encoder_attention
    if not bags.has_bags():
        return _plain_ops(PackedLinear.make, encoder_attention, matmul_decode_attention)
    ops = _plain_ops(PackedLinear.make, encoder_attention, bags.bag_decode_attention)
    return replace(ops, splits_cross_kv=True, key_block=bags.KEY_BLOCK)


def _plain_ops(linear: MakeLinear, encoder_attention: EncoderAttention, decode_attention: DecodeAttention) -> Ops:
    return Ops(linear, linear, linear, encoder_attention, decode_attention)
