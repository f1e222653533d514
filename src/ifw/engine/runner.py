"""The model and its caches behind a few calls that speak of slots: the only place where a forward pass is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor

from ifw.engine.alignment_attention import AlignmentAttention
from ifw.engine.cache import DecoderCache, KeptKv
from ifw.engine.device import upload
from ifw.engine.request import EncodedWindow, TokenAttention
from ifw.engine.rules import Field, RowStart, RowStates, RuleTokens, TokenRules
from ifw.engine.runner_interface import AlignInput, Detected, Prefilled, PrefillInput, SearchInput, Stepped, WindowInput
from ifw.engine.search import Move, Sampled
from ifw.engine.search_runner import SearchRunner
from ifw.engine.small_calls import suitable_cores
from ifw.engine.token_chooser import TokenChooser
from ifw.engine.window_encoder import WindowEncoder
from ifw.model.whisper import Whisper

_LEAST_WIDTH = 4  # tokens: products of fewer rows are done by other kernels, whose last bits differ


@dataclass(frozen=True, slots=True)
class RunnerTokens:
    """The tokens that the runner speaks about.

    Attributes:
        rules: Those of the token rules.
        sot: `<|startoftranscript|>`.
        no_speech: `<|nospeech|>`.
        language_ids: One a language.
    """

    rules: RuleTokens
    sot: int
    no_speech: int
    language_ids: tuple[int, ...]


@dataclass(slots=True, eq=False)
class LiveRow:
    """What the host knows about a row that is decoding; a row that starts again is another one.

    Attributes:
        offset: Tokens that are in the cache, or will be when the steps that were asked for are done.
        is_sampled: Its temperature is above 0.
        suppress_ids: What it never produces.
        suppress: The same on the device.
        n_fed: Tokens of its prefix that it is fed by steps; 0 where the prefix was computed beforehand.
        sot_index: Where `<|startoftranscript|>` is among those.
        no_speech_prob: What the logits there said, as soon as it is known.
    """

    offset: int
    is_sampled: bool
    suppress_ids: tuple[int, ...]
    suppress: Tensor = field(repr=False)
    n_fed: int = 0
    sot_index: int = 0
    no_speech_prob: float = math.nan


class ModelRunner:
    """Runs one model on one device for the rows of a cache.

    Calls come from one thread. Rows that are not live may lie between live ones: they are computed along, at position
    0, and mean nothing.
    """

    def __init__(
        self,
        model: Whisper,
        tokens: RunnerTokens,
        n_slots: int,
        alignment_heads: Sequence[tuple[int, int]] = (),
        *,
        cross_kv: KeptKv = "same",
    ) -> None:
        self._alignment_heads = alignment_heads
        self._model = model
        self._tokens = tokens
        self._device = model.device
        self._encoder = WindowEncoder(model)
        self._cache = DecoderCache.allocate(
            model.dims, n_slots, model.device, model.dtype, cross_kv, is_split=model.ops.splits_cross_kv
        )
        self._states = RowStates.allocate(n_slots, tokens.rules.eot, model.device)
        self._rules = TokenRules(tokens.rules, model.device)
        self._chooser = TokenChooser(model, self._rules, tokens.rules)
        self._language_ids = torch.tensor(tokens.language_ids, dtype=torch.int64, device=model.device)
        self._rows: dict[int, LiveRow] = {}
        self._parked: dict[int, LiveRow] = {}
        self._searches = SearchRunner(model, self._rules, tokens.rules)

    @property
    def n_slots(self) -> int:
        """Rows of the cache."""
        return self._cache.n_slots

    def session(self) -> AbstractContextManager[None]:
        """What the thread that makes the calls stays in meanwhile."""
        return nullcontext()

    def is_encoded(self, slot: int) -> bool:
        """Whether the device has filled a slot: here it has, as soon as `encode` is back."""
        del slot
        return True

    def encode(self, windows: Sequence[WindowInput]) -> list[EncodedWindow]:
        """Fill slots with cross-attention keys and values.

        Args:
            windows: In slot order.

        Returns:
            The encoder's output of each.
        """
        fresh = [window.samples for window in windows if window.encoded is None and window.samples is not None]
        outputs = iter(self._encoder.encode(fresh))
        audio = [next(outputs) if window.encoded is None else window.encoded.audio for window in windows]
        slots = [window.slot for window in windows]
        for first, last in neighbours(slots):
            rows = audio[first : last + 1]
            cache = self._cache.view(slots[first], slots[last] + 1)
            self._model.cross_kv(torch.stack(rows) if len(rows) > 1 else rows[0][None], cache.cross_kv)
        return [EncodedWindow(row) for row in audio]

    def detect(self, slots: Sequence[int]) -> list[Detected]:
        """Ask the decoder for the language of encoded slots: one step on `<|startoftranscript|>` alone."""
        detected: list[Detected] = []
        for first, last in neighbours(slots):
            cache = self._cache.view(slots[first], slots[last] + 1)
            token_ids = torch.full((cache.n_slots, 1), self._tokens.sot, device=self._device)
            offsets = torch.zeros(cache.n_slots, dtype=torch.int64, device=self._device)
            hidden = self._model.decode(token_ids, offsets, cache.self_kv, cache.cross_kv, n_keys=1)
            logits = self._model.logits(hidden[:, 0])
            silence = self._no_speech(logits)
            languages = logits[:, self._language_ids].softmax(-1)
            packed = torch.cat((silence[:, None], languages), 1).tolist()
            detected += [Detected(row[1:], row[0]) for row in packed]
        return detected

    def prefill(self, inputs: Sequence[PrefillInput]) -> Sequence[Prefilled | None]:
        """Compute prefixes, in slot order, and sample the first token of each row; the rows are live from then on."""
        prefilled: list[Prefilled] = []
        for first, last in neighbours([row.slot for row in inputs]):
            n_tokens = max(len(row.prefix.token_ids) for row in inputs[first : last + 1])
            with suitable_cores(self._model, last + 1 - first, n_tokens):
                prefilled += self._prefill_run(inputs[first : last + 1])
        return prefilled

    def restart(self, slot: int, start: RowStart) -> None:
        """Let a live or parked row sample again from the end of its prefix, which is still in the cache."""
        row = self._rows.get(slot) or self._parked.pop(slot)
        self._rows[slot] = replace(row, offset=start.n_prefix - 1, is_sampled=start.temperature > 0, n_fed=0)
        self._states.start(slot, start)

    def park(self, slot: int, start: RowStart) -> None:
        """Take a live row out of the steps; its prefix stays in the cache for `begin_search` or `restart`."""
        if slot in self._rows:
            self._parked[slot] = replace(self._rows.pop(slot), offset=start.n_prefix - 1)
            self._states.park(slot, start)

    def step(self, slots: Sequence[int]) -> Sequence[Stepped]:
        """Sample one token in every live row.

        Args:
            slots: All live rows, in slot order.

        Returns:
            One token a slot.
        """
        assert list(slots) == sorted(self._rows), "a step concerns every live row"
        begin, end = slots[0], slots[-1] + 1
        cache, states = self._cache.view(begin, end), self._states.view(begin, end)
        n_keys = max(row.offset for row in self._rows.values()) + 1
        with suitable_cores(self._model, end - begin):
            hidden = self._model.decode(
                states[Field.TOKEN][:, None], states[Field.OFFSET], cache.self_kv, cache.cross_kv, n_keys
            )
            chosen = self._choose(self._model.logits(hidden[:, 0]), begin, end)
        for row in self._rows.values():
            row.offset += 1
        return chosen

    def begin_search(self, search: SearchInput) -> None:
        """Let the workspace begin on an attempt; what it held is forgotten.

        Raises:
            EngineMemoryError: The device has no room for the rows.
        """
        self._searches.begin(search, self._cache, self._parked[search.slot].suppress)

    def search(self, moves: Sequence[Move]) -> list[list[Sampled]]:
        """One step of the search that has begun: its rows become what `moves` say, and each gives candidates.

        Args:
            moves: One a row; empty in the first step.

        Returns:
            For each row its candidates, likeliest first.
        """
        return self._searches.step(moves)

    def stop(self, slot: int) -> None:
        """Let a live or parked row sample no more; its window stays in its slot."""
        if self._rows.pop(slot, None) or self._parked.pop(slot, None):
            self._states.stop(slot)

    def align(self, inputs: Sequence[AlignInput]) -> list[TokenAttention]:
        """Give the decoder whole texts, and see where it listens.

        Args:
            inputs: In slot order; their rows of the self-attention cache are overwritten.

        Returns:
            The attention of each. It may not be finite, where the model's numbers are not.
        """
        aligned: list[TokenAttention] = []
        for first, last in neighbours([row.slot for row in inputs]):
            aligned += self._align_run(inputs[first : last + 1])
        return aligned

    def release(self, slot: int, *, wipe: bool = False) -> None:
        """Make a row idle, and forget the search at its window.

        Args:
            slot: Its row, live or not.
            wipe: Its values may not be finite.
        """
        self.stop(slot)
        self._searches.end(slot)
        if wipe:
            self._cache.wipe(slot)

    def free_memory(self) -> None:
        """Give unused memory back to the device."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _prefill_run(self, inputs: Sequence[PrefillInput]) -> list[Prefilled]:
        """Prefill slots that lie side by side."""
        begin, end = inputs[0].slot, inputs[-1].slot + 1
        cache = self._cache.view(begin, end)
        lengths = [len(row.prefix.token_ids) for row in inputs]
        hidden = self._decode_whole(self._model, cache, [row.prefix.token_ids for row in inputs])
        rows = torch.arange(len(inputs), device=self._device)
        wanted = upload([[length - 1 for length in lengths], [row.prefix.sot_index for row in inputs]], self._device)
        last, sot = self._model.logits(hidden[rows, wanted])  # each [B, V]
        for row in inputs:
            self._start(row)
        silence = self._no_speech(sot).tolist()
        sampled = self._choose(last, begin, end)
        return [Prefilled(*pair) for pair in zip(sampled, silence, strict=True)]

    def _align_run(self, inputs: Sequence[AlignInput]) -> list[TokenAttention]:
        """Align slots that lie side by side."""
        cache = self._cache.view(inputs[0].slot, inputs[-1].slot + 1)
        lengths = [(len(row.token_ids), row.n_positions) for row in inputs]
        attention = AlignmentAttention(self._alignment_heads, cache.cross_kv, lengths)
        hidden = self._decode_whole(self._model, cache, [row.token_ids for row in inputs], attention)
        aligned: list[TokenAttention] = []
        for row, states, matrix in zip(inputs, hidden, attention.matrices(), strict=True):
            first, end = row.n_prefix - 1, len(row.token_ids) - 1  # what comes next is the text and its end
            text_ids = upload(row.token_ids[row.n_prefix : end], self._device)
            logits = self._model.logits(states[first : end - 1])[:, : self._tokens.rules.eot]
            probabilities = logits.softmax(-1).gather(1, text_ids[:, None])[:, 0]
            aligned.append(TokenAttention(matrix[first:end].cpu().numpy(), probabilities.cpu().numpy()))
        return aligned

    def _decode_whole(
        self,
        model: Whisper,
        cache: DecoderCache,
        rows: Sequence[Sequence[int]],
        on_query: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Run rows of tokens from position 0, right-padded; [B, T, D] hidden states."""
        width = max(_LEAST_WIDTH, *map(len, rows))
        padded = [[*row, *[self._tokens.rules.eot] * (width - len(row))] for row in rows]
        return model.decode(
            upload(padded, self._device),
            torch.zeros(len(rows), dtype=torch.int64, device=self._device),
            cache.self_kv,
            cache.cross_kv,
            n_keys=width,
            on_query=on_query,
        )

    def _start(self, row: PrefillInput) -> None:
        """Make a row live."""
        self._states.start(row.slot, row.start)
        self._rows[row.slot] = LiveRow(
            offset=row.start.n_prefix,
            is_sampled=row.start.temperature > 0,
            suppress_ids=row.suppress,
            suppress=self._suppress_tensor(row.suppress),
        )

    def _suppress_tensor(self, ids: tuple[int, ...]) -> Tensor:
        """The ids on the device, shared with a live row that has the same ones."""
        for row in (*self._rows.values(), *self._parked.values()):
            if row.suppress_ids == ids:
                return row.suppress
        return upload(ids, self._device)

    def _choose(self, logits: Tensor, begin: int, end: int) -> list[Sampled]:
        """Sample in the live rows from `begin` to before `end`, and record it in their states."""
        rows = [self._rows.get(slot) for slot in range(begin, end)]
        suppress = [None if row is None else row.suppress for row in rows]
        sampled_rows = [index for index, row in enumerate(rows) if row is not None and row.is_sampled]
        return self._chooser.choose(logits, self._states.view(begin, end), suppress, sampled_rows)

    def _no_speech(self, logits: Tensor) -> Tensor:
        """[B, V] logits at `<|startoftranscript|>`, before any rule -> [B] probabilities."""
        return logits.softmax(-1)[:, self._tokens.no_speech]


def neighbours(slots: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last index of each stretch of ascending neighbours: only those are a view on the cache."""
    slots = list(slots)
    breaks = [index for index, (left, right) in enumerate(pairwise(slots)) if right != left + 1]
    return zip([0, *(index + 1 for index in breaks)], [*breaks, len(slots) - 1], strict=True)
