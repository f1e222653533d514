"""On CPU, torch decodes small calls on one core: several would wait for each other longer than they work.

The native decoder is left alone: its threads do not wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from ifw.model.cores import cores
from ifw.model.dims import ModelDims
from ifw.model.whisper import Whisper

MAX_MULTIPLICATIONS: Final = 64_000_000
"""Of a call on one core: 16 rows of the demo model, or one of `base`, where a second core gains nothing either."""


@contextmanager
def suitable_cores(model: Whisper, n_rows: int, n_tokens: int = 1) -> Iterator[None]:
    """Have torch use one core of the calling thread's for a small decode call, and all of them for a larger one.

    The results are the same, bit for bit.

    Args:
        model: The model.
        n_rows: Rows of the cache.
        n_tokens: New tokens of each.
    """
    is_small = decode_multiplications(model.dims, n_rows, n_tokens) <= MAX_MULTIPLICATIONS
    if torch.get_num_threads() == 1 or model.fused_decode is not None or not is_small:
        yield
        return
    with cores(1):
        yield


def decode_multiplications(dims: ModelDims, n_rows: int, n_tokens: int = 1) -> int:
    """Multiplications of one decode call, about: those with weights, of which the vocabulary is one, and with keys."""
    width = dims.d_model
    layer = 8 * width**2 + 2 * width * dims.decoder_ffn + 2 * dims.n_positions * width
    return n_rows * n_tokens * (dims.n_decoder_layers * layer + dims.n_vocab * width)
