"""Steps with graphs, without them, and plain: the same texts on the device, whatever else the engine does."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import get_args

import pytest
import tiny_models
import torch
import traffic

import ifw.engine.engine
from ifw.config import EngineConfig
from ifw.engine.cache import KeptKv
from ifw.engine.engine import Engine
from ifw.engine.graphs import row_buckets
from ifw.engine.runner_interface import WindowInput
from ifw.engine.speculative_runner import SpeculativeRunner
from ifw.engine.static_runner import StaticRunner
from ifw.engine.vocabulary import Vocabulary
from ifw.model.random_weights import random_whisper
from ifw.model.whisper import Whisper


@pytest.fixture
def runners(monkeypatch) -> list[StaticRunner]:
    """Those that engines make in a test."""
    made = []

    class Watched(StaticRunner):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(ifw.engine.engine, "StaticRunner", Watched)
    return made


def assert_alike(device, got, expected) -> None:
    """The same texts; on CUDA, products of other sizes round differently, which may change one window in sixteen."""
    differing = []
    for index, pair in enumerate(zip(got, expected, strict=True)):
        try:
            traffic.assert_same(*pair)
        except AssertionError as error:
            differing.append(f"window {index}: {error}")
    assert len(differing) <= (device.type == "cuda"), "\n".join(differing)


def engine(device, steps, n_slots, encode_batch=4, dtype=torch.float32) -> Engine:
    model = random_whisper(traffic.SIZES, 0, device, dtype)
    config = EngineConfig(n_threads=1, n_slots=n_slots, encode_batch=encode_batch, steps=steps)
    return Engine(model, tiny_models.checkpoint(traffic.SIZES), config)


@pytest.fixture(scope="module")
def plain(device):
    """Each window as the only one of an engine with plain steps."""
    with engine(device, "plain", n_slots=1) as alone:
        return [traffic.decode_all(alone, [request])[0] for request in traffic.requests()]


@pytest.mark.gpu  # on CPU it is in tests/engine
@pytest.mark.parametrize("n_slots", [1, 3, 16])
def test_without_graphs(device, plain, n_slots):
    with engine(device, "static", n_slots) as static:
        assert_alike(device, traffic.decode_all(static, traffic.requests()), plain)


@pytest.mark.gpu
@pytest.mark.parametrize("n_slots", [1, 3, 16])
def test_with_graphs_and_refilled_slots(device, plain, runners, n_slots):
    with engine(device, "graphs", n_slots) as graphs:
        for _ in range(2):  # the second time, every kind of step has its graph
            assert_alike(device, traffic.decode_all(graphs, traffic.requests()), plain)
        assert runners[0].graphs.failure is None
        assert runners[0].graphs.n_captured >= len(row_buckets(n_slots))


def drive(device, dtype, cross_kv: str, *, has_graphs: bool, n_steps: int = 30) -> list[list]:
    """What a runner says when it is driven by hand: five windows, one of which stops and one of which starts again."""
    checkpoint = tiny_models.checkpoint(traffic.SIZES)
    vocabulary = Vocabulary(checkpoint)
    model = random_whisper(traffic.SIZES, 0, device, dtype)
    runner = StaticRunner(model, vocabulary.runner_tokens, n_slots=6, cross_kv=cross_kv, has_graphs=has_graphs)
    wanted = traffic.requests()[:5]
    said: list[list] = []
    with torch.inference_mode(), runner.session():
        decodings = [vocabulary.begin(request, None) for request in wanted]
        inputs = [vocabulary.prefill_input(slot, decoding) for slot, decoding in enumerate(decodings)]
        runner.encode([WindowInput(slot, request.samples) for slot, request in enumerate(wanted)])
        said.append(list(runner.prefill(inputs)))
        live = list(range(len(wanted)))
        for step in range(n_steps):
            if step == n_steps // 3:
                runner.stop(4)
                live.remove(4)
            if step == n_steps // 2:
                runner.restart(1, replace(vocabulary.row_starts(decodings[1])[0], temperature=0.7))
            said.append(list(runner.step(live)))
        assert (runner.graphs.n_captured > 0) == (has_graphs and device.type == "cuda"), runner.graphs.failure
    return said


@pytest.mark.parametrize("cross_kv", get_args(KeptKv))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_graphs_replay_exactly_what_they_recorded(device, dtype, cross_kv):
    """The same kernels on the same rows, so the same tokens, in low precision too."""
    if device.type == "cpu" and dtype == torch.float16:
        pytest.skip("the CPU has no use for float16")
    without, with_graphs = (drive(device, dtype, cross_kv, has_graphs=on) for on in (False, True))
    tokens = [[[None if row is None else row[0] for row in step] for step in said] for said in (without, with_graphs)]
    first = next((index for index, (a, b) in enumerate(zip(*tokens, strict=True)) if a != b), None)
    assert first is None, f"step {first}: {without[first]} without graphs, {with_graphs[first]} with"
    assert sum(row is not None for step in without for row in step) > 80


@pytest.mark.gpu
def test_a_step_that_cannot_be_captured_is_carried_out_without_a_graph(device, plain, runners, monkeypatch, caplog):
    run = ifw.engine.static_runner.StaticStep.run

    def run_and_wait(self, key):
        run(self, key)
        self.results.sum().item()

    monkeypatch.setattr(ifw.engine.static_runner.StaticStep, "run", run_and_wait)
    with caplog.at_level(logging.WARNING, logger="ifw"), engine(device, "graphs", n_slots=4) as graphs:
        assert_alike(device, traffic.decode_all(graphs, traffic.requests()[:6]), plain[:6])
    assert runners[0].graphs.failure is not None
    assert "without further CUDA graphs" in caplog.text


@pytest.mark.gpu
def test_two_engines_on_one_device_do_not_disturb_each_other(device, plain):
    with engine(device, "graphs", n_slots=5) as one, engine(device, "graphs", n_slots=4) as other:
        futures = [(one.submit(traffic.fresh(r)), other.submit(traffic.fresh(r))) for r in traffic.requests()]
        for of_engine in zip(*futures, strict=True):
            assert_alike(device, [future.result(traffic.TIMEOUT_S) for future in of_engine], plain)


@pytest.fixture(scope="module")
def drafts(device) -> dict[str, Whisper]:
    """The model itself, which is always right, and one that never is."""
    model = random_whisper(traffic.SIZES, 0, device)
    sizes = replace(traffic.SIZES, n_decoder_layers=1)
    return {"itself": model, "stranger": random_whisper(sizes, 3, device, encoder_of=model)}


@pytest.mark.gpu  # on CPU it is in tests/engine
@pytest.mark.parametrize("steps", ["static", "graphs"])
@pytest.mark.parametrize("kind", ["itself", "stranger"])
def test_a_draft_changes_no_text(device, plain, drafts, kind, steps):
    model, config = drafts["itself"], EngineConfig(n_threads=1, n_slots=5, encode_batch=2, steps=steps)
    with Engine(model, tiny_models.checkpoint(traffic.SIZES), config, drafts[kind]) as speculative:
        for _ in range(2):  # the second time, every kind of round has its graph
            assert_alike(device, traffic.decode_all(speculative, traffic.requests()), plain)
        stats = speculative.stats()
    if kind == "itself":
        assert stats.n_accepted > 0.8 * stats.n_drafted


def drive_rounds(device, dtype, cross_kv: str, drafts, *, has_graphs: bool) -> list[list]:
    """What a runner with a draft says when it is driven by hand."""
    vocabulary = Vocabulary(tiny_models.checkpoint(traffic.SIZES))
    model = random_whisper(traffic.SIZES, 0, device, dtype)
    draft = random_whisper(drafts["itself"].dims, 0, device, dtype, encoder_of=model)
    runner = SpeculativeRunner(
        model, draft, vocabulary.runner_tokens, 4, n_drafted=3, cross_kv=cross_kv, has_graphs=has_graphs
    )
    requests = [traffic.requests()[index] for index in (1, 2, 8)]
    with torch.inference_mode(), runner.session():
        decodings = [vocabulary.begin(request, None) for request in requests]
        runner.encode([WindowInput(slot, request.samples) for slot, request in enumerate(requests)])
        runner.prefill([vocabulary.prefill_input(slot, decoding) for slot, decoding in enumerate(decodings)])
        said = [list(runner.step([0, 1, 2])) for _ in range(12)]
        assert (runner.graphs.n_captured > 0) == (has_graphs and device.type == "cuda"), runner.graphs.failure
    return said


@pytest.mark.parametrize("cross_kv", get_args(KeptKv))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_graphs_replay_rounds_exactly(device, drafts, dtype, cross_kv):
    without, with_graphs = (
        drive_rounds(device, dtype, cross_kv, drafts, has_graphs=has_graphs) for has_graphs in (False, True)
    )
    tokens = [[[[pair[0] for pair in row.sampled] for row in step] for step in said] for said in (without, with_graphs)]
    assert tokens[0] == tokens[1]
    assert max(len(row.sampled) for step in without for row in step) == 4
