"""Reading the weights of a checkpoint folder, tensor by tensor, straight to the device in the target dtype."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ifw.constants import FRAMES_PER_POSITION
from ifw.errors import ModelFormatError
from ifw.model.cross_projection import CrossProjection, JoinedProjection, SplitProjection
from ifw.model.dims import ModelDims
from ifw.model.files import weight_files
from ifw.model.ops import LayerNorm, Ops
from ifw.model.ops_choice import choose_ops
from ifw.model.whisper import Conv, DecoderLayer, EncoderLayer, Whisper

ReadTensor = Callable[[str], Tensor]

OUTPUT_NAME = "proj_out.weight"
_PREFIX = "model."
_FLOATS = ("BF16", "F16", "F32", "F64")
ENCODER_FIELDS = ("conv1", "conv2", "encoder_positions", "encoder_layers", "encoder_norm")
DECODER_LINEARS = tuple(field.name for field in fields(DecoderLayer))
_DECODE_ROWS = 16  # rows that the decoder's layers usually see: one a slot


def tensor_shapes(dims: ModelDims) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a checkpoint, as Hugging Face names them, without the `model.` prefix."""
    d = dims.d_model
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.conv1.weight": (d, dims.n_mels, 3),
        "encoder.conv1.bias": (d,),
        "encoder.conv2.weight": (d, d, 3),
        "encoder.conv2.bias": (d,),
        "encoder.embed_positions.weight": (dims.n_positions, d),
        "decoder.embed_tokens.weight": (dims.n_vocab, d),
        "decoder.embed_positions.weight": (dims.n_text_positions, d),
    }
    for side, n_layers, ffn, attentions in (
        ("encoder", dims.n_encoder_layers, dims.encoder_ffn, ("self_attn",)),
        ("decoder", dims.n_decoder_layers, dims.decoder_ffn, ("self_attn", "encoder_attn")),
    ):
        norms = [f"{side}.layer_norm"]
        for index in range(n_layers):
            layer = f"{side}.layers.{index}"
            for attention in attentions:
                for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    shapes[f"{layer}.{attention}.{part}.weight"] = (d, d)
                    if part != "k_proj":
                        shapes[f"{layer}.{attention}.{part}.bias"] = (d,)
            shapes |= {f"{layer}.fc1.weight": (ffn, d), f"{layer}.fc1.bias": (ffn,)}
            shapes |= {f"{layer}.fc2.weight": (d, ffn), f"{layer}.fc2.bias": (d,)}
            norms += [f"{layer}.{attention}_layer_norm" for attention in attentions] + [f"{layer}.final_layer_norm"]
        for norm in norms:
            shapes |= {f"{norm}.weight": (d,), f"{norm}.bias": (d,)}
    if not dims.is_tied:
        shapes[OUTPUT_NAME] = (dims.n_vocab, d)
    return shapes


def build_whisper(
    dims: ModelDims,
    read: ReadTensor,
    device: torch.device,
    dtype: torch.dtype,
    ops: Ops | None = None,
    *,
    encoder_of: Whisper | None = None,
) -> Whisper:
    """Assemble a model from tensors that are read one at a time, so that no second copy of all weights exists.

    Args:
        dims: The sizes.
        read: Gives the tensor of a name of `tensor_shapes`, on `device`, in any float dtype.
        device: Where the model runs.
        dtype: Of activations and caches: float32, bfloat16 or float16.
        ops: How it computes; None chooses by device and dtype.
        encoder_of: A model whose encoder this one takes over, so that only those of its decoder are read.

    Returns:
        The model.
    """
    return _Builder(dims, read, device, dtype, ops or choose_ops(device, dtype)).whisper(encoder_of)


