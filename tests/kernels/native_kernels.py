"""The kernels that this machine can run, for tests that run with each of them."""

from __future__ import annotations

import pytest
import torch

from ifw.kernels.library import load

KERNELS = load().kernels

each_level = pytest.mark.parametrize(
    "kernels",
    [pytest.param(kernels, id=kernels.name) for kernels in KERNELS]
    or [pytest.param(None, marks=pytest.mark.skip(reason=load().reason))],
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    difference = torch.linalg.vector_norm(found.double() - expected.double())
    return float(difference / torch.linalg.vector_norm(expected.double()))
