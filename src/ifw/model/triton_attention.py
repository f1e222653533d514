"""Decode attention for CUDA in Triton: one query a row against a cache, the keys of a row split among several programs.

A step reads every key and value once and computes little with them, so what counts is bytes in flight. One program for
each row and head fills a GPU from some fifty rows on; with fewer, each takes a part of the keys, and a second kernel
puts the parts together (Flash-Decoding). A row reads only keys that it may see: a long cache costs a short text none.

On CPU the kernels run in Triton's interpreter (`TRITON_INTERPRET=1`), which is how they are tested without a GPU.

Source: Milakov and Gimelshein 2018, "Online normalizer calculation for softmax"; Dao et al. 2023, "Flash-Decoding".
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from ifw.model.eight_bit_kv import EightBitKv
from ifw.model.ops import KeyLimit
from ifw.model.torch_ops import sdpa_decode_attention

BLOCK_KEYS: Final = 64
_N_WARPS = 4
_MOST_PARTS = 32
_WANTED_PROGRAMS = 1056  # eight for each of the 132 multiprocessors of an H100


def n_parts_for(n_rows: int, n_heads: int, n_keys: int) -> int:
    """Into how many parts the keys of a row are split, from the shapes alone: a CUDA graph replays the choice."""
    n_blocks = -(-n_keys // BLOCK_KEYS)
    return max(1, min(n_blocks, _MOST_PARTS, _WANTED_PROGRAMS // (n_rows * n_heads)))


def triton_decode_attention(query: Tensor, keys: Tensor, values: Tensor, limit: KeyLimit | None) -> Tensor:
    """Attention over a cache; see `Ops.decode_attention`. Several queries a row go to torch's fused kernel."""
    n_rows, n_new, n_heads, head_dim = query.shape
    if n_new != 1 or not can_attend(keys, values, head_dim):
        return sdpa_decode_attention(query, keys, values, limit)
    # where the limit says how many keys there are, most parts of a split would be empty
    n_parts = 1 if limit is not None else n_parts_for(n_rows, n_heads, keys.shape[2])
    return _run(query, (keys, values), None if limit is None else limit.positions, None, n_parts)


def triton_eight_bit_attention(query: Tensor, keys: EightBitKv, values: EightBitKv) -> Tensor:
    """Attention of one query a row over all of its keys, which are in 8 bits; see `Ops.eight_bit_attention`."""
    n_rows, _, n_heads, _ = query.shape
    n_parts = n_parts_for(n_rows, n_heads, keys.shape[2])
    bits = keys.values, values.values
    if keys.values.dtype == torch.float8_e4m3fn:  # not every device knows it, but all know bits
        bits = keys.values.view(torch.uint8), values.values.view(torch.uint8)
    return _run(query, bits, None, (keys.scales, values.scales), n_parts)