class _Builder:
    def __init__(self, dims: ModelDims, read: ReadTensor, device: torch.device, dtype: torch.dtype, ops: Ops) -> None:
        self._dims, self._read_stored, self._device, self._dtype, self._ops = dims, read, device, dtype, ops
        self._weight_dtype = ops.weight_dtype or dtype
        self._scale = dims.head_dim**-0.5  # an exact power of two for head_dim 64

    def whisper(self, encoder_of: Whisper | None) -> Whisper:
        dims = self._dims
        embedding = self._read("decoder.embed_tokens.weight")
        output = embedding if dims.is_tied else self._read(OUTPUT_NAME)
        token_embedding, decoder_norm = embedding.to(self._dtype), self._norm("decoder.layer_norm")
        decoder_positions = self._activation("decoder.embed_positions.weight")
        decoder_layers = tuple(self._decoder_layer(f"decoder.layers.{i}") for i in range(dims.n_decoder_layers))
        fused_decode = None
        if self._ops.decode is not None:
            layers = [{name: getattr(layer, name) for name in DECODER_LINEARS} for layer in decoder_layers]
            fused_decode = self._ops.decode(
                layers, token_embedding, decoder_positions, decoder_norm, n_heads=dims.n_heads
            )
        return Whisper(
            dims=dims,
            device=self._device,
            dtype=self._dtype,
            ops=self._ops,
            **self._encoder(encoder_of),
            cross_kv_out=self._cross_kv(),
            token_embedding=token_embedding,
            decoder_positions=decoder_positions,
            decoder_layers=decoder_layers,
            decoder_norm=decoder_norm,
            output=self._ops.output(output, None, _DECODE_ROWS),
            fused_decode=fused_decode,
        )

    def _encoder(self, encoder_of: Whisper | None) -> dict[str, Any]:
        """The fields of the encoder."""
        if encoder_of is not None:
            return {name: getattr(encoder_of, name) for name in ENCODER_FIELDS}
        return {
            "conv1": self._conv("encoder.conv1", stride=1),
            "conv2": self._conv("encoder.conv2", stride=2),
            "encoder_positions": self._activation("encoder.embed_positions.weight"),
            "encoder_layers": tuple(
                self._encoder_layer(f"encoder.layers.{index}") for index in range(self._dims.n_encoder_layers)
            ),
            "encoder_norm": self._norm("encoder.layer_norm"),
        }

    def _encoder_layer(self, name: str) -> EncoderLayer:
        n_rows, make = self._dims.n_positions, self._ops.encoder_linear or self._ops.linear
        return EncoderLayer(
            qkv=make(*self._qkv(name), n_rows, self._linear_norm(f"{name}.self_attn_layer_norm")),
            attention_out=make(*self._linear(f"{name}.self_attn.out_proj"), n_rows),
            mlp_in=make(*self._linear(f"{name}.fc1"), n_rows, self._linear_norm(f"{name}.final_layer_norm")),
            mlp_out=make(*self._linear(f"{name}.fc2"), n_rows),
        )

    def _decoder_layer(self, name: str) -> DecoderLayer:
        n_rows, make = _DECODE_ROWS, self._ops.linear
        query = self._linear(f"{name}.encoder_attn.q_proj", self._scale)
        return DecoderLayer(
            self_qkv=make(*self._qkv(name), n_rows, self._linear_norm(f"{name}.self_attn_layer_norm")),
            self_out=make(*self._linear(f"{name}.self_attn.out_proj"), n_rows),
            cross_query=make(*query, n_rows, self._linear_norm(f"{name}.encoder_attn_layer_norm")),
            cross_out=make(*self._linear(f"{name}.encoder_attn.out_proj"), n_rows),
            mlp_in=make(*self._linear(f"{name}.fc1"), n_rows, self._linear_norm(f"{name}.final_layer_norm")),
            mlp_out=make(*self._linear(f"{name}.fc2"), n_rows),
        )

    def _conv(self, name: str, stride: int) -> Conv:
        weight = self._read(f"{name}.weight").transpose(1, 2).flatten(1)  # [out, 3 * in]
        n_rows = self._dims.n_positions * FRAMES_PER_POSITION // stride
        return Conv(self._ops.conv(weight, self._read(f"{name}.bias"), n_rows), stride)

    def _norm(self, name: str) -> LayerNorm:
        return LayerNorm(self._activation(f"{name}.weight"), self._activation(f"{name}.bias"))

    def _linear_norm(self, name: str) -> LayerNorm:
        """The norm before a linear layer."""
        return LayerNorm(self._read(f"{name}.weight"), self._read(f"{name}.bias"))

    def _linear(self, name: str, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        """Weight and bias."""
        weight, bias = self._read(f"{name}.weight"), self._read(f"{name}.bias")
        if scale != 1.0:
            weight, bias = weight * scale, bias * scale
        return weight, bias

    def _qkv(self, layer: str) -> tuple[Tensor, Tensor]:
        name = f"{layer}.self_attn"
        weight = torch.cat([self._read(f"{name}.{part}_proj.weight") for part in "qkv"])
        bias = torch.cat([self._read(f"{name}.q_proj.bias"), self._no_bias(), self._read(f"{name}.v_proj.bias")])
        weight[: self._dims.d_model] *= self._scale
        bias[: self._dims.d_model] *= self._scale
        return weight, bias

    def _cross_kv(self) -> tuple[CrossProjection, ...]:
        n_layers = self._dims.n_decoder_layers
        if self._ops.splits_cross_kv:
            return tuple(self._split_cross_kv(index) for index in range(n_layers))
        if self._device.type == "cpu":
            return tuple(self._cross_kv_group([index]) for index in range(n_layers))
        return (self._cross_kv_group(range(n_layers)),)

    def _split_cross_kv(self, layer: int) -> CrossProjection:
        name = f"decoder.layers.{layer}.encoder_attn"
        values = self._ops.linear(*self._linear(f"{name}.v_proj"), self._dims.n_positions)
        return SplitProjection(self._read(f"{name}.k_proj.weight"), values)

    def _cross_kv_group(self, layers: Iterable[int]) -> CrossProjection:
        weights, biases = [], []
        for index in layers:
            name = f"decoder.layers.{index}.encoder_attn"
            weights += [self._read(f"{name}.k_proj.weight"), self._read(f"{name}.v_proj.weight")]
            biases += [self._no_bias(), self._read(f"{name}.v_proj.bias")]
        linear = self._ops.linear(torch.cat(weights), torch.cat(biases), self._dims.n_positions)
        return JoinedProjection(linear, self._ops.keep_int8)

    def _no_bias(self) -> Tensor:
        return torch.zeros(self._dims.d_model, device=self._device, dtype=self._weight_dtype)

    def _read(self, name: str) -> Tensor:
        """A weight of a linear layer."""
        return self._read_stored(name).to(self._weight_dtype)

    def _activation(self, name: str) -> Tensor:
        """What meets activations as it is."""
        return self._read_stored(name).to(self._dtype)


def load_weights(
    folder: Path,
    dims: ModelDims,
    device: torch.device,
    dtype: torch.dtype,
    ops: Ops | None = None,
    *,
    encoder_of: Whisper | None = None,
) -> Whisper:
    """Load a model from the safetensors files of a checkpoint folder.

    The files are memory-mapped and read tensor by tensor; no second copy of the weights is made.

    Args:
        folder: Holds `model.safetensors`, or `model.safetensors.index.json` and its shards.
        dims: The sizes, from the folder's `config.json`.
        device: Where the model runs.
        dtype: Of activations and caches: float32, bfloat16 or float16, whatever the files hold.
        ops: How it computes; None chooses by device and dtype.
        encoder_of: A model whose encoder this one takes over; the files hold one all the same.

    Returns:
        The model.

    Raises:
        ModelUnsafeError: The folder has only pickled weights.
        ModelFormatError: No weights, a damaged file, or tensors that are missing, unexpected, of another shape, or
            quantised.
    """
    with open_weights(folder, dims, device) as read, torch.inference_mode():
        return build_whisper(dims, read, device, dtype, ops, encoder_of=encoder_of)


@contextmanager
def open_weights(folder: Path, dims: ModelDims, device: torch.device) -> Iterator[ReadTensor]:
    """Open the files of a checkpoint folder and check that they hold what they should.

    Args:
        folder: As for `load_weights`.
        dims: The sizes.
        device: Where tensors are read to.

    Yields:
        What reads a tensor by its name, in the dtype of the file.

    Raises:
        ModelUnsafeError: The folder has only pickled weights.
        ModelFormatError: See `load_weights`.
    """
    with ExitStack() as stack:
        files = [_open(stack, path, device) for path in weight_files(folder)]
        where = {_bare_name(key): (file, key) for file in files for key in file.keys()}  # noqa: SIM118 - no mapping
        slices = {name: file.get_slice(key) for name, (file, key) in where.items()}
        _check_tensors(folder, dims, {name: tuple(part.get_shape()) for name, part in slices.items()})
        _check_dtypes(folder, {name: part.get_dtype() for name, part in slices.items()})

        def read(name: str) -> Tensor:
            file, key = where[name]
            tensor: Tensor = file.get_tensor(key)
            return tensor

        yield read


def _open(stack: ExitStack, path: Path, device: torch.device) -> Any:
    try:
        return stack.enter_context(safe_open(path, framework="pt", device=str(device)))
    except (SafetensorError, OSError, struct.error) as error:
        raise ModelFormatError(f"{path} is no readable safetensors file: {error}") from error


def _bare_name(key: str) -> str:
    return key.removeprefix(_PREFIX)


def _check_tensors(folder: Path, dims: ModelDims, found: dict[str, tuple[int, ...]]) -> None:
    expected = tensor_shapes(dims)
    missing = sorted(expected.keys() - found.keys())
    unexpected = sorted(found.keys() - expected.keys() - {OUTPUT_NAME})
    if missing or unexpected:
        parts = [f"{word} {_some(names)}" for word, names in (("lacks", missing), ("has unknown", unexpected)) if names]
        raise ModelFormatError(f"the weights in {folder} do not fit its config.json: the file {' and '.join(parts)}")
    wrong = [name for name, shape in expected.items() if found[name] != shape]
    if wrong:
        name = wrong[0]
        raise ModelFormatError(
            f"the weights in {folder} do not fit its config.json: {name} has shape {found[name]}, "
            f"allowed: {expected[name]}" + (f"; {len(wrong) - 1} more differ" if len(wrong) > 1 else "")
        )


def _check_dtypes(folder: Path, found: dict[str, str]) -> None:
    for name, dtype in found.items():
        if dtype not in _FLOATS:
            raise ModelFormatError(
                f"the weights in {folder} are quantised or damaged: {name} has dtype {dtype}, "
                f"allowed: {', '.join(_FLOATS)}. Use the checkpoint that they were made from"
            )


def _some(names: Iterable[str], limit: int = 8) -> str:
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
