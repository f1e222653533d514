"""Attention by the native library: of all positions of a window, and of single queries over a cache."""

from __future__ import annotations

from ctypes import byref

import torch
from torch import Tensor

from ifw.errors import ShapeError
from ifw.kernels.library import HEAD_DIM, STORED, CacheStruct, Kernels


def encoder_attention(kernels: Kernels, qkv: Tensor) -> Tensor:
    """Let every position attend to every other.

    Args:
        kernels: From `ifw.kernels.library`.
        qkv: [B, S, 3, H, 64], float32 or bfloat16, queries scaled. bfloat16 is multiplied as
            such, and the weights are rounded to it.

    Returns:
        [B, S, H * 64].

    Raises:
        ShapeError: The shape, the dtype or the device does not fit.
    """
    if qkv.ndim != 5 or qkv.shape[2] != 3 or qkv.shape[4] != HEAD_DIM or not _is_stored(qkv):
        raise ShapeError(f"qkv: got {_describe(qkv)}, allowed: float32 or bfloat16 [B, S, 3, H, {HEAD_DIM}] on cpu")
    qkv = qkv.contiguous()
    n_windows, n_positions, _, n_heads, _ = qkv.shape
    out = torch.empty(n_windows, n_positions, n_heads * HEAD_DIM, dtype=qkv.dtype, device="cpu")
    if out.numel():
        kernels.encoder_attention(
            byref(kernels.team()),
            qkv.data_ptr(),
            out.data_ptr(),
            n_windows,
            n_positions,
            n_heads,
            STORED[qkv.dtype],
        )
    return out


def decode_attention(kernels: Kernels, query: Tensor, keys: Tensor, values: Tensor, positions: Tensor | None) -> Tensor:
    """Let queries attend to the keys of their group.

    Args:
        kernels: From `ifw.kernels.library`.
        query: [B, T, H, 64], float32 or bfloat16, scaled.
        keys: [B, H, N, 64] of the same dtype, N at least 1; may be a view on a larger cache, its last two
            axes dense.
        values: The same, with the same strides.
        positions: [B, T] int64, the last key that each query sees, below N; None lets all see all.

    Returns:
        [B, T, H * 64].

    Raises:
        ShapeError: Shapes, dtypes, strides or the device do not fit.
    """
    _check_cache(query, keys, values)
    n_groups, n_queries, n_heads, _ = query.shape
    if positions is not None:
        _check_positions(positions, n_groups, n_queries)
        positions = positions.contiguous()
    if query.stride()[2:] != (HEAD_DIM, 1) or query.stride(0) != n_queries * query.stride(1):
        query = query.contiguous()
    out = torch.empty(n_groups, n_queries, n_heads * HEAD_DIM, dtype=query.dtype, device="cpu")
    if out.numel():
        cache = CacheStruct(
            keys=keys.data_ptr(),
            values=values.data_ptr(),
            group_stride=keys.stride(0),
            head_stride=keys.stride(1),
            n_groups=n_groups,
            n_heads=n_heads,
            n_keys=keys.shape[2],
            type=STORED[query.dtype],
        )
        status = kernels.decode_attention(
            byref(kernels.team()),
            byref(cache),
            query.data_ptr(),
            query.stride(1),
            n_queries,
            None if positions is None else positions.data_ptr(),
            out.data_ptr(),
        )
        if status:
            raise ShapeError(f"positions: got {positions}, allowed: 0 to {keys.shape[2] - 1}, the last key")
    return out


def _check_cache(query: Tensor, keys: Tensor, values: Tensor) -> None:
    if query.ndim != 4 or query.shape[3] != HEAD_DIM or not _is_stored(query):
        raise ShapeError(f"query: got {_describe(query)}, allowed: float32 or bfloat16 [B, T, H, {HEAD_DIM}] on cpu")
    n_groups, _, n_heads, _ = query.shape
    for name, part in (("keys", keys), ("values", values)):
        fits = part.ndim == 4 and (part.shape[0], part.shape[1], part.shape[3]) == (n_groups, n_heads, HEAD_DIM)
        if not fits or part.shape[2] < 1 or part.dtype != query.dtype or part.device.type != "cpu":
            allowed = f"{query.dtype} [{n_groups}, {n_heads}, N, {HEAD_DIM}] on cpu, N at least 1"
            raise ShapeError(f"{name}: got {_describe(part)}, allowed: {allowed}")
        if part.stride()[2:] != (HEAD_DIM, 1) or min(part.stride()[:2]) < 0:
            raise ShapeError(f"{name}: got strides {part.stride()}, allowed: the last two axes dense")
    if keys.shape != values.shape or keys.stride() != values.stride():
        raise ShapeError(f"values: got {_describe(values)}, allowed: shape and strides of the keys")


def _check_positions(positions: Tensor, n_groups: int, n_queries: int) -> None:
    if positions.shape != (n_groups, n_queries) or positions.dtype != torch.int64 or positions.device.type != "cpu":
        raise ShapeError(f"positions: got {_describe(positions)}, allowed: int64 [{n_groups}, {n_queries}] on cpu")


def _is_stored(tensor: Tensor) -> bool:
    return tensor.dtype in STORED and tensor.device.type == "cpu"


def _describe(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)} on {tensor.device}"