def _run(
    query: Tensor,
    cache: tuple[Tensor, Tensor],
    positions: Tensor | None,
    scales: tuple[Tensor, Tensor] | None,
    n_parts: int,
) -> Tensor:
    """Query [B, 1, H, Dh], keys and values [B, H, N, Dh], their scales [B, H, N or 1], keys in about so many parts."""
    n_rows, _, n_heads, head_dim = query.shape
    keys, values = cache
    n_keys = keys.shape[2]
    part_keys = -(-n_keys // (n_parts * BLOCK_KEYS)) * BLOCK_KEYS
    n_parts = -(-n_keys // part_keys)
    mixed = query.new_empty(n_rows, 1, n_heads * head_dim)
    parts = query.new_empty((n_rows, n_heads, n_parts, head_dim + 2) if n_parts > 1 else (1,), dtype=torch.float32)
    key_scales, value_scales = (mixed, mixed) if scales is None else scales
    _attend[(n_rows, n_heads, n_parts)](
        query, keys, values, mixed if positions is None else positions, key_scales, value_scales, mixed, parts,
        query.stride(0), query.stride(2), keys.stride(0), keys.stride(1), values.stride(0), values.stride(1),
        key_scales.stride(0), key_scales.stride(1), value_scales.stride(0), value_scales.stride(1),
        int(key_scales.shape[-1] > 1), n_keys, part_keys, n_heads, n_parts,
        HEAD_DIM=head_dim, BLOCK=BLOCK_KEYS, IS_SPLIT=n_parts > 1,
        HAS_LIMIT=positions is not None, HAS_SCALES=scales is not None, IS_FLOAT8=keys.dtype == torch.uint8,
        num_warps=_N_WARPS,
    )  # fmt: skip
    if n_parts > 1:
        _join[(n_rows, n_heads)](
            parts, mixed, n_heads, n_parts, MOST_PARTS=_MOST_PARTS, HEAD_DIM=head_dim, num_warps=1,
        )  # fmt: skip
    return mixed


def can_attend(keys: Tensor, values: Tensor, head_dim: int) -> bool:
    """Whether the kernel reads such a cache: a head's keys lie one behind the other, their width is a power of 2."""
    dense = (head_dim, 1)
    return head_dim & (head_dim - 1) == 0 and head_dim >= 16 and keys.stride()[2:] == values.stride()[2:] == dense


@triton.jit
def _numbers(block, IS_FLOAT8: tl.constexpr):  # fmt: skip
    if not IS_FLOAT8:
        return block.to(tl.float32)
    # the bits of e4m3 where float32 has its own are the number with an exponent that is too small by 120
    bits = block.to(tl.int32)
    placed = ((bits & 0x80) << 24) | ((bits & 0x7F) << 20)
    return placed.to(tl.float32, bitcast=True) * 1.329227995784916e36


@triton.jit
def _attend(
    query, keys, values, positions, key_scales, value_scales, mixed, parts,
    query_row, query_head, key_row, key_head, value_row, value_head,
    key_scale_row, key_scale_head, value_scale_row, value_scale_head,
    scale_key, n_keys, part_keys, n_heads, n_parts,
    HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr, IS_SPLIT: tl.constexpr, HAS_LIMIT: tl.constexpr,
    HAS_SCALES: tl.constexpr, IS_FLOAT8: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    part = tl.program_id(2)
    end = n_keys
    if HAS_LIMIT:
        end = tl.minimum(tl.load(positions + row).to(tl.int32) + 1, n_keys)
    first = part * part_keys
    last = tl.minimum(first + part_keys, end)

    dims = tl.arange(0, HEAD_DIM)
    wanted = tl.load(query + row * query_row + head * query_head + dims).to(tl.float32)
    keys += row * key_row + head * key_head
    values += row * value_row + head * value_head
    if HAS_SCALES:
        key_scales += row * key_scale_row + head * key_scale_head
        value_scales += row * value_scale_row + head * value_scale_head
    highest = float("-inf")
    total = 0.0
    mix = tl.zeros([HEAD_DIM], dtype=tl.float32)
    for start in range(first, last, BLOCK):
        key = start + tl.arange(0, BLOCK)
        is_inside = key < last
        place = key[:, None] * HEAD_DIM + dims[None, :]
        key_block = tl.load(keys + place, mask=is_inside[:, None], other=0)
        value_block = tl.load(values + place, mask=is_inside[:, None], other=0)  # both are on their way at once
        scores = tl.sum(_numbers(key_block, IS_FLOAT8) * wanted[None, :], 1)
        if HAS_SCALES:
            scores *= tl.load(key_scales + key * scale_key, mask=is_inside, other=0.0).to(tl.float32)
        scores = tl.where(is_inside, scores, float("-inf"))
        now_highest = tl.maximum(highest, tl.max(scores, 0))
        weights = tl.exp(scores - now_highest)
        fading = tl.exp(highest - now_highest)
        total = total * fading + tl.sum(weights, 0)
        if HAS_SCALES:
            weights *= tl.load(value_scales + key * scale_key, mask=is_inside, other=0.0).to(tl.float32)
        mix = mix * fading + tl.sum(_numbers(value_block, IS_FLOAT8) * weights[:, None], 0)
        highest = now_highest

    place = row * n_heads + head
    if not IS_SPLIT:
        tl.store(mixed + place * HEAD_DIM + dims, (mix / total).to(mixed.dtype.element_ty))
    else:
        own = parts + (place * n_parts + part) * (HEAD_DIM + 2)
        tl.store(own + dims, mix)
        tl.store(own + HEAD_DIM, highest)
        tl.store(own + HEAD_DIM + 1, total)


@triton.jit
def _join(
    parts, mixed, n_heads, n_parts, MOST_PARTS: tl.constexpr, HEAD_DIM: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * n_heads + tl.program_id(1)
    dims = tl.arange(0, HEAD_DIM)
    part = tl.arange(0, MOST_PARTS)
    is_there = part < n_parts
    own = parts + (place * n_parts + part) * (HEAD_DIM + 2)
    highest = tl.load(own + HEAD_DIM, mask=is_there, other=float("-inf"))
    share = tl.exp(highest - tl.max(highest, 0))  # 0 for a part without keys
    total = tl.sum(share * tl.load(own + HEAD_DIM + 1, mask=is_there, other=0.0), 0)
    mix = tl.load(own[:, None] + dims[None, :], mask=is_there[:, None], other=0.0)
    mix = tl.sum(mix * share[:, None], 0)
    tl.store(mixed + place * HEAD_DIM + dims, (mix / total).to(mixed.dtype.element_ty))
