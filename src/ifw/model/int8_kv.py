"""Keys and values in 8 bits: half of what a decode step reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

_HIGHEST: Final = 127
_LEAST_SCALE: Final = 2.0**-24  # the smallest number of float16
_AT_ONCE: Final = 4  # of the first axis: what is rounded takes eight times the room meanwhile


@dataclass(frozen=True, slots=True, eq=False)
class Int8Kv:
    """Numbers in 8 bits with a scale for each vector, that is, each token and head. Stands in for a tensor.

    Indexing, iterating and chunking concern the leading axes, and give views. Numbers that are not finite stay so.

    Attributes:
        values: [..., Dh] int8.
        scales: [...] float16, by which they are to be multiplied.
    """

    values: Tensor
    scales: Tensor

    @classmethod
    def zeros(cls, *shape: int, device: torch.device) -> Int8Kv:
        """Zeros of a shape, the last axis being that of the vectors."""
        return cls(
            torch.zeros(*shape, device=device, dtype=torch.int8),
            torch.zeros(*shape[:-1], device=device, dtype=torch.float16),
        )

    @property
    def shape(self) -> torch.Size:
        """[..., Dh]."""
        return self.values.shape

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.values.device

    def __getitem__(self, index: Any) -> Int8Kv:
        return Int8Kv(self.values[index], self.scales[index])

    def __iter__(self) -> Iterator[Int8Kv]:
        return map(Int8Kv, self.values, self.scales)

    def chunk(self, n_chunks: int) -> list[Int8Kv]:
        """Views on parts of the first axis."""
        return list(map(Int8Kv, self.values.chunk(n_chunks), self.scales.chunk(n_chunks)))

    def copy_(self, numbers: Tensor) -> None:
        """Round numbers [..., Dh] to what can be kept."""
        n_chunks = -(-len(numbers) // _AT_ONCE)
        for kept, part in zip(self.chunk(n_chunks), numbers.chunk(n_chunks), strict=True):
            exact = part.float()
            least = exact.abs().amax(-1) / _HIGHEST + _LEAST_SCALE / 2
            # what is rounded is divided by the scale that is kept, so that its own rounding costs nothing
            kept.scales.copy_(least.clamp_(min=_LEAST_SCALE))
            kept.values.copy_((exact / kept.scales.float().unsqueeze(-1)).round_().clamp_(-_HIGHEST, _HIGHEST))

    def to(self, dtype: torch.dtype) -> Tensor:
        """The numbers, each in full."""
        return (self.values * self.scales.float().unsqueeze(-1)).to(dtype)

    def float(self) -> Tensor:
        """The numbers in float32."""
        return self.to(torch.float32)
