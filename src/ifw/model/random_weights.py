"""Models with random weights, for tests and benchmarks that have no checkpoint."""

from __future__ import annotations

import math
import zlib

import torch
from torch import Tensor

from ifw.model.dims import ModelDims
from ifw.model.ops import Ops
from ifw.model.weights import build_whisper, tensor_shapes
from ifw.model.whisper import Whisper


def random_whisper(
    dims: ModelDims,
    seed: int,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    ops: Ops | None = None,
    *,
    encoder_of: Whisper | None = None,
) -> Whisper:
    """Make a model of the given sizes with random weights.

    Args:
        dims: The sizes.
        seed: The same seed gives the same weights, on every device and, up to rounding, in every dtype.
        device: Where the model runs; CPU by default.
        dtype: Of activations and caches: float32, bfloat16 or float16.
        ops: How it computes; None chooses by device and dtype.
        encoder_of: A model whose encoder this one takes over, as a draft does.

    Returns:
        The model.
    """
    target = torch.device("cpu") if device is None else device

    def read(name: str) -> Tensor:
        return random_weight(name, dims, seed).to(target)

    with torch.inference_mode():
        return build_whisper(dims, read, target, dtype, ops, encoder_of=encoder_of)


def random_weight(name: str, dims: ModelDims, seed: int) -> Tensor:
    """One tensor of a random model whose greedy text is not degenerate.

    The next token depends on position, audio and last token alike: strong positions, sharp attention in the decoder,
    residual branches scaled by its depth. The encoder's attention stays mild: deep and sharp, it would be chaotic,
    and no two implementations would agree on anything.

    Args:
        name: A name of `tensor_shapes`.
        dims: The sizes of the model.
        seed: The seed.

    Returns:
        float32 on CPU.
    """
    tensor = random_tensor(name, tensor_shapes(dims)[name], seed)
    if name == "decoder.embed_positions.weight":
        return tensor * 20
    if name == "decoder.layer_norm.bias":
        return torch.zeros_like(tensor)
    if name.startswith("decoder.layers"):
        if "q_proj.weight" in name or "k_proj.weight" in name:
            return tensor * 3
        if "out_proj.weight" in name or "fc2.weight" in name:
            return tensor * (6 / math.sqrt(3 * dims.n_decoder_layers))
        if "out_proj.bias" in name or "fc2.bias" in name:
            return torch.zeros_like(tensor)
    return tensor


def random_tensor(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """A random tensor of the usual scale for its name: activations neither vanish nor explode.

    Args:
        name: A name of `tensor_shapes`.
        shape: Its shape.
        seed: The seed; mixed with the name, so that tensors differ and their order does not matter.

    Returns:
        float32 on CPU.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
    noise = torch.randn(shape, generator=generator)
    if "layer_norm" in name:
        return noise * 0.1 + (1.0 if name.endswith("weight") else 0.0)
    if name.endswith("bias"):
        return noise * 0.1
    if "embed" in name:
        return noise * (0.3 if "tokens" in name else 0.1)
    return noise / math.sqrt(math.prod(shape[1:]))
