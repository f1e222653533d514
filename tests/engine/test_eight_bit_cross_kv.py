"""Keys and values of the audio in 8 bits: the same text of the demo model, near the same logits, any kind of steps."""

from __future__ import annotations

from typing import get_args

import pytest
import tiny_models
import torch
import traffic

from ifw.audio.whole import decode
from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.cache import DecoderCache
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest
from ifw.errors import ConfigError
from ifw.model.checkpoint import load_whisper
from ifw.model.eight_bit_kv import EightBits
from ifw.model.mel import log_mel

each_way = pytest.mark.parametrize("how", get_args(EightBits))


def engine(steps: str, **config) -> Engine:
    config = {"n_threads": 1, "n_slots": 4, "steps": steps} | config
    return Engine(tiny_models.whisper(traffic.SIZES), tiny_models.checkpoint(traffic.SIZES), EngineConfig(**config))


@each_way
def test_steps_of_every_kind_give_the_same_beside_others_and_in_refilled_slots(how):
    with engine("plain", n_slots=1, cross_kv=how) as alone:
        expected = [traffic.decode_all(alone, [request])[0] for request in traffic.requests()]
    for steps in ("plain", "static"):
        with engine(steps, encode_batch=3, cross_kv=how) as shared:
            assert shared.arithmetic == f"cpu float32, keys and values {how}"
            for got, wanted in zip(traffic.decode_all(shared, traffic.requests()), expected, strict=True):
                traffic.assert_same(got, wanted)


@each_way
def test_the_text_of_the_sample_is_that_of_full_precision(how):
    checkpoint = tiny_models.demo_checkpoint()
    model = load_whisper(checkpoint, "cpu", "float32")
    samples, texts = decode(tiny_models.DEMO / "sample.mp3").samples, []
    options = DecodeOptions(temperatures=(0.0,))
    for kept in ("same", how):
        with Engine(model, checkpoint, EngineConfig(n_slots=2, n_threads=1, cross_kv=kept)) as one:
            request = DecodeRequest(samples=samples[: 30 * 16_000], language="en", options=options)
            texts.append(one.submit(request).result(traffic.TIMEOUT_S))
    assert texts[0].text == texts[1].text
    assert len(texts[0].text) > 100
    assert texts[0].avg_logprob != texts[1].avg_logprob, "or nothing was rounded"
    assert texts[0].avg_logprob == pytest.approx(texts[1].avg_logprob, abs={"int8": 0.02, "float8": 0.1}[how])


def test_how_far_logits_move():
    """Of the demo model, which is trained: random weights say little about what rounding costs.

    With int8 less than bfloat16 moves them.
    """
    checkpoint = tiny_models.demo_checkpoint()
    samples = [decode(tiny_models.DEMO / "sample.mp3").samples[: 30 * 16_000]]
    tokens = checkpoint.tokenizer.encode(" Good morning. The letter is here, and the train leaves at noon.")
    fed = torch.tensor([[checkpoint.tokenizer.sot, *tokens]])
    logits = {}
    for name, compute_type, how in (
        ("exact", "float32", "same"),
        ("int8", "float32", "int8"),
        ("float8", "float32", "float8"),
        ("bfloat16", "bfloat16", "same"),
    ):
        model = load_whisper(checkpoint, "cpu", compute_type)
        cache = DecoderCache.allocate(checkpoint.dims, 1, tiny_models.CPU, model.dtype, how)
        with torch.inference_mode():
            model.cross_kv(model.encode(log_mel(checkpoint.dims.n_mels, tiny_models.CPU)(samples)), cache.cross_kv)
            offsets = torch.zeros(1, dtype=torch.int64)
            logits[name] = model.logits(model.decode(fed, offsets, cache.self_kv, cache.cross_kv, n_keys=fed.shape[1]))
    exact = logits.pop("exact")
    errors = {name: float((got - exact).norm() / exact.norm()) for name, got in logits.items()}
    assert 0 < errors["int8"] < min(0.02, errors["bfloat16"])
    assert errors["int8"] < errors["float8"] < 0.02


def test_there_is_no_other_way_to_keep_them():
    with pytest.raises(ConfigError, match="cross_kv: got 'fp8'"):
        EngineConfig(cross_kv="fp8")
