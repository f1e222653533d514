"""From encoder outputs to the keys and values of the cross-attention, in the layout in which they are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ifw.model.eight_bit_kv import EightBitKv
from ifw.model.ops import KeepInt8, Linear
from ifw.model.split_kv import SplitKv
from ifw.model.torch_ops import packed_product

CrossCache = Tensor | EightBitKv | SplitKv
"""Keys and values of the cross-attention, [L, 2, B, H, S, Dh]."""


class CrossProjection(Protocol):
    """The projection of some layers."""

    def __call__(self, window: Tensor, out: CrossCache) -> None:
        """Write the keys and values of a window [S, D] to `out` [layers, 2, H, S, Dh]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class JoinedProjection:
    """Keys and values of some layers by one product; see `CrossProjection`."""

    linear: Linear  # D -> layers * 2 * D, ordered (layer, kv, head, Dh)
    keep_int8: KeepInt8 | None = None

    def __call__(self, window: Tensor, out: CrossCache) -> None:
        """Write them."""
        n_layers, _, n_heads, n_positions, head_dim = out.shape
        projected = self.linear(window).view(n_positions, n_layers, 2, n_heads, head_dim)
        keys_and_values = projected.permute(1, 2, 3, 0, 4)
        if self.keep_int8 is not None and isinstance(out, EightBitKv) and out.is_int8:
            self.keep_int8(keys_and_values, out)
        else:
            out.copy_(keys_and_values)


@dataclass(frozen=True, slots=True, eq=False)
class SplitProjection:
    """Of one layer, with a product for the keys that gives them transposed; see `CrossProjection`.

    Transposing them afterwards takes half as long as the product.
    """

    key_weight: Tensor  # [D, D], as it is; keys have no bias
    values: Linear  # D -> D

    def __call__(self, window: Tensor, out: CrossCache) -> None:
        """Write them."""
        _, _, n_heads, n_positions, head_dim = out.shape
        keys = packed_product(self.key_weight, window).view(1, n_heads, head_dim, n_positions)
        values = self.values(window).view(1, n_positions, n_heads, head_dim)
        out[:, 0].copy_(keys.transpose(2, 3))
        out[:, 1].copy_(values.transpose(1, 2))
