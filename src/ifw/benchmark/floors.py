"""The least time that a window can take on a machine whose ceilings are known.

The encoder and the projection of the cross-attention's keys and values are bound by products of matrices; each token
is bound by reading: all weights of the decoder, shared by those decoded together, and each window's own keys and
values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ifw.model.dims import ModelDims

_BYTES: Final = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
_N_PROMPT: Final = 4


def encoder_flop(dims: ModelDims) -> float:
    """Operations of the encoder over one window, with those of the cross-attention's keys and values."""
    d, n = dims.d_model, dims.n_positions
    convolutions = 2 * 3 * d * (2 * n * dims.n_mels + n * d)
    layer = 2 * n * (4 * d * d + 2 * d * dims.encoder_ffn) + 4 * n * n * d
    return convolutions + dims.n_encoder_layers * layer + dims.n_decoder_layers * 2 * n * 2 * d * d


def decoder_weights(dims: ModelDims) -> float:
    """Numbers of the decoder that each step reads."""
    d = dims.d_model
    layer = 4 * d * d + 2 * d * d + 2 * d * dims.decoder_ffn  # the cross-attention projects only the query and its end
    return dims.n_decoder_layers * layer + dims.n_vocab * d


def step_bytes(dims: ModelDims, compute_type: str, batch: int, n_tokens: int) -> float:
    """Bytes that one step over a batch reads, at the mean length of the text."""
    audio = dims.n_positions * _BYTES[compute_type]
    text = (_N_PROMPT + n_tokens / 2) * (4 if compute_type == "float32" else 2)
    keys_and_values = dims.n_decoder_layers * 2 * dims.d_model * (audio + text)
    return decoder_weights(dims) * _BYTES[compute_type] + batch * keys_and_values


def floor_s(dims: ModelDims, compute_type: str, batch: int, n_tokens: int, ceilings: Mapping[str, Any]) -> float | None:
    """The least seconds a window, encoder and decoder one after the other.

    Args:
        dims: The sizes.
        compute_type: Of the set-up.
        batch: Windows decoded together.
        n_tokens: Tokens a window.
        ceilings: From `benchmark.ceilings`.

    Returns:
        The seconds; None where the precision's ceiling was not measured.
    """
    gflops: float | None = ceilings["gemm_gflops"].get(compute_type)
    if gflops is None:
        return None
    encode_s = encoder_flop(dims) / (gflops * 1e9)
    bytes_per_s: float = ceilings["read_gb_s"] * 1e9
    decode_s = n_tokens * step_bytes(dims, compute_type, batch, n_tokens) / batch / bytes_per_s
    return encode_s + decode_s
