"""How the attention of the decoder moves over the audio, token by token: what word times are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ifw.errors import ShapeError
from ifw.kernels.library import load
from ifw.model.cross_projection import CrossCache

MEDIAN_WIDTH = 7  # positions, 0.14 s
# The exchanges that bring the median of seven numbers to place 3 (Devillard 1998, after Smith); sorting takes ten times
# as long.
_EXCHANGES = (
    (0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4),
)  # fmt: skip


class AlignmentAttention:
    """Sums up the attention of the alignment heads while a decoder pass runs over whole rows of tokens.

    Handed to `Whisper.decode` as `on_query`. Each head's weights over the content of the window are normalised over the
    tokens, because a position that all tokens look at says nothing, and smoothed by a median over time. One head of one
    row at a time, without the padding: a row's result does not depend on its neighbours, and a checkpoint that names
    hundreds of heads needs no memory for all of them.

    Args:
        heads: (layer, head) pairs that follow the audio.
        cross_cache: [L, 2, B, H, S, Dh], as given to `decode`.
        lengths: For each row its number of tokens and of positions with content.

    Source:
        openai/whisper `timing.py`, `find_alignment`.
    """

    def __init__(
        self, heads: Sequence[tuple[int, int]], cross_cache: CrossCache, lengths: Sequence[tuple[int, int]]
    ) -> None:
        self._heads = heads
        self._keys = cross_cache[:, 0]
        self._sums = [torch.zeros(length, dtype=torch.float32, device=cross_cache.device) for length in lengths]

    def __call__(self, layer: int, query: Tensor) -> None:
        """Take in the scaled queries [B, T, H, Dh] of a layer."""
        for head in (head for of_layer, head in self._heads if of_layer == layer):
            for row, total in enumerate(self._sums):
                n_tokens, n_positions = total.shape
                keys = self._keys[layer, row, head, :n_positions].float()
                add_attention(query[row, :n_tokens, head].float() @ keys.T, total)

    def matrices(self) -> list[Tensor]:
        """The mean over the heads: for each row [its tokens, its positions] float32."""
        return [total / len(self._heads) for total in self._sums]


def add_attention(scores: Tensor, total: Tensor) -> None:
    """Add what a head says about a row.

    Args:
        scores: [n_tokens, n_positions] float32: products of queries and keys.
        total: Of the same shape and dtype, contiguous.

    Raises:
        ShapeError: They are not.
    """
    for name, given in (("scores", scores), ("total", total)):
        if given.shape != scores.shape or given.ndim != 2 or given.dtype != torch.float32:
            raise ShapeError(f"{name}: got {given.dtype} {list(given.shape)}, allowed: float32 [n_tokens, n_positions]")
    kernels = next(iter(load().kernels), None)
    if kernels is None or scores.device.type != "cpu":
        total.add_(smoothed_attention(scores))
        return
    assert total.is_contiguous(), "what is added to is whole"
    scores = scores.contiguous()
    kernels.add_attention(scores.data_ptr(), *scores.shape, total.data_ptr())


def smoothed_attention(scores: Tensor) -> Tensor:
    """What `add_attention` adds, by torch."""
    weights = torch.softmax(scores, -1)
    std, mean = torch.std_mean(weights, dim=0, correction=0)
    return median_filter((weights - mean) / std.clamp_min(torch.finfo(std.dtype).tiny))


def median_filter(x: Tensor) -> Tensor:
    """Replace each value by the median of the seven around it along the last axis, which is mirrored at its ends.

    Args:
        x: [..., n] without NaN; returned as it is where n is 3 or less.

    Returns:
        [..., n].
    """
    reach = MEDIAN_WIDTH // 2
    if x.shape[-1] <= reach:
        return x
    padded = F.pad(x.flatten(0, -2)[None], (reach, reach), mode="reflect")[0].view(*x.shape[:-1], -1)
    values = list(padded.unfold(-1, x.shape[-1], 1).unbind(-2))
    for low, high in _EXCHANGES:
        values[low], values[high] = torch.minimum(values[low], values[high]), torch.maximum(values[low], values[high])
    return values[reach]
