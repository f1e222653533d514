"""A runner whose steps give several tokens a row: a draft model proposes them, the model checks them in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from ifw.engine.cache import DecoderCache, KeptKv
from ifw.engine.graphs import StepGraphs, bucket_of, row_buckets
from ifw.engine.request import EncodedWindow
from ifw.engine.rules import RowStart
from ifw.engine.runner import ModelRunner, RunnerTokens, neighbours
from ifw.engine.runner_interface import Prefilled, PrefillInput, Stepped, Verified, WindowInput
from ifw.engine.search import Sampled
from ifw.engine.small_calls import suitable_cores
from ifw.engine.speculative_step import Decoder, RoundKey, SpeculativeStep
from ifw.model.whisper import Whisper

_KEY_BUCKETS: Final = (64, 128, 256)


class SpeculativeRunner(ModelRunner):
    """Carries out decode steps as rounds of `SpeculativeStep`, on CUDA as graphs, and reads each at once.

    Languages, searches and the attention for word times are the model's alone.

    Args:
        model: On its device.
        draft: From `ifw.model.draft.load_draft`.
        tokens: Those that the runner speaks about.
        n_slots: Rows of the cache.
        alignment_heads: (layer, head) pairs that follow the audio.
        n_drafted: Tokens proposed in a round, at least 1.
        cross_kv: How the keys and values of the audio are kept, by both decoders.
        has_graphs: Capture the rounds, where the device is CUDA.

    Raises:
        EngineMemoryError: The device has no room for the caches.
    """

    def __init__(
        self,
        model: Whisper,
        draft: Whisper,
        tokens: RunnerTokens,
        n_slots: int,
        alignment_heads: Sequence[tuple[int, int]] = (),
        *,
        n_drafted: int,
        cross_kv: KeptKv = "same",
        has_graphs: bool = True,
    ) -> None:
        super().__init__(model, tokens, n_slots, alignment_heads, cross_kv=cross_kv)
        draft_cache = DecoderCache.allocate(
            draft.dims, n_slots, draft.device, draft.dtype, cross_kv, is_split=draft.ops.splits_cross_kv
        )
        self._draft = Decoder(draft, draft_cache)
        self._n_drafted, self._n_positions = n_drafted, model.dims.n_text_positions
        self._round = SpeculativeStep(
            Decoder(model, self._cache), self._draft, self._states, self._rules, tokens.rules, max_drafted=n_drafted
        )
        self.graphs = StepGraphs(self._round.run, model.device, is_on=has_graphs)
        self._is_cuda = model.device.type == "cuda"
        self._row_buckets = row_buckets(n_slots)
        self._key_buckets = (*(n for n in _KEY_BUCKETS if n < self._n_positions), self._n_positions)

    def encode(self, windows: Sequence[WindowInput]) -> list[EncodedWindow]:
        """See `ModelRunner.encode`; the draft's slots are filled from the same encoder outputs."""
        encoded = super().encode(windows)
        slots = [window.slot for window in windows]
        for first, last in neighbours(slots):
            audio = torch.stack([window.audio for window in encoded[first : last + 1]])
            self._draft.model.cross_kv(audio, self._draft.cache.view(slots[first], slots[last] + 1).cross_kv)
        return encoded

    def prefill(self, inputs: Sequence[PrefillInput]) -> Sequence[Prefilled | None]:
        """See `ModelRunner.prefill`; the draft is given the prefixes too."""
        for first, last in neighbours([row.slot for row in inputs]):
            rows = inputs[first : last + 1]
            cache = self._draft.cache.view(rows[0].slot, rows[-1].slot + 1)
            self._decode_whole(self._draft.model, cache, [row.prefix.token_ids for row in rows])
        return super().prefill(inputs)

    def step(self, slots: Sequence[int]) -> Sequence[Stepped]:
        """Decode a round in every live row.

        Args:
            slots: All live rows, in slot order.

        Returns:
            One token a slot at least, and at most one more than are proposed.
        """
        assert list(slots) == sorted(self._rows), "a step concerns every live row"
        key = self._key()
        with suitable_cores(self._model, key.n_rows, key.n_drafted + 1):
            self.graphs.step(key)
        results = self._round.results[:, : key.n_rows].T.tolist()
        return [self._verified(slot, results[slot], key.n_drafted) for slot in slots]

    def restart(self, slot: int, start: RowStart) -> None:
        """See `ModelRunner.restart`."""
        super().restart(slot, start)
        self._round.begin(slot)

    def park(self, slot: int, start: RowStart) -> None:
        """See `ModelRunner.park`."""
        super().park(slot, start)
        self._round.begin(slot)

    def stop(self, slot: int) -> None:
        """See `ModelRunner.stop`."""
        super().stop(slot)
        self._round.begin(slot)

    def release(self, slot: int, *, wipe: bool = False) -> None:
        """See `ModelRunner.release`."""
        super().release(slot, wipe=wipe)
        if wipe:
            self._draft.cache.wipe(slot)

    def _key(self) -> RoundKey:
        """The round that the live rows need: none of them may come behind the last position."""
        live = self._rows.values()
        n_before = max(row.offset for row in (*live, *self._parked.values()))
        n_drafted = min(self._n_drafted, self._n_positions - 1 - n_before)
        n_rows, n_keys = max(self._rows) + 1, n_before + 1 + n_drafted
        if self._is_cuda:
            n_rows, n_keys = bucket_of(n_rows, self._row_buckets), bucket_of(n_keys, self._key_buckets)
        return RoundKey(n_rows, n_keys, n_drafted, is_sampling=any(row.is_sampled for row in live))

    def _verified(self, slot: int, results: list[float], n_drafted: int) -> Verified:
        row, half = self._rows[slot], self._n_drafted + 1
        n_new = int(results[-1]) + 1
        row.offset += n_new
        pairs = zip(results[:n_new], results[half : half + n_new], strict=True)
        return Verified(tuple(Sampled(int(token), logprob) for token, logprob in pairs), n_drafted)

    def _start(self, row: PrefillInput) -> None:
        super()._start(row)
        self._round.suppressed.set(row.slot, row.suppress)
