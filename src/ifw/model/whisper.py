"""Whisper's forward passes, on tensors alone: no cache objects, no token rules, no gradients.

Letters in shapes: B windows or cache rows, T new tokens, D width, H heads, Dh = D / H, L decoder layers, V vocabulary,
S encoder positions (1,500), N_text decoder positions (448), G windows whose B rows are decoded.

Source: Radford et al. 2022; openai/whisper `model.py`; transformers `modeling_whisper.py`, which the parity tests use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ifw.errors import ShapeError
from ifw.model.cross_projection import CrossCache, CrossProjection
from ifw.model.dims import ModelDims
from ifw.model.eight_bit_kv import EightBitKv
from ifw.model.ops import Decode, KeyLimit, LayerNorm, Linear, Ops


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """One of the encoder's two convolutions, width 3, followed by GELU, as a linear layer on three frames at a time."""

    linear: Linear  # 3 * in -> out, ordered (tap, channel)
    stride: int

    def __call__(self, x: Tensor) -> Tensor:
        """Map `x` [B, frames, in] to [B, frames / stride, out]."""
        taps = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, self.stride)  # [B, frames / stride, in, 3]
        return self.linear(taps.transpose(2, 3).flatten(2), gelu=True)


@dataclass(frozen=True, slots=True, eq=False)
class EncoderLayer:
    """Self-attention and feed-forward, each behind its norm."""

    qkv: Linear  # norm, D -> 3 D, query part scaled
    attention_out: Linear
    mlp_in: Linear  # norm
    mlp_out: Linear


@dataclass(frozen=True, slots=True, eq=False)
class DecoderLayer:
    """Causal self-attention, cross-attention and feed-forward, each behind its norm.

    The keys and values of the cross-attention come from `Whisper.cross_kv`, all layers at once.
    """

    self_qkv: Linear  # norm, D -> 3 D, query part scaled
    self_out: Linear
    cross_query: Linear  # norm; scaled
    cross_out: Linear
    mlp_in: Linear  # norm
    mlp_out: Linear


