"""Keys and values of the cross-attention with a layout each: what a step on CPU reads from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class SplitKv:
    """Keys and values of the same shape, the keys transposed in memory. Stands in for a tensor [L, 2, B, H, S, Dh].

    What indexing, iterating and chunking give shares memory: `[layers, :, rows]` both of some rows, `[layers, 0]` the
    keys and `[layers, 1]` the values of all, each as a tensor; iterating, keys and values of each layer.

    Attributes:
        transposed_keys: [L, B, H, Dh, S].
        values: [L, B, H, S, Dh].
    """

    transposed_keys: Tensor
    values: Tensor

    @classmethod
    def zeros(cls, *shape: int, device: torch.device, dtype: torch.dtype) -> SplitKv:
        """Zeros of a shape [L, 2, B, H, S, Dh]."""
        n_layers, _, *rows, n_keys, head_dim = shape
        return cls(
            torch.zeros(n_layers, *rows, head_dim, n_keys, device=device, dtype=dtype),
            torch.zeros(n_layers, *rows, n_keys, head_dim, device=device, dtype=dtype),
        )

    @property
    def shape(self) -> torch.Size:
        """[L, 2, B, H, S, Dh]."""
        n_layers, *rest = self.values.shape
        return torch.Size((n_layers, 2, *rest))

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.values.device

    @overload
    def __getitem__(self, index: tuple[slice, slice, int | slice]) -> SplitKv: ...

    @overload
    def __getitem__(self, index: tuple[slice, int]) -> Tensor: ...

    def __getitem__(self, index: tuple[slice, slice, int | slice] | tuple[slice, int]) -> SplitKv | Tensor:
        layers, kind, *rows = index
        chosen = (layers, *rows)
        if isinstance(kind, int):
            return (self.transposed_keys.transpose(-1, -2), self.values)[kind][chosen]
        return SplitKv(self.transposed_keys[chosen], self.values[chosen])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.transposed_keys.transpose(-1, -2), self.values, strict=True)

    def chunk(self, n_chunks: int) -> list[SplitKv]:
        """Views on parts of the layers."""
        return list(map(SplitKv, self.transposed_keys.chunk(n_chunks), self.values.chunk(n_chunks)))

    def copy_(self, numbers: Tensor) -> None:
        """Take over keys and values [L, 2, ..., S, Dh]."""
        self.transposed_keys.copy_(numbers[:, 0].transpose(-1, -2))
        self.values.copy_(numbers[:, 1])
