"""When a step is captured, when it is replayed, and what becomes of a capture that fails. CUDA's part is played."""

from __future__ import annotations

import contextlib
import logging

import pytest
import torch

from ifw.engine import graphs
from ifw.engine.graphs import StepGraphs


class PlayedCuda:
    """Remembers what was recorded and replayed; `faults` are raised by captures, one after the other."""

    def __init__(self, monkeypatch) -> None:
        self.replayed: list[PlayedCuda.Graph] = []
        self.stream = "decode"
        self.is_capturing = False
        self.faults: list[Exception] = []
        played = self

        class Graph:
            def replay(self) -> None:
                played.replayed.append(self)

        @contextlib.contextmanager
        def capture(graph, **kwargs):
            assert kwargs == {"pool": "pool", "stream": "capture", "capture_error_mode": "thread_local"}
            played.stream, played.is_capturing = "capture", True
            try:
                yield
                if played.faults:
                    raise played.faults.pop(0)
                played.stream = "decode"
            finally:
                played.is_capturing = False

        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", capture)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: self.stream)
        monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: setattr(self, "stream", stream))
        monkeypatch.setattr(graphs, "new_stream", lambda device: "capture")


@pytest.fixture
def played(monkeypatch) -> PlayedCuda:
    return PlayedCuda(monkeypatch)


@pytest.fixture
def made(played):
    """Step graphs, and what was carried out at once and while capturing."""
    at_once, recorded = [], []

    def run(key: str) -> None:
        (recorded if played.is_capturing else at_once).append(key)

    return StepGraphs(run, torch.device("cuda"), is_on=True), at_once, recorded


def test_the_first_step_of_a_kind_is_carried_out_and_the_others_are_replayed(made, played):
    steps, at_once, recorded = made
    for key in ("a", "a", "b", "a", "b", "a"):
        steps.step(key)
    assert at_once == ["a", "b"]
    assert recorded == ["a", "b"]
    assert len(played.replayed) == 4
    assert played.replayed[0] is played.replayed[1] is played.replayed[3]
    assert steps.n_captured == 2
    assert steps.failure is None


def test_a_step_whose_capture_fails_is_carried_out_and_captured_the_next_time(made, played, caplog):
    steps, at_once, _ = made
    played.faults = [RuntimeError("capture invalidated")]
    for _ in range(4):
        steps.step("a")
        assert played.stream == "decode"
    assert at_once == ["a", "a"], "the second time, because the capture failed"
    assert len(played.replayed) == 2
    assert "capture invalidated" in steps.failure
    assert not caplog.records


def test_captures_that_go_on_failing_are_given_up_once_and_what_is_captured_stays(made, played, caplog):
    steps, at_once, recorded = made
    steps.step("good")
    steps.step("good")
    played.faults = [RuntimeError("not permitted")] * 9
    with caplog.at_level(logging.WARNING):
        for _ in range(6):
            steps.step("bad")
        steps.step("good")
    assert recorded.count("bad") == 3
    assert at_once.count("bad") == 6
    assert len(played.replayed) == 2
    assert len(caplog.records) == 1
    assert "not permitted" in caplog.text


def test_without_memory_no_further_capture_is_tried(made, played, caplog):
    steps, at_once, recorded = made
    played.faults = [torch.OutOfMemoryError("too big")]
    for _ in range(3):
        steps.step("a")
    assert recorded == ["a"]
    assert at_once == ["a"] * 3
    assert "without further CUDA graphs" in caplog.text


def test_graphs_can_be_off(played):
    at_once = []
    steps = StepGraphs(at_once.append, torch.device("cuda"), is_on=False)
    for _ in range(3):
        steps.step("a")
    assert at_once == ["a"] * 3
