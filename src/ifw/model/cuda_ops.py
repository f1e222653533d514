"""The operations of a model on CUDA: torch's fused kernels, and Triton's for the attention of decode steps if it works.

Triton compiles when it is first used, and needs a C compiler, so the choice is tried out when a model is loaded.
"""

from __future__ import annotations

import logging

import torch

from ifw.model.ops import DecodeAttention, KeyLimit, sdpa_decode_attention

_LOG = logging.getLogger(__name__)
_N_HEADS, _N_KEYS, _HEAD_DIM = 2, 200, 64
_TOLERANCE = 2e-2  # of values around 1, in bfloat16


def choose_decode_attention(device: torch.device, dtype: torch.dtype) -> DecodeAttention:
    """Triton's kernel where it compiles and gives what torch's gives, else torch's, with a warning that says why.

    Args:
        device: A CUDA device.
        dtype: Of queries, keys and values.
    """
    try:
        from ifw.model.triton_attention import triton_decode_attention  # noqa: PLC0415 - CPU machines have no Triton

        error = _largest_error(triton_decode_attention, device, dtype)
        if error < _TOLERANCE:
            return triton_decode_attention
        reason = f"its results are off by {error:.3g}"
    except Exception as failure:  # a missing package, compiler or driver: torch's kernels need none of them
        reason = f"{type(failure).__name__}: {failure}"
    _LOG.warning("decode steps use torch's attention in place of Triton's, which is faster: %s", reason)
    return sdpa_decode_attention


def _largest_error(attention: DecodeAttention, device: torch.device, dtype: torch.dtype) -> float:
    """Between an attention and torch's in float32, with all keys and with some."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(2, 5, _N_HEADS, _N_KEYS, _HEAD_DIM, generator=generator).to(device, dtype)
    query = (torch.randn(5, 1, _N_HEADS, _HEAD_DIM, generator=generator) * _HEAD_DIM**-0.5).to(device, dtype)
    positions = torch.tensor([[0], [5], [63], [64], [_N_KEYS - 1]]).to(device)
    visible = (torch.arange(_N_KEYS, device=device) <= positions[:, :, None]).unsqueeze(1)
    worst = 0.0
    for limit in (None, KeyLimit(positions, visible)):
        got = attention(query, numbers[0], numbers[1], limit).float()
        expected = sdpa_decode_attention(query.float(), numbers[0].float(), numbers[1].float(), limit)
        error = float((got - expected).abs().max())
        worst = max(worst, error if error == error else float("inf"))  # noqa: PLR0124 - NaN is the largest error
    return worst