@dataclass(frozen=True, slots=True, eq=False)
class Whisper:
    """A loaded checkpoint that can encode windows and decode tokens. Made by `ifw.model.weights`.

    Every method runs under `torch.inference_mode`, on `device`, in `dtype`, without a host synchronisation.
    """

    dims: ModelDims
    device: torch.device
    dtype: torch.dtype
    ops: Ops
    conv1: Conv
    conv2: Conv
    encoder_positions: Tensor  # [S, D]
    encoder_layers: tuple[EncoderLayer, ...]
    encoder_norm: LayerNorm
    cross_kv_out: tuple[CrossProjection, ...]  # each of a group of layers
    token_embedding: Tensor  # [V, D]
    decoder_positions: Tensor  # [N_text, D]
    decoder_layers: tuple[DecoderLayer, ...]
    decoder_norm: LayerNorm
    output: Linear  # D -> V
    fused_decode: Decode | None = None  # the same as the layers of the decoder, in one operation

    @property
    def compute_type(self) -> str:
        """How it computes: float32, bfloat16, float16 or int8, which has activations and caches of another dtype."""
        return self.ops.compute_type or str(self.dtype).removeprefix("torch.")

    @torch.inference_mode()
    def encode(self, mel: Tensor) -> Tensor:
        """Run the encoder.

        Args:
            mel: [B, n_mels, 3000] log-mel of B windows, any float dtype.

        Returns:
            [B, 1500, D] in `dtype`.

        Raises:
            ShapeError: `mel` has another shape.
        """
        dims = self.dims
        frames = 2 * dims.n_positions
        if mel.ndim != 3 or mel.shape[1:] != (dims.n_mels, frames):
            raise ShapeError(f"mel: got shape {tuple(mel.shape)}, allowed: [B, {dims.n_mels}, {frames}]")
        x = self.conv2(self.conv1(mel.to(self.dtype).transpose(1, 2)))  # [B, S, D]
        x = x + self.encoder_positions
        heads = (*x.shape[:2], 3, dims.n_heads, dims.head_dim)
        for layer in self.encoder_layers:
            qkv = layer.qkv(x).view(heads)
            x = layer.attention_out(self.ops.encoder_attention(qkv), residual=x)
            x = layer.mlp_out(layer.mlp_in(x, gelu=True), residual=x)
        return self.encoder_norm(x)

    @torch.inference_mode()
    def cross_kv(self, audio: Tensor, out: CrossCache) -> None:
        """Project encoder outputs to the cross-attention keys and values of every layer.

        One window at a time: the products of all windows together would need as much memory again as the rows that
        they fill. On CUDA one product serves all layers; on CPU each layer has its own, which stays in the cache.

        Args:
            audio: [B, S, D] from `encode`.
            out: [L, 2, B, H, S, Dh] in `dtype` or 8 bits, written in place; may be a view on slots of a larger cache.
        """
        groups: Sequence[CrossCache] = out.chunk(len(self.cross_kv_out))
        for row, window in enumerate(audio):
            for project, group in zip(self.cross_kv_out, groups, strict=True):
                project(window, group[:, :, row])

    @torch.inference_mode()
    def decode(
        self,
        token_ids: Tensor,
        offsets: Tensor,
        self_cache: Tensor,
        cross_cache: CrossCache,
        n_keys: int,
        *,
        on_query: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Run the decoder over T new tokens of every row, and add their keys and values to the cache.

        Rows are right-padded where T > 1: what a pad position writes is overwritten when its real token comes, and
        nobody sees it before. Values of `self_cache` that were never written must be finite (allocate zeros).

        Args:
            token_ids: [B, T] int64.
            offsets: [B] int64, tokens of each row that are cached already; rows may differ.
            self_cache: [L, 2, B, H, N_text, Dh] in `dtype`; positions offsets[b] .. offsets[b] + T - 1 are written.
                May be a view on slots of a larger cache.
            cross_cache: [L, 2, G, H, S, Dh] from `cross_kv`; may be a view likewise. B / G rows that follow one another
                share a window: their queries go to its keys together, of which there is no copy.
            n_keys: At least max(offsets) + T, at most N_text: how much of `self_cache` is read.
            on_query: Called with each layer's index and its scaled cross-attention queries [B, T, H, Dh]: with the keys
                in `cross_cache` they give the attention weights, which the fused kernels do not return.

        Returns:
            [B, T, D] hidden states after the final norm, in `dtype`.
        """
        numbers, scales = cross_cache, None
        if isinstance(cross_cache, EightBitKv) and cross_cache.is_int8:
            numbers, scales = cross_cache.values, cross_cache.scales
        if self.fused_decode is not None and isinstance(numbers, Tensor):
            queries = None if on_query is None else self._room_for_queries(token_ids)
            hidden = self.fused_decode(token_ids, offsets, self_cache, numbers, cross_scales=scales, queries=queries)
            if on_query is not None and queries is not None:
                for index, of_layer in enumerate(queries):
                    on_query(index, of_layer)
            return hidden
        n_rows, n_new = token_ids.shape
        block = self.ops.key_block
        n_keys = min(-(-n_keys // block) * block, self_cache.shape[-2])
        positions = offsets[:, None] + torch.arange(n_new, device=offsets.device)  # [B, T]
        rows = torch.arange(n_rows, device=offsets.device)[:, None]
        keys = torch.arange(n_keys, device=offsets.device)
        limit = KeyLimit(positions, (keys <= positions[:, :, None]).unsqueeze(1))
        shared = (cross_cache.shape[2], -1, self.dims.n_heads, self.dims.head_dim)  # [G, B / G * T, H, Dh]
        x = self.token_embedding[token_ids] + self.decoder_positions[positions]
        for index, (layer, self_kv, cross_kv) in enumerate(
            zip(self.decoder_layers, self_cache, cross_cache, strict=True)
        ):
            x = self._attend_self(layer, x, self_kv, (rows, positions), limit)
            query = self._cross_query(layer, x)
            if on_query is not None:
                on_query(index, query)
            x = layer.cross_out(self._attend_cross(query.view(shared), cross_kv).view(x.shape), residual=x)
            x = layer.mlp_out(layer.mlp_in(x, gelu=True), residual=x)
        return self.decoder_norm(x)

    def _room_for_queries(self, token_ids: Tensor) -> Tensor:
        """For the cross-attention queries [L, B, T, H, Dh] of all layers."""
        dims = self.dims
        shape = (dims.n_decoder_layers, *token_ids.shape, dims.n_heads, dims.head_dim)
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Score the vocabulary.

        Args:
            hidden: [..., D] from `decode`.

        Returns:
            [..., V] float32.
        """
        return self.output(hidden).float()

    def _attend_self(
        self, layer: DecoderLayer, x: Tensor, self_kv: Tensor, index: tuple[Tensor, Tensor], limit: KeyLimit
    ) -> Tensor:
        """Add causal self-attention to `x`, writing the new keys and values into `self_kv` [2, B, H, N_text, Dh]."""
        dims = self.dims
        qkv = layer.self_qkv(x).view(*x.shape[:2], 3, dims.n_heads, dims.head_dim)
        rows, positions = index
        self_kv[:, rows, :, positions] = qkv[:, :, 1:]  # [B, T, 2, H, Dh]
        n_keys = limit.visible.shape[-1]
        mixed = self.ops.decode_attention(qkv[:, :, 0], self_kv[0, :, :, :n_keys], self_kv[1, :, :, :n_keys], limit)
        return layer.self_out(mixed, residual=x)

    def _attend_cross(self, query: Tensor, cross_kv: Tensor | EightBitKv | tuple[Tensor, Tensor]) -> Tensor:
        """Attention of [G, B / G * T, H, Dh] queries over all keys and values [2, G, H, S, Dh]."""
        if not isinstance(cross_kv, EightBitKv):
            return self.ops.decode_attention(query, cross_kv[0], cross_kv[1], None)
        if self.ops.eight_bit_attention is not None and query.shape[1] == 1:
            return self.ops.eight_bit_attention(query, cross_kv[0], cross_kv[1])
        keys, values = cross_kv.to(self.dtype)
        return self.ops.decode_attention(query, keys, values, None)

    def _cross_query(self, layer: DecoderLayer, x: Tensor) -> Tensor:
        """Scaled cross-attention queries [B, T, H, Dh]."""
        return layer.cross_query(x).view(*x.shape[:2], self.dims.n_heads, self.dims.head_dim)
