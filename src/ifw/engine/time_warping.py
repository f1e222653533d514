"""Dynamic time warping: from the attention of the tokens to the position where each of them starts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ifw.kernels.library import Kernels, load


def token_starts(attention: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Find the monotone path through the attention that collects most of it.

    The path goes from the first token at the first position to the last token at the last position; each step goes to
    the next token, the next position, or both.

    Args:
        attention: [n_tokens, n_positions], both at least 1, finite; large where the token is likely heard.

    Returns:
        [n_tokens] the position at which the path reaches each token; the first is 0, and none is before the one ahead.

    Source:
        openai/whisper `timing.py`, `dtw_cpu`: the same path, also where all are equally good.
    """
    kernels = next(iter(load().kernels), None)
    return starts_by_rows(attention) if kernels is None else starts_by_kernel(kernels, attention)


def starts_by_kernel(kernels: Kernels, attention: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """`token_starts` by the native library, which holds up no other thread."""
    attention = np.ascontiguousarray(attention, np.float32)
    starts = np.empty(len(attention), np.int64)
    kernels.token_starts(attention.ctypes.data, *attention.shape, starts.ctypes.data)
    return starts


def starts_by_rows(attention: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """`token_starts`, a whole row of costs at once.

    The way into a row at position k and along it to j costs `arrival[k] + total[j]`, so the best k for every j is a
    running minimum.
    """
    n_tokens, n_positions = attention.shape
    places = np.arange(n_positions)
    entries = np.empty((n_tokens, n_positions), np.int32)  # where the best path to here came into the row
    is_diagonal = np.empty((n_tokens, n_positions), bool)  # it came from the position before, not from the same one
    above = np.full(n_positions + 1, np.inf)  # cost of the row before, behind a border
    above[0] = 0.0
    for token, row in enumerate(attention):
        cost = -row.astype(np.float64)
        total = np.cumsum(cost)
        is_diagonal[token] = above[:-1] < above[1:]
        arrival = np.minimum(above[:-1], above[1:]) - (total - cost)
        best = np.minimum.accumulate(arrival)
        is_entry = np.append(True, arrival[1:] < best[:-1])
        entries[token] = np.maximum.accumulate(np.where(is_entry, places, 0))
        above[0], above[1:] = np.inf, best + total
    starts = np.empty(n_tokens, np.int64)
    place = n_positions - 1
    for token in range(n_tokens - 1, -1, -1):
        starts[token] = place = entries[token, place]
        place -= is_diagonal[token, place]
    return starts
