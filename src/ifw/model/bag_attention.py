"""Attention of one query a row on CPU, by torch's embedding bags: weighted sums of rows of a table.

A product of matrices with one query leaves most of a vector register idle, or lays out all keys anew. The kernel
behind `torch.embedding_bag` (fbgemm's, for AVX2 and AVX-512) reads rows from end to end, at the speed of memory, and
sums up in float32. Values are such rows, weighted by the softmax; so are transposed keys, weighted by the numbers of a
query. A bag knows nothing of the others, so a row gives the same bits in every batch.

Base, 8 rows x 1500 keys, bfloat16, one thread: scores 1.08 ms by matmul, 0.42 so; values 1.11 and 0.39 ms.
"""

from __future__ import annotations

import functools
import platform

import torch
from torch import Tensor

from ifw.model.ops import KeyLimit

KEY_BLOCK = 64
"""How many keys of the self-attention a step reads is a multiple of it: oneDNN prepares each shape once, for 1 ms."""


def has_bags() -> bool:
    """Whether this machine's torch has the fast kernel for embedding bags."""
    is_x86 = platform.machine() in {"x86_64", "AMD64"}
    return is_x86 and "fbgemm" in torch.backends.quantized.supported_engines


def bag_decode_attention(query: Tensor, keys: Tensor, values: Tensor, limit: KeyLimit | None) -> Tensor:
    """Attention over a cache, fast for one query a row and keys that lie transposed; see `Ops.decode_attention`."""
    n_rows, n_new, _, _ = query.shape
    is_step, transposed = n_new == 1, keys.transpose(2, 3)
    if is_step and _are_rows(transposed):
        scores = _weighted_sums(transposed, query).unsqueeze(2)  # [B, H, 1, N]
    elif keys.stride(3) == 1 and keys.dtype != torch.float32:
        scores = torch.matmul(keys, query.permute(0, 2, 3, 1)).transpose(2, 3)  # [B, H, T, N]
    else:  # on this side of the keys MKL gives a row the same bits in every batch
        scores = torch.matmul(query.transpose(1, 2), transposed)
    if limit is not None:
        scores.masked_fill_(~limit.visible, float("-inf"))
    weights = torch.softmax(scores, -1)
    if is_step and _are_rows(values):
        return _weighted_sums(values, weights).view(n_rows, 1, -1)
    return torch.matmul(weights, values).transpose(1, 2).flatten(2)


def _are_rows(rows: Tensor) -> bool:
    """Whether rows [B, H, N, W] are those of one table, all heads at the same distance."""
    n_heads = rows.shape[1]
    each, head, row, number = rows.stride()
    return number == 1 and head % row == 0 and (each == n_heads * head or rows.shape[0] == 1)


def _weighted_sums(rows: Tensor, weights: Tensor) -> Tensor:
    """Sum up rows [B, H, N, W] by weights, which are B * H * N in this order; [B, H, W]."""
    n_windows, n_heads, n_rows, width = rows.shape
    distance = rows.stride(1) // rows.stride(2)
    n_bags = n_windows * n_heads
    indices, offsets = _bags(n_bags, n_rows, distance)
    table = rows.as_strided(((n_bags - 1) * distance + n_rows, width), (rows.stride(2), 1))
    sums: Tensor = torch.embedding_bag(table, indices, offsets, per_sample_weights=weights.reshape(-1))[0]
    return sums.view(n_windows, n_heads, width)


@functools.lru_cache(maxsize=16)
def _bags(n_bags: int, n_rows: int, distance: int) -> tuple[Tensor, Tensor]:
    """Which rows of the table each bag has, and where its rows begin among them: the same in all layers and steps."""
    first = torch.arange(n_bags, dtype=torch.int32) * distance
    indices = (first[:, None] + torch.arange(n_rows, dtype=torch.int32)).flatten()
    return indices, torch.arange(n_bags, dtype=torch.int32) * n_rows
