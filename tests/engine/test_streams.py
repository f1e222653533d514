"""Who waits for whom between the streams. CUDA's part is played; on CPU nobody waits."""

from __future__ import annotations

import contextlib

import pytest
import tiny_models
import torch
import traffic

from ifw.config import EngineConfig
from ifw.engine import streams
from ifw.engine.engine import Engine
from ifw.engine.runner import ModelRunner
from ifw.engine.static_runner import StaticRunner
from ifw.engine.streams import Streams


class PlayedStream:
    """A stream that writes down what it is asked for."""

    def __init__(self, name: str, log: list) -> None:
        self.name, self.log, self.device = name, log, "cuda:0"

    def wait_stream(self, other) -> None:
        self.log.append((self.name, "waits for", other))

    def synchronize(self) -> None:
        self.log.append((self.name, "is waited for"))


class PlayedEvent:
    def __init__(self, log: list) -> None:
        self.log, self.is_past = log, False

    def wait(self) -> None:
        self.log.append("decoder waits for an event")


@pytest.fixture
def log(monkeypatch) -> list:
    written: list = []

    @contextlib.contextmanager
    def stream(chosen):
        written.append(("to", chosen.name))
        yield
        written.append(("from", chosen.name))

    def mark():
        written.append("mark")
        return PlayedEvent(written)

    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "current")
    monkeypatch.setattr(streams, "mark", mark)
    monkeypatch.setattr(streams, "is_past", lambda event: event.is_past)
    monkeypatch.setattr(
        streams, "new_stream", lambda device, priority=0: PlayedStream("decode" if priority < 0 else "encode", written)
    )
    return written


def test_both_streams_begin_after_what_was_there_and_are_waited_for_at_the_end(log):
    both = Streams(torch.device("cuda"))
    assert log == [("decode", "waits for", "current"), ("encode", "waits for", "current")]
    log.clear()
    with pytest.raises(ValueError, match="in a step"), both.decoding():
        raise ValueError("in a step")
    assert log[0] == ("to", "decode")
    assert log[-2:] == [("encode", "is waited for"), ("decode", "is waited for")]


def test_the_mark_of_a_slot_is_on_the_encoders_stream_and_the_decoder_waits_for_it_once(log):
    both = Streams(torch.device("cuda"))
    log.clear()
    with both.encoding([3, 4]):
        log.append("work")
    assert log == [("to", "encode"), "work", "mark", ("from", "encode")]
    assert not both.is_filled(3)
    assert both.is_filled(5)
    both._filling[3].is_past = True
    assert both.is_filled(4)
    log.clear()
    both.wait_for([3])
    both.wait_for([3, 4])
    assert log == ["decoder waits for an event"] * 2


def test_what_fails_to_be_encoded_leaves_no_mark(log):
    both = Streams(torch.device("cuda"))
    with pytest.raises(torch.OutOfMemoryError), both.encoding([1]):
        raise torch.OutOfMemoryError("too big")
    assert both.is_filled(1)


def engine(steps: str) -> Engine:
    config = EngineConfig(n_threads=1, n_slots=4, encode_batch=2, steps=steps)
    return Engine(tiny_models.whisper(traffic.SIZES), tiny_models.checkpoint(traffic.SIZES), config)


@pytest.fixture(scope="module")
def plain():
    with engine("plain") as plain_engine:
        return traffic.decode_all(plain_engine, traffic.requests()[:8])


@pytest.mark.parametrize("n_turns", [0, 3, 40])
def test_a_runner_waits_for_a_slot_before_it_reads_it_however_long_it_takes_to_fill(plain, monkeypatch, n_turns):
    filling: dict[int, int] = {}
    encode, detect, prefill = ModelRunner.encode, ModelRunner.detect, StaticRunner._feed

    def start_filling(self, windows):
        filling.update({window.slot: n_turns for window in windows})
        return encode(self, windows)

    def is_filled(self, slot):
        filling[slot] = filling.get(slot, 1) - 1
        return filling[slot] < 0

    def checked_detect(self, slots):
        assert not filling.keys() & set(slots)
        return detect(self, slots)

    def checked_feed(self, row):
        assert row.slot not in filling
        return prefill(self, row)

    monkeypatch.setattr(ModelRunner, "encode", start_filling)
    monkeypatch.setattr(Streams, "is_filled", is_filled)
    monkeypatch.setattr(Streams, "wait_for", lambda self, slots: [filling.pop(slot, None) for slot in slots])
    monkeypatch.setattr(ModelRunner, "detect", checked_detect)
    monkeypatch.setattr(StaticRunner, "_feed", checked_feed)
    with engine("static") as static:
        for got, wanted in zip(traffic.decode_all(static, traffic.requests()[:8]), plain, strict=True):
            traffic.assert_same(got, wanted)
