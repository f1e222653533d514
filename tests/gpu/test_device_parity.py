"""The device's numbers against those of the CPU in float32: mel, encoder, logits, and the tokens that follow."""

from __future__ import annotations

import functools
from typing import get_args

import pytest
import tiny_models
import torch
import traffic

from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.cache import DecoderCache
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest
from ifw.errors import ConfigError
from ifw.model.compute_type import ops_for
from ifw.model.eight_bit_linear import Products
from ifw.model.mel import log_mel
from ifw.model.random_weights import random_whisper

SIZES = tiny_models.dims(n_mels=128, layers=(3, 3), d_model=256, n_heads=4)
N_WINDOWS, N_TOKENS = 4, 24
BOUNDS = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.04}  # roundings as in tests/engine/test_parity.py


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Of the last axis."""
    return (got.cpu().float() - expected).norm(dim=-1) / expected.norm(dim=-1)


@functools.cache
def windows():
    return [tiny_models.window(seed, seconds=30 - 5 * seed) for seed in range(N_WINDOWS)]


@functools.cache
def tokens() -> torch.Tensor:
    return torch.randint(0, 1000, (N_WINDOWS, N_TOKENS), generator=torch.Generator().manual_seed(0))


def forward(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Encoder outputs [B, S, D], and the logits [B, T, V] of given tokens, fed one at a time through the caches."""
    with torch.inference_mode():
        model = random_whisper(SIZES, 0, device, dtype)
        audio = model.encode(log_mel(SIZES.n_mels, device)(windows()))
        cache = DecoderCache.allocate(SIZES, N_WINDOWS, device, dtype)
        model.cross_kv(audio, cache.cross_kv)
        logits = []
        for position in range(N_TOKENS):
            offsets = torch.full((N_WINDOWS,), position, device=device)
            fed = tokens()[:, position, None].to(device)
            hidden = model.decode(fed, offsets, cache.self_kv, cache.cross_kv, n_keys=position + 1)
            logits.append(model.logits(hidden))
        return audio, torch.cat(logits, 1)


@functools.cache
def expected():
    audio, logits = forward(torch.device("cpu"), torch.float32)
    return audio.clone(), logits.clone()


def test_mel(device):
    difference = (log_mel(128, device)(windows()).cpu() - log_mel(128, torch.device("cpu"))(windows())).abs()
    assert difference.mean() < 1e-5
    assert difference.max() < 5e-3, "a bin that is 80 dB below the loudest has three digits left"


@pytest.mark.parametrize("dtype", list(BOUNDS))
def test_encoder_outputs_and_logits(device, dtype, record_property):
    if device.type == "cpu" and dtype == torch.float16:
        dtype = torch.bfloat16  # the CPU has no use for float16
    audio, logits = forward(device, dtype)
    expected_audio, expected_logits = expected()
    audio_error, logit_error = relative_error(audio, expected_audio), relative_error(logits, expected_logits)
    record_property(f"{device} {dtype} encoder", f"{audio_error.mean():.1e}")
    record_property("logits", f"{logit_error.mean():.1e}")
    assert audio_error.mean() < BOUNDS[dtype]
    assert logit_error.mean() < BOUNDS[dtype]
    assert logit_error.max() < 5 * BOUNDS[dtype]


def test_greedy_tokens_in_float32(device):
    """Of the same weights, on the device with the steps that it uses by itself and on CPU with plain ones."""
    options = DecodeOptions(
        temperatures=(0.0,), max_tokens=40, logprob_threshold=None, compression_ratio_threshold=None
    )
    requests = [DecodeRequest(samples=samples, language="en", options=options) for samples in windows()]
    texts = []
    for where, steps in ((torch.device("cpu"), "plain"), (device, "static" if device.type == "cpu" else "graphs")):
        model = random_whisper(SIZES, 0, where, torch.float32)
        config = EngineConfig(n_slots=3, encode_batch=2, n_threads=1, steps=steps)
        with Engine(model, tiny_models.checkpoint(SIZES), config) as engine:
            texts.append([hypothesis.token_ids for hypothesis in traffic.decode_all(engine, requests)])
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == N_WINDOWS


@pytest.mark.parametrize("products", get_args(Products))
def test_an_encoder_that_multiplies_in_8_bits(device, products, record_property):
    """Near the same encoder of the CPU, whose whole numbers are the same, and not far from the one in full."""
    audio = []
    for where in (torch.device("cpu"), device):
        try:
            ops = ops_for(where, "float32", products)
        except ConfigError as error:
            pytest.skip(str(error))
        with torch.inference_mode():
            model = random_whisper(SIZES, 0, where, ops=ops)
            audio.append(model.encode(log_mel(SIZES.n_mels, where)(windows())).cpu())
    exact, _ = expected()
    to_cpu, to_exact = (relative_error(audio[1], other).mean() for other in (audio[0], exact))
    record_property(f"{device} {products} encoder, to the CPU's", f"{to_cpu:.1e}")
    record_property("to the exact one", f"{to_exact:.1e}")
    assert to_cpu < {"int8": 5e-3, "float8": 0.05}[products]
    assert 1e-4 < to_exact < {"int8": 0.03, "float8": 0.1}[products]
