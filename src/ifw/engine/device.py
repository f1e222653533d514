"""Where the engine runs, and in which precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ifw.config import EngineConfig, Steps
from ifw.errors import ConfigError
from ifw.model.compute_type import default_compute_type, ops_for


def resolve_config(config: EngineConfig) -> EngineConfig:
    """Replace `auto` by what this machine has.

    Args:
        config: As the caller wrote it.

    Returns:
        The same with a definite `device` and `compute_type`.

    Raises:
        ConfigError: The device is not there, or cannot compute in this way.
    """
    has_cuda = torch.cuda.is_available()
    device = config.device if config.device != "auto" else ("cuda" if has_cuda else "cpu")
    if device == "cuda" and not has_cuda:
        raise ConfigError("device: got 'cuda', but torch sees no CUDA device here; use 'auto' or 'cpu'")
    compute_type = config.compute_type
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else default_compute_type()
    if device == "cpu" and compute_type == "float16":
        raise ConfigError(
            "compute_type: got 'float16', allowed on 'cpu': 'float32', 'bfloat16' or 'int8'; float16 is far slower"
        )
    check_steps(config.steps, device)
    ops_for(torch.device(device), compute_type, config.encoder_products)
    return replace(config, device=device, compute_type=compute_type)


def check_steps(steps: Steps, device: str) -> None:
    """Refuse steps that a device cannot carry out.

    Raises:
        ConfigError: Graphs are asked for where there is no CUDA.
    """
    if steps == "graphs" and device != "cuda":
        raise ConfigError(f"steps: got 'graphs', allowed on {device!r}: 'auto', 'plain', 'static'")


def upload(values: Sequence[Any], device: torch.device) -> Tensor:
    """Integers, or rows of integers, on the device, without waiting for what it is doing.

    Args:
        values: As for `torch.tensor`.
        device: Where they go.

    Returns:
        int64. On CUDA the copy is one more thing that the current stream has to do.
    """
    if device.type != "cuda":
        return torch.tensor(values, dtype=torch.int64, device=device)
    return torch.tensor(values, dtype=torch.int64, pin_memory=True).to(device, non_blocking=True)
