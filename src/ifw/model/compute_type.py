"""What a compute type means on a device: the dtype of activations and caches, and the operations."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Literal

import torch

from ifw.config import EncoderProducts
from ifw.errors import ConfigError
from ifw.kernels.library import load
from ifw.model.eight_bit_linear import eight_bit_encoder
from ifw.model.native_ops import bfloat16_ops, float32_attention, int8_ops
from ifw.model.ops import Ops
from ifw.model.ops_choice import choose_ops

_LOG = logging.getLogger(__name__)
DTYPES: Final[Mapping[str, torch.dtype]] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.bfloat16}
)
"""Of activations and caches; int8 has products of int8 between activations of bfloat16."""


@functools.cache
def default_compute_type() -> Literal["bfloat16", "float32"]:
    """What `auto` is on CPU: bfloat16 where the native kernels and the processor have it, else float32.

    Where the kernels could be and are not, that is said, once in a process.
    """
    loaded = load()
    if loaded.kernels:
        return "bfloat16" if loaded.kernels[0].has_bfloat16 else "float32"
    level = logging.WARNING if loaded.could_be else logging.INFO
    _LOG.log(level, "computing in float32 by torch alone: %s", loaded.reason)
    return "float32"


def ops_for(device: torch.device, compute_type: str, encoder_products: EncoderProducts = "same") -> Ops:
    """Choose the operations: those of the native kernels where they are there and serve, else torch's.

    Args:
        device: Where the model runs.
        compute_type: A name of `DTYPES`.
        encoder_products: How the encoder multiplies, where not as the compute type says.

    Returns:
        The choice, for a model of the dtype that `DTYPES` names.

    Raises:
        ConfigError: There is no such compute type, or no int8 on this device or machine; or the device cannot multiply
            in this way.
    """
    ops = _ops_of(device, compute_type)
    if encoder_products == "same":
        return ops
    return eight_bit_encoder(ops, encoder_products, device, DTYPES[compute_type])


def _ops_of(device: torch.device, compute_type: str) -> Ops:
    if compute_type not in DTYPES:
        raise ConfigError(f"compute_type: got {compute_type!r}, allowed: {', '.join(DTYPES)}")
    if device.type != "cpu":
        if compute_type == "int8":
            raise ConfigError(f"compute_type: got 'int8', allowed on {device.type!r}: float32, bfloat16, float16")
        return choose_ops(device, DTYPES[compute_type])
    kernels = next(iter(load().kernels), None)
    if compute_type == "int8":
        if kernels is None:
            raise ConfigError(
                f"compute_type: got 'int8', but {load().reason}; "
                "use 'float32' or, on processors that have it, 'bfloat16'"
            )
        return int8_ops(kernels)
    torch_ops = choose_ops(device, DTYPES[compute_type])
    if kernels is None or compute_type == "float16":
        return torch_ops
    if compute_type == "float32":
        return replace(torch_ops, **float32_attention(kernels))
    return bfloat16_ops(kernels) if kernels.has_bfloat16 else torch_ops
