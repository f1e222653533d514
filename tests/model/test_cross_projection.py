"""Keys and values of a window, by one product or by one each, into every kind of cache."""

from __future__ import annotations

import pytest
import torch
from hf_reference import CPU, relative_error

from ifw.model import ops_choice, torch_ops
from ifw.model.cross_projection import CrossCache, JoinedProjection, SplitProjection
from ifw.model.eight_bit_kv import EightBitKv
from ifw.model.split_kv import SplitKv

N_POSITIONS, N_HEADS, HEAD_DIM = 50, 3, 32
WIDTH = N_HEADS * HEAD_DIM
SHAPE = (1, 2, 4, N_HEADS, N_POSITIONS, HEAD_DIM)

needs_packing = pytest.mark.skipif(
    not (torch_ops.can_pack(torch.float32) and torch_ops.can_pack(torch.bfloat16)),
    reason="torch has no packed linear layers here",
)


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def numbers_in(cache: CrossCache) -> torch.Tensor:
    return torch.stack([cache[:, 0].float(), cache[:, 1].float()], 1)


@needs_packing
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["same", "split", "8 bits"])
@pytest.mark.parametrize("is_joined", [True, False])
def test_projections(is_joined: bool, kind: str, dtype: torch.dtype) -> None:
    weight, bias = noise(2 * WIDTH, WIDTH, seed=1) / 10, noise(2 * WIDTH, seed=2)
    bias[:WIDTH] = 0
    window = noise(N_POSITIONS, WIDTH, seed=3)
    linear = ops_choice.choose_ops(CPU, dtype).linear
    project = (
        JoinedProjection(linear(weight.to(dtype), bias.to(dtype), N_POSITIONS))
        if is_joined
        else SplitProjection(
            weight[:WIDTH].to(dtype), linear(weight[WIDTH:].to(dtype), bias[WIDTH:].to(dtype), N_POSITIONS)
        )
    )
    out: CrossCache = {
        "same": torch.zeros(SHAPE, dtype=dtype),
        "split": SplitKv.zeros(*SHAPE, device=CPU, dtype=dtype),
        "8 bits": EightBitKv.zeros(*SHAPE, device=CPU),
    }[kind]
    project(window.to(dtype), out[:, :, 2])
    exact = (window @ weight.T + bias).view(N_POSITIONS, 2, N_HEADS, HEAD_DIM).permute(1, 2, 0, 3)
    found = numbers_in(out)[0]
    tolerance = 2e-2 if kind == "8 bits" or dtype == torch.bfloat16 else 2e-6
    assert relative_error(found[:, 2], exact) < tolerance
    assert float(found[:, [0, 1, 3]].abs().max()) < 1e-4
