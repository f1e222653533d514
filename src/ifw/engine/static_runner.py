"""A runner whose steps work on static buffers and are read one step late: the device never waits for the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from ifw.engine.cache import KeptKv
from ifw.engine.graphs import StepGraphs, bucket_of, row_buckets
from ifw.engine.late_results import LateResult, LateResults
from ifw.engine.request import EncodedWindow
from ifw.engine.runner import LiveRow, ModelRunner, RunnerTokens
from ifw.engine.runner_interface import Detected, Prefilled, PrefillInput, Stepped, WindowInput
from ifw.engine.search import Sampled
from ifw.engine.small_calls import suitable_cores
from ifw.engine.static_step import MAX_FED, StaticStep, StepKey
from ifw.engine.streams import Streams
from ifw.model.whisper import Whisper

_KEY_BUCKETS = (64, 128, 256)


@dataclass(frozen=True, slots=True, eq=False)
class _Launch:
    """A step that the device was given: which rows were live in it, and at which positions."""

    rows: dict[int, tuple[LiveRow, int]]
    result: LateResult


class StaticRunner(ModelRunner):
    """Carries out decode steps as CUDA graphs, or on any device with the same buffers and without graphs.

    `step` gives the device the next step before it reads what the last one said. So the host knows one step late that
    a row has ended; the step that it takes part in meanwhile writes nothing that anybody reads.

    A short prefix is fed to the row by the same steps, a token each, so that nobody waits for a pass of its own.

    Args:
        model: On its device.
        tokens: Those that the runner speaks about.
        n_slots: Rows of the cache.
        alignment_heads: (layer, head) pairs that follow the audio.
        cross_kv: How the keys and values of the audio are kept.
        has_graphs: Capture the steps, where the device is CUDA.
    """

    def __init__(
        self,
        model: Whisper,
        tokens: RunnerTokens,
        n_slots: int,
        alignment_heads: Sequence[tuple[int, int]] = (),
        *,
        cross_kv: KeptKv = "same",
        has_graphs: bool = True,
    ) -> None:
        super().__init__(model, tokens, n_slots, alignment_heads, cross_kv=cross_kv)
        self._step = StaticStep(model, self._cache, self._states, self._rules, tokens)
        self._late = LateResults(self._step.results)
        self._launched: _Launch | None = None
        self._row_buckets = row_buckets(n_slots)
        self._n_positions = model.dims.n_text_positions
        few = () if model.ops.reads_by_limit else _KEY_BUCKETS
        self._key_buckets = (*(n for n in few if n < self._n_positions), self._n_positions)
        self.graphs = StepGraphs(self._step.run, model.device, is_on=has_graphs)
        self._streams = Streams(model.device)

    @contextmanager
    def session(self) -> Iterator[None]:
        """Use the decoder's stream, and make the steps ready; inference mode is on."""
        with self._streams.decoding():
            self._warm_up()
            yield
            self._launched = None

    def encode(self, windows: Sequence[WindowInput]) -> list[EncodedWindow]:
        """See `ModelRunner.encode`; on CUDA the device has it yet to do."""
        with self._streams.encoding([window.slot for window in windows]):
            return super().encode(windows)

    def is_encoded(self, slot: int) -> bool:
        """Whether the device has filled a slot."""
        return self._streams.is_filled(slot)

    def detect(self, slots: Sequence[int]) -> list[Detected]:
        """See `ModelRunner.detect`."""
        self._streams.wait_for(slots)
        return super().detect(slots)

    def prefill(self, inputs: Sequence[PrefillInput]) -> Sequence[Prefilled | None]:
        """Compute the long prefixes; the short ones are fed by the steps that follow, and give None here."""
        self._streams.wait_for([row.slot for row in inputs])
        long = [row for row in inputs if len(row.prefix.token_ids) > MAX_FED]
        prefilled = dict(zip([row.slot for row in long], super().prefill(long), strict=True)) if long else {}
        for row in inputs:
            if row.slot not in prefilled:
                self._feed(row)
        return [prefilled.get(row.slot) for row in inputs]

    def step(self, slots: Sequence[int]) -> Sequence[Stepped]:
        """Give the device one more step for every live row, and read the step before.

        Args:
            slots: All live rows, in slot order.

        Returns:
            What the step before said about each; None where the row had not begun, or is still being fed.
        """
        assert list(slots) == sorted(self._rows), "a step concerns every live row"
        before, self._launched = self._launched, None
        self._launched = self._launch()
        if before is None:
            return [None] * len(slots)
        read = before.result.read()
        return [self._stepped(slot, before, read) for slot in slots]

    def _launch(self) -> _Launch:
        rows = {slot: (row, row.offset) for slot, row in self._rows.items()}
        n_keys = min(max(offset for _, offset in rows.values()) + 1, self._n_positions)
        key = StepKey(
            bucket_of(max(rows) + 1, self._row_buckets),
            bucket_of(n_keys, self._key_buckets),
            is_sampling=any(row.is_sampled for row, _ in rows.values()),
        )
        with suitable_cores(self._model, key.n_rows):
            self.graphs.step(key)
        for row, _ in rows.values():
            row.offset += 1
        return _Launch(rows, self._late.copy(self._step.results))

    def _stepped(self, slot: int, launch: _Launch, read: list[list[float]]) -> Stepped:
        """What a step said about a row that is live now."""
        row, offset = launch.rows.get(slot, (None, 0))
        if row is None or row is not self._rows[slot]:
            return None
        token, logprob, silence = (values[slot] for values in read)
        if offset == row.sot_index and row.n_fed:
            row.no_speech_prob = silence
        if offset + 1 < row.n_fed:
            return None
        sampled = Sampled(int(token), logprob)
        return Prefilled(sampled, row.no_speech_prob) if offset + 1 == row.n_fed else sampled

    def _feed(self, row: PrefillInput) -> None:
        """Make a row live at the beginning of its prefix."""
        token_ids = row.prefix.token_ids
        self._start(replace(row, start=replace(row.start, last_prefix_token=token_ids[0], n_prefix=1)))
        live = self._rows[row.slot]
        live.offset, live.n_fed, live.sot_index = 0, len(token_ids), row.prefix.sot_index
        self._step.feed(row.slot, token_ids)

    def _start(self, row: PrefillInput) -> None:
        super()._start(row)
        self._step.suppress(row.slot, row.suppress)

    def _warm_up(self) -> None:
        """On CUDA, carry out and capture a step of every number of rows; all rows are idle."""
        if self._model.device.type == "cuda":
            for n_rows in self._row_buckets:
                for _ in range(2):  # the first compiles, the second captures
                    self.graphs.step(StepKey(n_rows, self._key_buckets[0], is_sampling=False))
            torch.cuda.current_stream().synchronize()
