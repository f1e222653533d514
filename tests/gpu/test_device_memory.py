"""A device whose memory runs out: batches get smaller, windows come through, and the engine goes on."""

from __future__ import annotations

import pytest
import tiny_models
import torch
import traffic

from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.cache import DecoderCache
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest
from ifw.engine.runner import ModelRunner
from ifw.errors import EngineMemoryError
from ifw.model.dims import ModelDims
from ifw.model.random_weights import random_whisper

SIZES = tiny_models.dims(n_mels=80, layers=(2, 2), d_model=512, n_heads=8)
N_WINDOWS = 16
SPARE_BYTES = 96 << 20  # enough for a few windows of these sizes, not for sixteen

pytestmark = pytest.mark.gpu


def requests() -> list[DecodeRequest]:
    options = DecodeOptions(temperatures=(0.0,), max_tokens=12)
    return [
        DecodeRequest(samples=tiny_models.window(seed), language="en", options=options) for seed in range(N_WINDOWS)
    ]


@pytest.fixture
def little_memory(device):
    """Leaves the process little more than it has; the allocator refuses the rest, as a full device would."""

    def limit(spare_bytes: int) -> None:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        _, total = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + spare_bytes) / total)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_windows_are_encoded_in_smaller_batches(device, little_memory, monkeypatch, record_property):
    sizes, failed = [], []
    encode = ModelRunner.encode

    def watch(self, windows):
        sizes.append(len(windows))
        try:
            return encode(self, windows)
        except torch.OutOfMemoryError:
            failed.append(len(windows))
            raise

    monkeypatch.setattr(ModelRunner, "encode", watch)
    model = random_whisper(SIZES, 0, device, torch.float16)
    config = EngineConfig(n_slots=N_WINDOWS, encode_batch=N_WINDOWS, steps="graphs")
    with Engine(model, tiny_models.checkpoint(SIZES), config) as engine:
        engine.submit(requests()[0]).result(traffic.TIMEOUT_S)  # warm
        little_memory(SPARE_BYTES)
        hypotheses = traffic.decode_all(engine, requests())
        stats = engine.stats()
    assert len({hypothesis.token_ids for hypothesis in hypotheses}) > N_WINDOWS // 2
    assert stats.n_failed == 0
    record_property("batches_tried", sizes)
    record_property("too_large", failed)
    assert failed, "memory did not run out: the test has proved nothing"
    assert max(sizes[sizes.index(failed[-1]) + 1 :]) < failed[0]


def test_slots_that_do_not_fit_are_refused(device):
    sizes = ModelDims(
        n_mels=128, n_vocab=51_866, d_model=1280, n_heads=20, n_encoder_layers=32, n_decoder_layers=32,
        encoder_ffn=5120, decoder_ffn=5120,
    )  # fmt: skip
    with pytest.raises(EngineMemoryError, match="ask for fewer slots"):
        DecoderCache.allocate(sizes, 4096, device, torch.float16)
    assert torch.cuda.memory_allocated() < 16 << 30, "what was refused is free again"
