"""Linear layers that multiply in 8 bits: for the encoder on CUDA, whose time is that of its products.

Weights are rounded once, with a scale for each output; inputs are rounded on the way, with a scale for each row. `int8`
adds up integers, exactly, `float8` (e4m3) in float32. On CPU torch has the same operations, so that the same numbers
come out there: integers bit for bit.

Source: Dettmers et al. 2022, "LLM.int8()", its vector-wise quantisation without outliers; torch's `_int_mm` and
`_scaled_mm`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ifw.errors import ConfigError
from ifw.model.ops import LayerNorm, Linear, MakeLinear, Ops
from ifw.model.torch_ops import PlainLinear

Products = Literal["int8", "float8"]

_DTYPES: Final = {"int8": torch.int8, "float8": torch.float8_e4m3fn}
_HIGHEST: Final = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
_LEAST_SCALE: Final = 2.0**-100  # of a row of zeros
_MULTIPLE: Final = 16  # of what both sizes of a weight have to be
_TOLERANCE: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class EightBitLinear:
    """A linear layer in 8 bits; see `Linear`.

    A row's result does not depend on those that come with it.

    Attributes:
        weight: [out, in] int8 or float8_e4m3fn.
        scales: [out] float32, by which the rows of the weight are to be multiplied.
        bias: [out], in the dtype of the weight that it was made from.
        norm: Before it.
    """

    weight: Tensor
    scales: Tensor
    bias: Tensor | None
    norm: LayerNorm | None = None

    def __call__(self, x: Tensor, *, gelu: bool = False, residual: Tensor | None = None) -> Tensor:
        """Apply the layer."""
        rows, row_scales = round_rows((x if self.norm is None else self.norm(x)).flatten(0, -2), self.weight.dtype)
        y = self._multiply(rows, row_scales, x.dtype).view(*x.shape[:-1], -1)
        if gelu:
            return F.gelu(y)
        return y if residual is None else y.add_(residual)

    def _multiply(self, rows: Tensor, row_scales: Tensor, dtype: torch.dtype) -> Tensor:
        if self.weight.dtype == torch.int8:
            sums = torch._int_mm(rows, self.weight.T)
            y = (sums * row_scales[:, None]).mul_(self.scales)
            return (y if self.bias is None else y.add_(self.bias)).to(dtype)
        # scales of rows go with bfloat16 everywhere, and with other dtypes only in some versions of torch and devices
        y = torch._scaled_mm(
            rows, self.weight.T, scale_a=row_scales[:, None], scale_b=self.scales[None], out_dtype=torch.bfloat16
        ).to(dtype)
        return y if self.bias is None else y.add_(self.bias)


def round_rows(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Round each row to 8 bits.

    Args:
        x: [n, in].
        dtype: int8 or float8_e4m3fn.

    Returns:
        [n, in] of `dtype` and [n] float32, by which the rows are to be multiplied. Rows that are not finite stay so by
        their scale.
    """
    highest = _HIGHEST[dtype]
    exact = x.float()
    scales = (exact.abs().amax(-1) / highest).clamp_(min=_LEAST_SCALE)
    scaled = (exact / scales[:, None]).clamp_(-highest, highest)
    return (scaled.round_() if dtype == torch.int8 else scaled).to(dtype), scales


def eight_bit_encoder(ops: Ops, products: Products, device: torch.device, dtype: torch.dtype) -> Ops:
    """The same operations, but that the linear layers of the encoder's blocks multiply in 8 bits.

    Args:
        ops: Of a device and a dtype.
        products: Which 8 bits.
        device: Where the model runs.
        dtype: Of the model.

    Returns:
        The choice.

    Raises:
        ConfigError: The device cannot, or gives other numbers; or the products are in 8 bits already.
    """
    if ops.compute_type == "int8":
        raise ConfigError(
            f"encoder_products: got {products!r} beside compute_type 'int8', whose products are in 8 bits already, "
            "allowed: 'same'"
        )
    _try_out(products, device, dtype)
    return replace(ops, encoder_linear=_maker(products, ops.linear), encoder_products=products)


def _maker(products: Products, other: MakeLinear) -> MakeLinear:
    def make(weight: Tensor, bias: Tensor | None, n_rows: int, norm: LayerNorm | None = None) -> Linear:
        if any(size % _MULTIPLE for size in weight.shape):  # no published checkpoint
            return other(weight, bias, n_rows, norm)
        rounded, scales = round_rows(weight, _DTYPES[products])
        return EightBitLinear(rounded, scales, bias, norm)

    return make


def _try_out(products: Products, device: torch.device, dtype: torch.dtype) -> None:
    """Multiply something small, to see whether the device can."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(64, 32, generator=generator), torch.randn(48, 32, generator=generator)
    exact = F.linear(x, weight)
    make: Callable[..., Linear] = _maker(products, PlainLinear.make)
    try:
        got = make(weight.to(device, dtype), None, len(x))(x.to(device, dtype)).float().cpu()
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
    else:
        off = float((got - exact).norm() / exact.norm())
        if off < _TOLERANCE:
            return
        reason = f"its products are off by {off:.2g}"
    raise ConfigError(
        f"encoder_products: got {products!r}, which this device cannot ({device.type}: {reason}), allowed: 'same', or "
        "the other kind of 8 bits; int8 needs compute capability 8.0, float8 needs 9.0, or 8.9 and a new torch"
    )
