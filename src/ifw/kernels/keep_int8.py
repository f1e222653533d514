"""Keys and values rounded to int8 by the native library, on their way into a cache."""

from __future__ import annotations

from ctypes import byref

import torch
from torch import Tensor

from ifw.errors import ShapeError
from ifw.kernels.library import HEAD_DIM, STORED, Int8VectorsStruct, Kernels


def keep_int8(kernels: Kernels, vectors: Tensor, numbers: Tensor, scales: Tensor) -> None:
    """Round vectors to int8, each by a scale that makes its largest number 127.

    A vector with a number that is not finite gets a scale that is not.

    Args:
        kernels: From `ifw.kernels.library`.
        vectors: [2, H, S, 64] float32 or bfloat16, a view on [S, 2, H, 64] or on a part of longer rows.
        numbers: [2, H, S, 64] int8, written; its last two axes are dense.
        scales: [2, H, S] float16, written; strides are those of `numbers`, divided by 64.

    Raises:
        ShapeError: Shapes, dtypes or strides do not fit.
    """
    if vectors.ndim != 4 or vectors.dtype not in STORED or vectors.shape[-1] != HEAD_DIM:
        raise ShapeError(f"vectors: got {vectors.dtype} {list(vectors.shape)}, allowed: float, [2, H, S, {HEAD_DIM}]")
    n_outer, n_inner, n_tokens, _ = shape = vectors.shape
    strides = scales.stride()
    fits = (
        numbers.shape == shape
        and scales.shape == shape[:3]
        and (numbers.dtype, scales.dtype) == (torch.int8, torch.float16)
        and numbers.stride() == (*(HEAD_DIM * stride for stride in strides), 1)
        and strides[2] == 1
        and vectors.stride()[:2] == (n_inner * HEAD_DIM, HEAD_DIM)
        and vectors.stride(3) == 1
        and {part.device.type for part in (vectors, numbers, scales)} == {"cpu"}
    )
    if not fits:
        raise ShapeError(
            f"numbers, scales: got {numbers.dtype} {list(numbers.shape)} with strides {numbers.stride()} and "
            f"{scales.dtype} {list(scales.shape)} with strides {strides}, for vectors with strides {vectors.stride()}"
        )
    out = Int8VectorsStruct(
        numbers=numbers.data_ptr(),
        scales=scales.data_ptr(),
        n_outer=n_outer,
        n_inner=n_inner,
        outer_stride=strides[0],
        inner_stride=strides[1],
    )
    kernels.keep_int8(
        byref(kernels.team()), vectors.data_ptr(), vectors.stride(2), STORED[vectors.dtype], n_tokens, byref(out)
    )
