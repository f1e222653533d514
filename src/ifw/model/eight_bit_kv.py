"""Keys and values in 8 bits: half of what a decode step reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

EightBits = Literal["int8", "float8"]

_AT_ONCE: Final = 4  # of the first axis: what is rounded takes eight times the room meanwhile


@dataclass(frozen=True, slots=True)
class _Format:
    """How 8 bits stand for numbers.

    Attributes:
        dtype: Of the 8 bits.
        highest: The largest number that they hold.
        scale_dtype: Of the scales.
        has_scale_each: A scale for each vector, not one for all vectors of a head.
    """

    dtype: torch.dtype
    highest: float
    scale_dtype: torch.dtype
    has_scale_each: bool

    @property
    def least_scale(self) -> float:
        """The smallest scale that is kept."""
        return torch.finfo(self.scale_dtype).smallest_normal if self.scale_dtype == torch.float32 else 2.0**-24


_FORMATS: Final = {
    "int8": _Format(torch.int8, 127.0, torch.float16, has_scale_each=True),
    # four bits of exponent: numbers of all sizes keep their precision, so that one scale serves a head
    "float8": _Format(torch.float8_e4m3fn, 448.0, torch.float32, has_scale_each=False),
}
_NAMES: Final = {kept.dtype: name for name, kept in _FORMATS.items()}


@dataclass(frozen=True, slots=True, eq=False)
class EightBitKv:
    """Numbers in 8 bits and their scales. Stands in for a tensor.

    With int8 there is a scale for each vector, that is, each token and head; with float8 (e4m3) one for each head.

    Indexing, iterating and chunking concern the axes before that of the tokens, and give views; of the tokens the first
    ones may be taken as well. Numbers that are not finite stay so, and with float8 all of their head.

    Attributes:
        values: [..., S, Dh] int8 or float8_e4m3fn.
        scales: By which they are to be multiplied: [..., S] float16 with int8, [..., 1] float32 with float8.
    """

    values: Tensor
    scales: Tensor

    @classmethod
    def zeros(cls, *shape: int, device: torch.device, how: EightBits = "int8") -> EightBitKv:
        """Zeros of a shape, whose last two axes are those of the tokens and of the vectors."""
        kept = _FORMATS[how]
        n_scales = shape[-2] if kept.has_scale_each else 1
        return cls(
            torch.zeros(*shape, device=device, dtype=torch.uint8).view(kept.dtype),
            torch.zeros(*shape[:-2], n_scales, device=device, dtype=kept.scale_dtype),
        )

    @property
    def shape(self) -> torch.Size:
        """[..., S, Dh]."""
        return self.values.shape

    @property
    def is_int8(self) -> bool:
        """Whether they are int8, with a scale for each vector."""
        return self.values.dtype == torch.int8

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.values.device

    def __getitem__(self, index: Any) -> EightBitKv:
        return EightBitKv(self.values[index], self.scales[index])

    def __iter__(self) -> Iterator[EightBitKv]:
        return map(EightBitKv, self.values, self.scales)

    def chunk(self, n_chunks: int) -> list[EightBitKv]:
        """Views on parts of the first axis."""
        return list(map(EightBitKv, self.values.chunk(n_chunks), self.scales.chunk(n_chunks)))

    def copy_(self, numbers: Tensor) -> None:
        """Round numbers [..., S, Dh] to what can be kept."""
        kept = _FORMATS[_NAMES[self.values.dtype]]
        n_chunks = -(-len(numbers) // _AT_ONCE)
        for rows, part in zip(self.chunk(n_chunks), numbers.chunk(n_chunks), strict=True):
            exact = part.float()
            largest = exact.abs().amax(-1)
            if not kept.has_scale_each:
                largest = largest.amax(-1, keepdim=True)
            # what is rounded is divided by the scale that is kept, so that its own rounding costs nothing
            rows.scales.copy_((largest / kept.highest + kept.least_scale / 2).clamp_(min=kept.least_scale))
            scaled = (exact / rows.scales.float().unsqueeze(-1)).clamp_(-kept.highest, kept.highest)
            rows.values.copy_(scaled.round_() if kept.dtype == torch.int8 else scaled)

    def to(self, dtype: torch.dtype) -> Tensor:
        """The numbers, each in full."""
        return (self.values.float() * self.scales.float().unsqueeze(-1)).to(dtype)

    def float(self) -> Tensor:
        """The numbers in float32."""
        return self.to(torch.float32)


def eight_bit_bytes(n_heads: int, n_tokens: int, head_dim: int, how: EightBits) -> int:
    """Bytes of the keys, or the values, of one layer and window."""
    kept = _FORMATS[how]
    n_scales = n_tokens if kept.has_scale_each else 1
    return n_heads * (n_tokens * head_dim + n_scales * kept.scale_dtype.itemsize)
