"""Linear layers whose products are made by the native library; the norm before them is part of the call."""

from __future__ import annotations

from ctypes import byref
from typing import Final

import torch
from torch import Tensor

from ifw.errors import ShapeError
from ifw.kernels.library import (
    MULTIPLY_BFLOAT16,
    MULTIPLY_FLOAT32,
    MULTIPLY_INT8,
    STORED,
    Kernels,
    LinearStruct,
    NormStruct,
)

NORM_EPSILON: Final = 1e-5


class NativeLinear:
    """A linear layer with int8 or floating-point products.

    int8: weights have a scale for each output, inputs one for each row, found when it comes; sums are exact integers.
    Otherwise products are those of `dtype`, or of float32 where the processor has none of bfloat16. Either way a row's
    result does not depend on the rows that come with it, bit for bit.

    Args:
        kernels: From `ifw.kernels.library`.
        weight: [out, in], any float dtype.
        bias: [out], or None.
        norm: Weight and bias of the layer normalisation of the inputs, [in] each, or None.
        is_int8: Whether weights and inputs are quantised.
        dtype: Of inputs and residual: float32 or bfloat16.
        output_dtype: Of the result: `dtype`, or float32.

    Attributes:
        struct: What the library knows of the layer; it lives as long as this object.
        norm_struct: Of its norm.
    """

    def __init__(
        self,
        kernels: Kernels,
        weight: Tensor,
        bias: Tensor | None,
        *,
        norm: tuple[Tensor, Tensor] | None = None,
        is_int8: bool,
        dtype: torch.dtype,
        output_dtype: torch.dtype | None = None,
    ) -> None:
        assert weight.ndim == 2, "a weight is [out, in]"
        self._kernels = kernels
        self._dtype = dtype
        self._output_dtype = output_dtype or dtype
        self._n_out, self._n_in = n_out, n_in = weight.shape
        arithmetic = _arithmetic(kernels, dtype, is_int8=is_int8)
        n_padded = -(-n_out // kernels.panel) * kernels.panel
        packed = torch.empty(kernels.packed_bytes(n_in, n_out, arithmetic), dtype=torch.uint8, device="cpu")
        scale = torch.zeros(n_padded, dtype=torch.float32, device="cpu") if is_int8 else None
        correction = torch.zeros(n_padded, dtype=torch.int32, device="cpu") if is_int8 else None
        source = weight.float().contiguous()
        kernels.pack_linear(
            source.data_ptr(), n_in, n_out, arithmetic, packed.data_ptr(), _address(scale), _address(correction)
        )
        padded_bias = None if bias is None else torch.nn.functional.pad(bias.float(), (0, n_padded - n_out))
        self.struct = LinearStruct(
            n_in=n_in,
            n_out=n_out,
            arithmetic=arithmetic,
            input_type=STORED[dtype],
            output_type=STORED[self._output_dtype],
            weight=packed.data_ptr(),
            scale=_address(scale),
            correction=_address(correction),
            bias=_address(padded_bias),
        )
        assert self._output_dtype in {dtype, torch.float32}, "a result is stored as its input, or as float32"
        assert norm is None or all(part.shape == (n_in,) for part in norm), "a norm has a weight and a bias an input"
        self.norm_struct = None if norm is None else norm_struct(*norm)
        self._norm = None if self.norm_struct is None else byref(self.norm_struct)
        self._layer = byref(self.struct)
        self._owned = (packed, scale, correction, padded_bias)  # the struct points into them

    def __call__(self, x: Tensor, *, gelu: bool = False, residual: Tensor | None = None) -> Tensor:
        """Map `x` [..., in] to [..., out]; then GELU (erf) if asked, then add `residual` [..., out] if given.

        Raises:
            ShapeError: Shapes, dtypes or the device do not fit.
        """
        shape = (*x.shape[:-1], self._n_out)
        self._check(x, shape, residual)
        x = x.contiguous()
        residual = None if residual is None else residual.contiguous()
        y = torch.empty(shape, dtype=self._output_dtype, device="cpu")
        n_rows = x.numel() // self._n_in
        if n_rows:
            self._kernels.linear(
                byref(self._kernels.team()),
                self._layer,
                self._norm,
                x.data_ptr(),
                None if residual is None else residual.data_ptr(),
                y.data_ptr(),
                n_rows,
                gelu,
            )
        return y

    def _check(self, x: Tensor, shape: tuple[int, ...], residual: Tensor | None) -> None:
        if x.shape[-1] != self._n_in or x.dtype != self._dtype or x.device.type != "cpu":
            raise ShapeError(
                f"x: got {x.dtype} {list(x.shape)} on {x.device}, allowed: {self._dtype} [..., {self._n_in}] on cpu"
            )
        if residual is not None and (residual.shape != shape or residual.dtype != self._dtype):
            raise ShapeError(
                f"residual: got {residual.dtype} {list(residual.shape)}, allowed: {self._dtype} {list(shape)}"
            )


def norm_struct(weight: Tensor, bias: Tensor) -> NormStruct:
    """What the library knows of a layer normalisation; it owns what it points to.

    Args:
        weight: [n].
        bias: [n].
    """
    owned = weight.float().contiguous(), bias.float().contiguous()
    struct = NormStruct(*(part.data_ptr() for part in owned), NORM_EPSILON, 0)
    struct.owned = owned
    return struct


def _arithmetic(kernels: Kernels, dtype: torch.dtype, *, is_int8: bool) -> int:
    if is_int8:
        return MULTIPLY_INT8
    return MULTIPLY_BFLOAT16 if dtype == torch.bfloat16 and kernels.has_bfloat16 else MULTIPLY_FLOAT32


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
