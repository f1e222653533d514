"""The whole decoder as one call of the native library: its layers, both kinds of attention, and the last norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ctypes import byref, c_int64, pointer

import torch
from torch import Tensor

from ifw.errors import ShapeError
from ifw.kernels.library import (
    DECODER_LINEARS,
    DECODER_NORMS,
    HEAD_DIM,
    STORED,
    DecodeCallStruct,
    DecoderLayerStruct,
    DecoderStruct,
    Kernels,
)
from ifw.kernels.linear import NativeLinear, norm_struct


class NativeDecoder:
    """Decodes new tokens of some rows, and adds their keys and values to the cache.

    Args:
        kernels: From `ifw.kernels.library`.
        layers: For each layer its linear layers by the names of `DECODER_LINEARS`; `self_qkv`, `cross_query` and
            `mlp_in` have the norm of their part.
        token_embedding: [V, D], contiguous, in the dtype of activations and caches.
        positions: [N_text, D], likewise.
        norm: Weight and bias of the last norm, [D] each.
    """

    def __init__(
        self,
        kernels: Kernels,
        layers: Sequence[Mapping[str, NativeLinear]],
        token_embedding: Tensor,
        positions: Tensor,
        norm: tuple[Tensor, Tensor],
    ) -> None:
        assert token_embedding.is_contiguous()
        assert positions.is_contiguous()
        assert token_embedding.dtype == positions.dtype
        self._kernels = kernels
        self._dtype = token_embedding.dtype
        self._n_layers, self._width = len(layers), token_embedding.shape[1]
        self._n_heads, self._n_text_positions = self._width // HEAD_DIM, positions.shape[0]
        structs = (DecoderLayerStruct * len(layers))(*map(_layer_struct, layers))
        last_norm = norm_struct(*norm)
        struct = DecoderStruct(
            n_layers=self._n_layers,
            n_heads=self._n_heads,
            n_vocab=token_embedding.shape[0],
            n_text_positions=self._n_text_positions,
            layers=structs,
            token_embedding=token_embedding.data_ptr(),
            positions=positions.data_ptr(),
            norm=pointer(last_norm),
            type=STORED[self._dtype],
        )
        self._decoder = byref(struct)
        self._owned = (layers, structs, token_embedding, positions, last_norm)  # the struct points into them

    def __call__(
        self,
        token_ids: Tensor,
        offsets: Tensor,
        self_cache: Tensor,
        cross_cache: Tensor,
        *,
        cross_scales: Tensor | None = None,
        queries: Tensor | None = None,
    ) -> Tensor:
        """Run the decoder; see `ifw.model.whisper.Whisper.decode`.

        Args:
            token_ids: [B, T] int64.
            offsets: [B] int64.
            self_cache: [L, 2, B, H, N_text, 64], its last two axes dense.
            cross_cache: [L, 2, G, H, S, 64], likewise; int8 if it has scales.
            cross_scales: [L, 2, G, H, S] float16, its last axis dense.
            queries: [L, B, T, H, 64], filled with the scaled queries of the cross-attention.

        Returns:
            [B, T, D].

        Raises:
            ShapeError: Shapes, dtypes or strides do not fit, or a token or a position is out of range.
        """
        n_rows, n_new = self._check(token_ids, offsets, self_cache, cross_cache, cross_scales)
        token_ids, offsets = token_ids.contiguous(), offsets.contiguous()
        out = torch.empty(n_rows, n_new, self._width, dtype=self._dtype, device="cpu")
        if queries is not None:
            self._check_queries(queries, n_rows, n_new)
        if not out.numel():
            return out
        call = DecodeCallStruct(
            n_rows=n_rows,
            n_new=n_new,
            token_ids=token_ids.data_ptr(),
            offsets=offsets.data_ptr(),
            self_cache=self_cache.data_ptr(),
            self_strides=_strides(self_cache),
            cross_cache=cross_cache.data_ptr(),
            cross_strides=_strides(cross_cache),
            cross_scales=None if cross_scales is None else cross_scales.data_ptr(),
            cross_scale_strides=(c_int64 * 4)() if cross_scales is None else _strides(cross_scales),
            n_groups=cross_cache.shape[2],
            n_cross=cross_cache.shape[4],
            queries=None if queries is None else queries.data_ptr(),
        )
        if self._kernels.decode(byref(self._kernels.team()), self._decoder, byref(call), out.data_ptr()):
            raise ShapeError(
                f"token_ids, offsets: got {token_ids.tolist()} at {offsets.tolist()}, allowed: tokens of the "
                f"vocabulary, at positions below {self._n_text_positions}"
            )
        return out

    def _check(
        self,
        token_ids: Tensor,
        offsets: Tensor,
        self_cache: Tensor,
        cross_cache: Tensor,
        cross_scales: Tensor | None,
    ) -> tuple[int, int]:
        shape = token_ids.shape
        if len(shape) != 2 or offsets.shape != shape[:1] or {token_ids.dtype, offsets.dtype} != {torch.int64}:
            raise ShapeError(
                f"token_ids, offsets: got {token_ids.dtype} {list(shape)}, {offsets.dtype} {list(offsets.shape)}, "
                "allowed: int64 [B, T], int64 [B]"
            )
        n_rows, n_new = shape
        n_groups, n_cross = (cross_cache.shape[2], cross_cache.shape[4]) if cross_cache.ndim == 6 else (0, 0)
        if n_groups < 1 or n_rows % n_groups or n_cross < 1:
            raise ShapeError(
                f"cross_cache: got {list(cross_cache.shape)}, allowed: [L, 2, G, H, S, {HEAD_DIM}], "
                f"{n_rows} rows a multiple of G"
            )
        layers = (self._n_layers, 2)
        self._check_cache(
            "self_cache", self_cache, (*layers, n_rows, self._n_heads, self._n_text_positions, HEAD_DIM), self._dtype
        )
        vectors = (*layers, n_groups, self._n_heads, n_cross)
        dtype = self._dtype if cross_scales is None else torch.int8
        self._check_cache("cross_cache", cross_cache, (*vectors, HEAD_DIM), dtype)
        if cross_scales is not None:
            self._check_cache("cross_scales", cross_scales, vectors, torch.float16)
        return n_rows, n_new

    def _check_queries(self, queries: Tensor, n_rows: int, n_new: int) -> None:
        shape = (self._n_layers, n_rows, n_new, self._n_heads, HEAD_DIM)
        if queries.shape != shape or queries.dtype != self._dtype or not queries.is_contiguous():
            raise ShapeError(
                f"queries: got {queries.dtype} {list(queries.shape)}, allowed: {self._dtype} {list(shape)}, contiguous"
            )

    def _check_cache(self, name: str, cache: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        strides = cache.stride()
        dense = (shape[-1], 1) if len(shape) == 6 else (1,)
        is_dense = strides[4:] == dense and min(strides) >= 0
        if cache.shape != shape or cache.dtype != dtype or not is_dense or cache.device.type != "cpu":
            raise ShapeError(
                f"{name}: got {cache.dtype} {list(cache.shape)} with strides {strides} on {cache.device}, "
                f"allowed: {dtype} {list(shape)} on cpu, the axes after the heads dense"
            )


def _layer_struct(layer: Mapping[str, NativeLinear]) -> DecoderLayerStruct:
    linears = [pointer(layer[name].struct) for name in DECODER_LINEARS]
    begins = (layer["self_qkv"], layer["cross_query"], layer["mlp_in"])
    norms = [pointer(linear.norm_struct) for linear in begins if linear.norm_struct is not None]
    assert len(norms) == len(DECODER_NORMS), "the first layer of every part has its norm"
    return DecoderLayerStruct(*linears, *norms)


def _strides(cache: Tensor) -> object:
    return (c_int64 * 4)(*cache.stride()[:4])
