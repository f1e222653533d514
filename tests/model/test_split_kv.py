"""Keys and values with a layout each look like one tensor."""

from __future__ import annotations

import torch
from hf_reference import CPU

from ifw.model.split_kv import SplitKv

SHAPE = (2, 2, 3, 2, 5, 4)  # [L, 2, B, H, S, Dh]


def pair() -> tuple[SplitKv, torch.Tensor]:
    numbers = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    split = SplitKv.zeros(*SHAPE, device=CPU, dtype=torch.float32)
    split.copy_(numbers)
    return split, numbers


def joined(split: SplitKv) -> torch.Tensor:
    return torch.stack((split[:, 0], split[:, 1]), 1)


def test_it_holds_what_it_was_given_keys_transposed() -> None:
    split, numbers = pair()
    assert split.shape == numbers.shape
    assert split.device == CPU
    assert torch.equal(joined(split), numbers)
    assert split.transposed_keys.is_contiguous()
    assert torch.equal(split.transposed_keys, numbers[:, 0].transpose(-1, -2))


def test_rows_and_layers_are_views() -> None:
    split, numbers = pair()
    for index in ((slice(None), slice(None), slice(1, 3)), (slice(1), slice(None), 2)):
        part = split[index]
        assert isinstance(part, SplitKv)
        assert torch.equal(joined(part), numbers[index])
        part.copy_(numbers[index] + 1)
        numbers[index] += 1
    for of_layer, (keys, values) in zip(numbers, split, strict=True):
        assert torch.equal(keys, of_layer[0])
        assert torch.equal(values, of_layer[1])
    for part, expected in zip(split.chunk(2), numbers.chunk(2), strict=True):
        assert part.shape == expected.shape
        assert torch.equal(joined(part), expected)
    assert torch.equal(joined(split), numbers)
