"""Keys and values of the decoder, allocated once; a slot is one row of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ifw.errors import EngineMemoryError
from ifw.model.cross_projection import CrossCache
from ifw.model.dims import ModelDims
from ifw.model.eight_bit_kv import EightBitKv, eight_bit_bytes
from ifw.model.memory import is_out_of_memory
from ifw.model.split_kv import SplitKv

KeptKv = Literal["same", "int8", "float8"]
"""How keys and values of the audio are kept: what `ifw.config.CrossKv` comes to."""

_MAX_AUTO_SLOTS_CPU = 16
_MAX_AUTO_SLOTS_CUDA = 64
_CPU_CACHE_BYTES = 1 << 31
_CPU_SHARE = 0.125  # of the machine's memory
_CUDA_SHARE = 0.6  # of the free memory; the rest is for activations and logits


@dataclass(frozen=True, slots=True)
class DecoderCache:
    """The caches of some slots.

    Attributes:
        self_kv: [L, 2, S, H, 448, Dh], one position a token; never holds a value that is not finite, because a masked
            position still takes part in the products.
        cross_kv: [L, 2, S, H, 1500, Dh], computed once a window; in 8 bits or split where that was asked for.
    """

    self_kv: Tensor
    cross_kv: CrossCache

    @classmethod
    def allocate(
        cls,
        dims: ModelDims,
        n_slots: int,
        device: torch.device,
        dtype: torch.dtype,
        cross_kv: KeptKv = "same",
        *,
        is_split: bool = False,
    ) -> DecoderCache:
        """Allocate `n_slots` rows of zeros.

        Args:
            dims: Of the model.
            n_slots: S.
            device: Of the model.
            dtype: Of the model.
            cross_kv: How the keys and values of the audio are kept.
            is_split: Those that are kept the `same` are kept as `SplitKv`.

        Raises:
            EngineMemoryError: The device has no room for them.
        """
        rows = (dims.n_decoder_layers, 2, n_slots, dims.n_heads)
        try:
            self_kv = torch.zeros(*rows, dims.n_text_positions, dims.head_dim, device=device, dtype=dtype)
            cross_rows = (*rows, dims.n_positions, dims.head_dim)
            kept: CrossCache
            if cross_kv != "same":
                kept = EightBitKv.zeros(*cross_rows, device=device, how=cross_kv)
            elif is_split:
                kept = SplitKv.zeros(*cross_rows, device=device, dtype=dtype)
            else:
                kept = torch.zeros(*cross_rows, device=device, dtype=dtype)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            needed = f"{n_slots * slot_bytes(dims, dtype, cross_kv) / 1e9:.1f} GB on {device}"
            raise EngineMemoryError(
                f"n_slots: got {n_slots}, which needs {needed}, more than is free; ask for fewer slots"
            ) from error
        return cls(self_kv, kept)

    @property
    def n_slots(self) -> int:
        """S."""
        return self.self_kv.shape[2]

    def view(self, begin: int, end: int) -> DecoderCache:
        """The slots from `begin` to before `end`, sharing memory."""
        return DecoderCache(self.self_kv[:, :, begin:end], self.cross_kv[:, :, begin:end])

    def wipe(self, slot: int) -> None:
        """Forget a slot's tokens, which may have left values that are not finite."""
        self.self_kv[:, :, slot] = 0


def slot_bytes(dims: ModelDims, dtype: torch.dtype, cross_kv: KeptKv = "same") -> int:
    """Bytes of one slot's rows in both caches."""
    text = dims.n_text_positions * dims.d_model * dtype.itemsize
    audio = dims.n_positions * dims.d_model * dtype.itemsize
    if cross_kv != "same":
        audio = eight_bit_bytes(dims.n_heads, dims.n_positions, dims.head_dim, cross_kv)
    return dims.n_decoder_layers * 2 * (text + audio)


def choose_n_slots(bytes_each: int, device: torch.device) -> int:
    """As many slots as are useful and fit beside everything else: up to 16 on CPU, up to 64 on CUDA.

    Args:
        bytes_each: Of one slot, in all caches.
        device: Where they are.
    """
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        budget, most = int(free_bytes * _CUDA_SHARE), _MAX_AUTO_SLOTS_CUDA
    else:
        budget, most = min(_CPU_CACHE_BYTES, int(_total_memory_bytes() * _CPU_SHARE)), _MAX_AUTO_SLOTS_CPU
    return max(1, min(most, budget // bytes_each))


def _total_memory_bytes() -> int:
    """Memory of the machine; where the system does not say, enough for the full budget."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return int(_CPU_CACHE_BYTES / _CPU_SHARE)
