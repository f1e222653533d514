"""Where the time of benchmarks/gpu.py goes: the encoder, and steps of some numbers of rows, with graphs and without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import torch

from gpu_engines import Own, wait
from ifw.benchmark.bench import N_WINDOWS
from ifw.benchmark.floors import encoder_flop, step_bytes
from ifw.engine.runner_interface import WindowInput
from ifw.engine.speculative_runner import SpeculativeRunner
from ifw.engine.static_runner import StaticRunner
from ifw.engine.vocabulary import Vocabulary
from ifw.model.checkpoint import load_whisper
from ifw.model.eight_bit_linear import Products
from ifw.model.mel import log_mel
from ifw.model.random_weights import random_whisper
from ifw.model.whisper import Whisper

Probe = Callable[[], dict[str, Any]]
_N_STEPS = 40
_N_DRAFTED = 5
_ENCODED = 8


class Probes:
    """Measures parts of our engine by hand; ours is what a part took, theirs the least that the GPU's limits allow.

    Args:
        own: The engine.
        ceilings: From `ifw.benchmark.ceilings`.
        n_slots: Rows of the largest step.
    """

    def __init__(self, own: Own, ceilings: dict[str, Any], n_slots: int) -> None:
        self._own, self._place, self._ceilings, self._n_slots = own, own.place, ceilings, n_slots

    def all(self) -> Iterator[tuple[str, Probe]]:
        """Names and measurements."""
        for n_windows in (1, _ENCODED):
            yield f"encoding {n_windows}, ms a window | the least", partial(self._encode, n_windows)
        for products in get_args(Products):
            name = f"encoding {_ENCODED}, products in {products} | as they are"
            yield name, partial(self._encode_in, products)
        for n_rows in sorted({1, 8, 32, self._n_slots}):
            if n_rows <= self._n_slots:
                yield f"step of {n_rows} rows, ms | the least", partial(self._step, n_rows)
        for n_rows in sorted({1, self._n_slots}):
            name = f"round of {n_rows} rows, {_N_DRAFTED} drafted, ms | as many steps"
            yield name, partial(self._round, n_rows)

    def _encode(self, n_windows: int) -> dict[str, Any]:
        """Mel, encoder and the keys and values of the cross-attention."""
        gflops = self._ceilings["gemm_gflops"][self._place.dtype]
        took_ms = self._encode_ms(self._own.model, n_windows)
        return {"ours": took_ms, "theirs": encoder_flop(self._own.model.dims) / gflops / 1e6}

    def _encode_in(self, products: Products) -> dict[str, Any]:
        """The same with an encoder that multiplies in 8 bits, beside the one that does not."""
        model = load_whisper(self._own.checkpoint, self._place.device, self._place.dtype, products)
        return {"ours": self._encode_ms(model, _ENCODED), "theirs": self._encode_ms(self._own.model, _ENCODED)}

    def _encode_ms(self, model: Whisper, n_windows: int) -> float:
        """Milliseconds a window."""
        dims = model.dims
        mel = log_mel(dims.n_mels, model.device)
        shape = (dims.n_decoder_layers, 2, n_windows, dims.n_heads, dims.n_positions, dims.head_dim)
        samples = [self._place.samples[index % N_WINDOWS] for index in range(n_windows)]
        with torch.inference_mode():
            cross_kv = torch.empty(shape, device=model.device, dtype=model.dtype)
            took_s = seconds(lambda: model.cross_kv(model.encode(mel(samples)), cross_kv), 5, self._place.device)
        return 1e3 * took_s / n_windows

    def _step(self, n_rows: int) -> dict[str, Any]:
        """A decode step, the rows some way into their texts; without graphs for comparison."""
        plain_s, failure = self._step_s(n_rows, has_graphs=False)
        took_s, failure = self._step_s(n_rows, has_graphs=True)
        n_bytes = step_bytes(self._own.model.dims, self._place.dtype, n_rows, _N_STEPS)
        remark = f"{1e3 * plain_s:.2f} without graphs" + (f"; no graphs: {failure}" if failure else "")
        return {"ours": 1e3 * took_s, "theirs": n_bytes / self._ceilings["read_gb_s"] / 1e6, "remark": remark}

    def _round(self, n_rows: int) -> dict[str, Any]:
        """A round with a draft of two layers, and what its tokens would take by themselves if all were accepted.

        Random weights accept nothing, so what a draft gains is left to the reader: the remark says where it begins to.
        """
        step_s, _ = self._step_s(n_rows, has_graphs=True)
        runner = self._draft_runner()
        with torch.inference_mode(), runner.session():
            self._fill(runner, n_rows)
            live = list(range(n_rows))
            took_s = seconds(lambda: runner.step(live), _N_STEPS, self._place.device)
        remark = f"gains from {max(0.0, took_s / step_s - 1):.1f} accepted on"
        if runner.graphs.failure:
            remark += f"; no graphs: {runner.graphs.failure}"
        return {"ours": 1e3 * took_s, "theirs": 1e3 * step_s * (_N_DRAFTED + 1), "remark": remark}

    def _draft_runner(self) -> SpeculativeRunner:
        model = self._own.model
        draft = random_whisper(
            replace(model.dims, n_decoder_layers=min(2, model.dims.n_decoder_layers)),
            seed=1,
            device=model.device,
            dtype=model.dtype,
            ops=model.ops,
            encoder_of=model,
        )
        tokens = Vocabulary(self._own.checkpoint).runner_tokens
        return SpeculativeRunner(model, draft, tokens, self._n_slots, n_drafted=_N_DRAFTED)

    def _step_s(self, n_rows: int, *, has_graphs: bool) -> tuple[float, str | None]:
        runner = self._runner(has_graphs)
        with torch.inference_mode(), runner.session():
            self._fill(runner, n_rows)
            live = list(range(n_rows))
            took_s = seconds(lambda: runner.step(live), _N_STEPS, self._place.device)
            return took_s, runner.graphs.failure

    def _runner(self, has_graphs: bool) -> StaticRunner:
        tokens = Vocabulary(self._own.checkpoint).runner_tokens
        return StaticRunner(self._own.model, tokens, self._n_slots, has_graphs=has_graphs)

    def _fill(self, runner: StaticRunner | SpeculativeRunner, n_rows: int) -> None:
        vocabulary = Vocabulary(self._own.checkpoint)
        requests = self._own.requests((200,) * n_rows)
        for first in range(0, n_rows, 8):
            part = requests[first : first + 8]
            runner.encode([WindowInput(first + index, request.samples) for index, request in enumerate(part)])
        decodings = [vocabulary.begin(request, None) for request in requests]
        runner.prefill([vocabulary.prefill_input(slot, decoding) for slot, decoding in enumerate(decodings)])
        for _ in range(8):  # past the prefix, and past what is compiled and captured
            runner.step(list(range(n_rows)))


def seconds(work: Callable[[], Any], n_times: int, device: str) -> float:
    """The mean of calls one after the other, after one that does not count; only the last one is waited for."""
    work()
    wait(device)
    started = time.perf_counter()
    for _ in range(n_times):
        work()
    wait(device)
    return (time.perf_counter() - started) / n_times
