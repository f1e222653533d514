"""Random numbers that depend on a key alone, so that a sampled row never depends on its neighbours."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

_MASK_32 = 0xFFFFFFFF
_BELOW_ONE = 1 - 2**-24


def noise_key(*place: int) -> tuple[int, int]:
    """Two 32-bit numbers that differ for every place: seed, window, attempt, and the sample where there are several."""
    digest = hashlib.blake2b("/".join(map(str, place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def gumbel_noise(key: Tensor, step: Tensor, n_vocab: int) -> Tensor:
    """Standard Gumbel noise: adding it to logits turns argmax into sampling.

    Args:
        key: [2, B] int64 from `noise_key`.
        step: [B] int64, tokens that the row has sampled so far.
        n_vocab: V.

    Returns:
        [B, V] float32, the same on every device for the same key and step up to rounding.
    """
    token = torch.arange(n_vocab, device=key.device)
    bits = _mix(token ^ key[0][:, None])
    bits = _mix((bits ^ key[1][:, None]) + step[:, None])
    uniform = bits.float().add_(0.5).mul_(2.0**-32).clamp_(max=_BELOW_ONE)
    exponential = uniform.neg_().log1p_().neg_()
    return exponential.log_().neg_()


def _mix(bits: Tensor) -> Tensor:
    """Scramble 32-bit numbers held in int64; products stay below 2**63.

    Source: the `lowbias32` family of integer hashes, github.com/skeeto/hash-prospector issue 19.
    """
    bits = bits & _MASK_32
    bits = (bits ^ (bits >> 16)) * 0x21F0AAAD & _MASK_32
    bits = (bits ^ (bits >> 15)) * 0x735A2D97 & _MASK_32
    return bits ^ (bits >> 15)
