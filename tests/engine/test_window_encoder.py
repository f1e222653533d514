"""Windows encoded side by side come out as each alone, in order, and the threads are as before."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import tiny_models
import torch

from ifw.engine.window_encoder import WindowEncoder

MODEL = tiny_models.whisper(tiny_models.dims())


def in_a_thread_with(n_threads, work):
    def run():
        torch.set_num_threads(n_threads)
        return work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def watched(model, seen):
    """The model, telling which thread encodes on how many cores."""
    ops = model.ops

    def attention(qkv):
        seen.append((threading.current_thread().name, torch.get_num_threads(), len(qkv)))
        return ops.encoder_attention(qkv)

    return replace(model, ops=replace(ops, encoder_attention=attention))


@pytest.mark.parametrize(("n_windows", "n_threads"), [(0, 2), (1, 3), (2, 2), (4, 2), (4, 3), (5, 2), (3, 1)])
def test_each_as_alone_and_in_order(n_windows, n_threads):
    windows = [tiny_models.window(index, seconds=2 + index) for index in range(n_windows)]
    alone = [in_a_thread_with(1, lambda w=window: WindowEncoder(MODEL).encode([w]))[0] for window in windows]
    together = in_a_thread_with(n_threads, lambda: WindowEncoder(MODEL).encode(windows))
    assert len(together) == n_windows
    for got, expected in zip(together, alone, strict=True):
        assert torch.equal(got, expected)


def test_the_cores_are_shared_and_then_given_back():
    windows, seen = [tiny_models.window(index, seconds=2) for index in range(2)], []

    def work():
        encoder = WindowEncoder(watched(MODEL, seen))
        encoder.encode(windows)
        return torch.get_num_threads()

    assert in_a_thread_with(4, work) == 4
    assert len({name for name, _, _ in seen}) == 2
    assert {(share, n_rows) for _, share, n_rows in seen} == {(2, 1)}


def test_one_window_has_all_the_cores():
    seen = []
    in_a_thread_with(3, lambda: WindowEncoder(watched(MODEL, seen)).encode([tiny_models.window(0, seconds=2)]))
    assert {share for _, share, _ in seen} == {3}


@pytest.mark.parametrize("at_fault", [0, 1, 2])
def test_what_one_window_provokes_is_raised_when_all_have_ended(at_fault):
    windows: list = [tiny_models.window(index, seconds=2) for index in range(3)]
    windows[at_fault] = torch.zeros(3, 3)

    def work():
        encoder = WindowEncoder(MODEL)
        with pytest.raises(Exception, match="window: got"):
            encoder.encode(windows)
        assert torch.get_num_threads() == 3
        return encoder.encode(windows[:at_fault] + windows[at_fault + 1 :])

    assert len(in_a_thread_with(3, work)) == 2
