"""The rows of a search on a real model: what they share, what they leave behind, and no room for them."""

from __future__ import annotations

import pytest
import tiny_models
import torch

from ifw.config import DecodeOptions, EngineConfig
from ifw.engine import workspace
from ifw.engine.cache import DecoderCache
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest, EncodedWindow
from ifw.engine.rules import Field, RowStart
from ifw.engine.search import Move
from ifw.engine.workspace import SearchWorkspace
from ifw.errors import EngineError, EngineMemoryError

TIMEOUT_S = 120
SIZES = tiny_models.dims(layers=(1, 2), d_model=64, n_heads=2)
SAMPLES = DecodeOptions(temperatures=(0.7,), best_of=3, max_tokens=12, logprob_threshold=None, no_speech_threshold=None)


def decode(engine: Engine, options: DecodeOptions, encoded: EncodedWindow | None = None):
    samples = None if encoded else tiny_models.window(1, seconds=4)
    return engine.submit(DecodeRequest(samples=samples, encoded=encoded, language="en", options=options))


def new_engine() -> Engine:
    return Engine(tiny_models.whisper(SIZES), tiny_models.checkpoint(SIZES), EngineConfig(n_threads=1, n_slots=2))


@torch.inference_mode()
def test_rows_that_share_a_window_are_those_that_have_copies_of_it():
    model, n_rows = tiny_models.whisper(SIZES), 3
    random = torch.Generator().manual_seed(0)
    cache = DecoderCache.allocate(SIZES, 2 * n_rows, tiny_models.CPU, torch.float32)
    audio = torch.randn(2, SIZES.n_positions, SIZES.d_model, generator=random)
    model.cross_kv(audio.repeat_interleave(n_rows, 0), cache.cross_kv)
    shared = cache.cross_kv[:, :, ::n_rows]
    for n_new in (1, 4):
        token_ids = torch.randint(0, 700, (2 * n_rows, n_new), generator=random)
        offsets = torch.zeros(2 * n_rows, dtype=torch.int64)
        expected = model.decode(token_ids, offsets, cache.self_kv, cache.cross_kv, n_keys=n_new)
        got = model.decode(token_ids, offsets, cache.self_kv, shared, n_keys=n_new)
        assert torch.allclose(got, expected, atol=1e-5)
        alone = model.decode(
            token_ids[:n_rows], offsets[:n_rows], cache.self_kv[:, :, :n_rows], shared[:, :, :1], n_keys=n_new
        )
        assert torch.allclose(alone, expected[:n_rows], atol=1e-5)


def test_rows_take_over_what_they_continue():
    work = SearchWorkspace(SIZES, 3, 0, device=tiny_models.CPU, dtype=torch.float32)
    prefix = torch.full((2, 2, 2, 448, 32), 7.0)
    start = RowStart(5, 3, has_grammar=True, max_first_stamp=9, temperature=0.0, key=(1, 2))
    work.begin(prefix, [start])
    assert (work.n_live, work.offset, work.self_kv.shape[2]) == (1, 2, 1)
    work.move([Move(0, 10), Move(0, 20), Move(0, 30)], timestamp_begin=1000)
    work.offset += 1
    for row in range(3):
        work.self_kv[:, :, row, :, 2] = row
    work.move([Move(2, 1004), Move(0, 50)], timestamp_begin=1000)
    assert work.self_kv[0, 0, :, 0, :4, 0].tolist() == [[7, 7, 2, 0], [7, 7, 0, 0]]
    assert work.states[Field.TOKEN].tolist() == [1004, 50]
    assert work.states[Field.BEFORE].tolist() == [30, 10]
    assert work.states[Field.LAST_STAMP].tolist() == [4, -1]
    assert work.states[Field.OFFSET].tolist() == [4, 4]


def test_without_a_search_there_is_no_workspace(monkeypatch):
    monkeypatch.setattr(workspace.SearchWorkspace, "__init__", None)
    with new_engine() as engine:
        assert decode(engine, DecodeOptions(max_tokens=5)).result(TIMEOUT_S).n_attempts == 6


def test_numbers_that_are_not_finite_leave_with_their_window():
    with new_engine() as engine:
        expected = decode(engine, SAMPLES).result(TIMEOUT_S)
        broken = EncodedWindow(torch.full((1500, SIZES.d_model), float("nan")))
        assert type(decode(engine, SAMPLES, broken).exception(TIMEOUT_S)) is EngineError
        assert decode(engine, SAMPLES).result(TIMEOUT_S) == expected


def test_no_room_for_the_hypotheses_fails_one_window(monkeypatch):
    zeros = torch.zeros

    def no_room(*shape, **kwargs):
        if isinstance(shape[0], tuple):  # the rows; everything else is smaller
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return zeros(*shape, **kwargs)

    with new_engine() as engine:
        with monkeypatch.context() as patch:
            patch.setattr(workspace.torch, "zeros", no_room)
            failure = decode(engine, SAMPLES).exception(TIMEOUT_S)
        assert type(failure) is EngineMemoryError
        assert "got 3 hypotheses" in str(failure)
        assert decode(engine, SAMPLES).result(TIMEOUT_S).token_ids


@pytest.mark.parametrize("sizes", [(2, 5), (5, 2)])
def test_searches_of_other_sizes_follow_each_other(sizes):
    found = []
    for n_first, n_second in (sizes, sizes[::-1]):
        with new_engine() as engine:
            for n_hypotheses in (n_first, n_second):
                options = DecodeOptions(
                    temperatures=(0.0,), beam_size=n_hypotheses, max_tokens=12, logprob_threshold=-0.0
                )
                found.append((n_hypotheses, decode(engine, options).result(TIMEOUT_S)))
    assert sorted(found[:2], key=lambda pair: pair[0]) == sorted(found[2:], key=lambda pair: pair[0])
