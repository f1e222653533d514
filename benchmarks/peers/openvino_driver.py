"""OpenVINO with 8-bit weights and its own choice of precision; see `ifw.benchmark.driver_main`.

It has no Whisper of its own that can be told how many tokens to write, so the two networks are written down here in
torch, converted, compressed by nncf, and called by a greedy loop. The decoder's own keys and values are states of the
network, which is what OpenVINO is fastest with; those of the cross-attention are handed from the encoder to the decoder
without a copy, in the precision that it computes in.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import nncf
import numpy as np
import openvino as ov
import torch
from openvino import PartialShape
from openvino._offline_transformations import apply_make_stateful_transformation
from openvino.preprocess import PrePostProcessor
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """One attention of Whisper; the scale is that of SDPA."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.q_proj: Any = nn.Linear(d_model, d_model)
        self.k_proj: Any = nn.Linear(d_model, d_model, bias=False)
        self.v_proj: Any = nn.Linear(d_model, d_model)
        self.out_proj: Any = nn.Linear(d_model, d_model)

    def split(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, H, T, Dh]."""
        return x.view(x.shape[0], x.shape[1], self.n_heads, 64).transpose(1, 2)

    def keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of the positions that are attended to."""
        return self.split(self.k_proj(x)), self.split(self.v_proj(x))

    def attend_across(self, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The same on keys that are [B, H, Dh, S] already: OpenVINO would turn SDPA's around at every step."""
        scores = torch.matmul(self.split(self.q_proj(x)) * 64**-0.5, keys)
        mixed = torch.matmul(torch.softmax(scores, -1), values)
        found: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return found

    def attend(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the positions of x find."""
        mixed = F.scaled_dot_product_attention(self.split(self.q_proj(x)), keys, values, attn_mask=mask)
        found: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return found


class Layer(nn.Module):
    """One layer of the encoder, or of the decoder."""

    def __init__(self, d_model: int, n_heads: int, *, has_cross: bool) -> None:
        super().__init__()
        self.self_attn = Attention(d_model, n_heads)
        self.self_attn_layer_norm = nn.LayerNorm(d_model)
        if has_cross:
            self.encoder_attn = Attention(d_model, n_heads)
            self.encoder_attn_layer_norm = nn.LayerNorm(d_model)
        self.fc1, self.fc2 = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)
        self.final_layer_norm = nn.LayerNorm(d_model)

    def feed_forward(self, x: Tensor) -> Tensor:
        """With its residual."""
        changed: Tensor = self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))
        return x + changed


class Encoder(nn.Module):
    """Mel to the cross-attention's keys and values of all layers."""

    def __init__(self, dims: dict[str, int], decoder: Decoder) -> None:
        super().__init__()
        d_model = dims["d_model"]
        self.conv1 = nn.Conv1d(dims["n_mels"], d_model, 3, padding=1)
        self.conv2 = nn.Conv1d(d_model, d_model, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(dims["n_positions"], d_model)
        self.layers: Any = nn.ModuleList(
            Layer(d_model, dims["n_heads"], has_cross=False) for _ in range(dims["n_encoder_layers"])
        )
        self.layer_norm = nn.LayerNorm(d_model)
        self.cross: Any = nn.ModuleList(layer.encoder_attn for layer in decoder.layers)

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        """[B, n_mels, 3000] -> keys [B, H, Dh, 1500] and values [B, H, 1500, Dh] of each layer in turn."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2) + self.embed_positions.weight
        for layer in self.layers:
            normed = layer.self_attn_layer_norm(x)
            x = layer.feed_forward(x + layer.self_attn.attend(normed, *layer.self_attn.keys_and_values(normed)))
        x = self.layer_norm(x)
        pairs = [attention.keys_and_values(x) for attention in self.cross]
        return tuple(part for keys, values in pairs for part in (keys.transpose(2, 3).contiguous(), values))


class Decoder(nn.Module):
    """Tokens to the likeliest next token, on caches that grow."""

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__()
        d_model = dims["d_model"]
        self.embed_tokens = nn.Embedding(dims["n_vocab"], d_model)
        self.embed_positions = nn.Embedding(dims["n_text_positions"], d_model)
        self.layers: Any = nn.ModuleList(
            Layer(d_model, dims["n_heads"], has_cross=True) for _ in range(dims["n_decoder_layers"])
        )
        self.layer_norm = nn.LayerNorm(d_model)
        self.output = nn.Linear(d_model, dims["n_vocab"], bias=False)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """From tokens [B, T], positions [T], mask [1, 1, T, past + T], caches: cross of each layer, own of each."""
        n = len(self.layers)
        x = self.embed_tokens(tokens) + self.embed_positions(positions)
        grown = []
        for index, layer in enumerate(self.layers):
            past_keys, past_values = caches[2 * (n + index) : 2 * (n + index) + 2]
            normed = layer.self_attn_layer_norm(x)
            keys, values = layer.self_attn.keys_and_values(normed)
            keys, values = torch.cat([past_keys, keys], 2), torch.cat([past_values, values], 2)
            grown += [keys, values]
            x = x + layer.self_attn.attend(normed, keys, values, mask)
            x = x + layer.encoder_attn.attend_across(
                layer.encoder_attn_layer_norm(x), caches[2 * index], caches[2 * index + 1]
            )
            x = layer.feed_forward(x)
        return (self.output(self.layer_norm(x[:, -1])), *grown)


class Driver:
    """Decodes windows with OpenVINO."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job, self._dims = job, job["dims"]
        core = ov.Core()
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": job["n_threads"]}
        folder = exported(Path(job["checkpoint"]), self._dims)
        is_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._kept = ov.Type.bf16 if is_bf16 else ov.Type.f32
        encoder, decoder = (core.read_model(folder / f"{name}.xml") for name in ("encoder", "decoder"))
        self._encoder = core.compile_model(self._with_kept_outputs(encoder), "CPU", hints).create_infer_request()
        self._decoder = core.compile_model(self._with_kept_inputs(decoder), "CPU", hints).create_infer_request()
        self._mel = np.load(job["mel"], mmap_mode="r")
        self._allowed = np.ones(self._dims["n_vocab"], bool)
        self._allowed[job["suppress_tokens"]] = False
        self._penalty = np.where(self._allowed, 0.0, -np.inf).astype(np.float32)
        self.versions = {"openvino": ov.__version__.partition("-")[0], "nncf": nncf.__version__}

    def decode(self, batch: int, windows: list[int], lengths: list[int]) -> dict[str, Any]:
        """Decode windows, so many at once; the loop has one number of tokens for all."""
        (n_tokens,) = set(lengths)
        tokens: list[list[int]] = []
        encode_s = 0.0
        for first in range(0, len(windows), batch):
            started = perf_counter()
            part = windows[first : first + batch]
            self._encoder.infer([np.ascontiguousarray(self._mel[part])])
            encode_s += perf_counter() - started
            tokens += self._greedy(len(part), n_tokens)
        return {"tokens": tokens, "stages": {"encode_s": encode_s}}

    def _greedy(self, n_windows: int, n_tokens: int) -> list[list[int]]:
        decoder, n_cross = self._decoder, 2 * self._dims["n_decoder_layers"]
        decoder.reset_state()
        nothing = np.zeros((n_windows, self._dims["n_heads"], 0, 64), np.float32)
        for state in decoder.query_state():
            state.state = ov.Tensor(nothing)
        for index in range(n_cross):
            decoder.set_input_tensor(3 + index, self._encoder.get_output_tensor(index))
        given = np.array([self._job["prompt"]] * n_windows, np.int64)
        chosen: list[Any] = []
        n_past = 0
        for _ in range(n_tokens):
            n_given = given.shape[1]
            mask = np.triu(np.full((n_given, n_past + n_given), -np.inf, np.float32), n_past + 1)[None, None]
            decoder.set_input_tensor(0, ov.Tensor(given))
            decoder.set_input_tensor(1, ov.Tensor(np.arange(n_past, n_past + n_given)))
            decoder.set_input_tensor(2, ov.Tensor(mask))
            decoder.infer()
            scores = decoder.get_output_tensor(0).data
            given = (scores + self._penalty).argmax(1)[:, None]
            chosen.append(given[:, 0])
            n_past += n_given
        return [[int(token) for token in row] for row in np.stack(chosen, 1)]

    def _with_kept_outputs(self, model: ov.Model) -> ov.Model:
        steps = PrePostProcessor(model)
        for index in range(len(model.outputs)):
            steps.output(index).tensor().set_element_type(self._kept)
        return steps.build()

    def _with_kept_inputs(self, model: ov.Model) -> ov.Model:
        steps = PrePostProcessor(model)
        for index in range(3, len(model.inputs)):
            steps.input(index).tensor().set_element_type(self._kept)
        return steps.build()


def exported(checkpoint: Path, dims: dict[str, int]) -> Path:
    """The two networks beside the checkpoint, with 8-bit weights."""
    target = checkpoint.with_name(f"{checkpoint.name}-openvino2")
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.partial")
    partial.mkdir(exist_ok=True)
    decoder = Decoder(dims).eval()
    encoder = Encoder(dims, decoder).eval()
    load(checkpoint, encoder, decoder)
    with torch.no_grad():
        networks = {"encoder": converted_encoder(encoder, dims), "decoder": converted_decoder(decoder, dims)}
    for name, network in networks.items():
        ov.save_model(nncf.compress_weights(network, mode=nncf.CompressWeightsMode.INT8_ASYM), partial / f"{name}.xml")
    partial.rename(target)
    return target


def load(checkpoint: Path, encoder: Encoder, decoder: Decoder) -> None:
    """Read the weights into both."""
    with safe_open(checkpoint / "model.safetensors", framework="pt") as file:
        weights = {name.removeprefix("model."): file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping
    own = {name.removeprefix("decoder."): tensor for name, tensor in weights.items() if name.startswith("decoder.")}
    own["output.weight"] = own["embed_tokens.weight"]
    decoder.load_state_dict(own)
    own = {name.removeprefix("encoder."): tensor for name, tensor in weights.items() if name.startswith("encoder.")}
    missing, unexpected = encoder.load_state_dict(own, strict=False)
    assert not unexpected
    assert all(name.startswith("cross.") for name in missing)  # those are the decoder's


def converted_encoder(encoder: Encoder, dims: dict[str, int]) -> ov.Model:
    """Any number of windows."""
    mel = torch.zeros(2, dims["n_mels"], 2 * dims["n_positions"])
    return ov.convert_model(encoder, example_input=(mel,), input=[PartialShape([-1, *mel.shape[1:]])])


def converted_decoder(decoder: Decoder, dims: dict[str, int]) -> ov.Model:
    """Any number of windows, tokens and past tokens; the own keys and values become states."""
    n_layers, n_heads = dims["n_decoder_layers"], dims["n_heads"]
    across = [[2, n_heads, 64, dims["n_positions"]], [2, n_heads, dims["n_positions"], 64]] * n_layers
    cross = [torch.zeros(shape) for shape in across]
    past = [torch.zeros(2, n_heads, 5, 64) for _ in range(2 * n_layers)]
    example = (torch.zeros(2, 3, dtype=torch.long), torch.arange(5, 8), torch.zeros(1, 1, 3, 8), *cross, *past)
    shapes = [PartialShape([-1, -1]), PartialShape([-1]), PartialShape([1, 1, -1, -1])]
    shapes += [PartialShape([-1, *shape[1:]]) for shape in across]
    shapes += [PartialShape([-1, n_heads, -1, 64])] * (2 * n_layers)
    model = ov.convert_model(decoder, example_input=example, input=shapes)
    states = {}
    for index in range(2 * n_layers):
        given, grown = model.inputs[3 + 2 * n_layers + index], model.outputs[1 + index]
        given.get_tensor().set_names({f"past.{index}"})
        grown.get_tensor().set_names({f"present.{index}"})
        states[f"past.{index}"] = f"present.{index}"
    apply_make_stateful_transformation(model, states)
    return model
