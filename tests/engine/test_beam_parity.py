"""Beam search in the engine against openai-whisper's `decode` with the same weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openai_whisper
import pytest
import tiny_models
from safetensors.torch import load_file
from whisper.decoding import DecodingOptions

from ifw.audio import decode
from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest
from ifw.model.checkpoint import load_whisper
from ifw.model.mel import log_mel
from ifw.model.random_weights import random_weight
from ifw.model.weights import tensor_shapes

ALWAYS_SUSPECT = DecodeOptions(
    language="en",
    temperatures=(0.0,),
    compression_ratio_threshold=None,
    logprob_threshold=-0.0,
    no_speech_threshold=None,
)


def their_best(model, checkpoint, samples, ours: DecodeOptions) -> tuple[list[int], float]:
    """The likelier of what their greedy decoding and their beam search give."""
    mel = log_mel(checkpoint.dims.n_mels, tiny_models.CPU)([samples])[0]
    options = DecodingOptions(
        language="en",
        fp16=False,
        suppress_tokens=[checkpoint.tokenizer.sot, *checkpoint.generation.suppress_tokens],  # an empty list: no filter
        without_timestamps=not ours.timestamps,
        sample_len=ours.max_tokens,
    )
    greedy = openai_whisper.decode(model, checkpoint, mel, options)
    beam = openai_whisper.decode(model, checkpoint, mel, replace(options, beam_size=ours.beam_size))
    best = max(greedy, beam, key=lambda result: result.avg_logprob)
    return best.tokens, best.avg_logprob


def engine_best(model, checkpoint, windows, options: DecodeOptions) -> list[tuple[list[int], float]]:
    with Engine(model, checkpoint, EngineConfig(n_threads=1, n_slots=4)) as engine:
        futures = [engine.submit(DecodeRequest(samples=samples, language="en", options=options)) for samples in windows]
        found = [future.result(120) for future in futures]
    assert all(hypothesis.n_attempts == 2 for hypothesis in found)
    return [(list(hypothesis.token_ids), hypothesis.avg_logprob) for hypothesis in found]


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # numpy, on their argsort of a tensor
@pytest.mark.parametrize("timestamps", [True, False])
def test_on_a_random_model(timestamps):
    sizes = tiny_models.dims(layers=(2, 2), d_model=64, n_heads=2)
    checkpoint = tiny_models.checkpoint(sizes)
    options = replace(ALWAYS_SUSPECT, beam_size=4, max_tokens=20, timestamps=timestamps)
    windows = [tiny_models.window(seed, seconds=20) for seed in range(4)]
    theirs = openai_whisper.load_model(
        checkpoint, {name: random_weight(name, sizes, 0) for name in tensor_shapes(sizes)}
    )
    expected = [their_best(theirs, checkpoint, samples, options) for samples in windows]
    got = engine_best(tiny_models.whisper(sizes), checkpoint, windows, options)
    for (tokens, logprob), (their_tokens, their_logprob) in zip(got, expected, strict=True):
        assert tokens == their_tokens
        assert logprob == pytest.approx(their_logprob, abs=1e-4)
    greedy = engine_greedy(tiny_models.whisper(sizes), checkpoint, windows, options)
    assert greedy != [tokens for tokens, _ in got], "where the beam finds nothing better, little is proven"


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_on_the_demo_checkpoint():
    checkpoint = tiny_models.demo_checkpoint()
    samples = decode(tiny_models.DEMO / "sample.mp3").samples[: 12 * 16_000]
    noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    windows = [samples, samples + 0.05 * noise]
    options = replace(ALWAYS_SUSPECT, beam_size=5, max_tokens=100)
    theirs = openai_whisper.load_model(checkpoint, load_file(tiny_models.DEMO / "model.safetensors"))
    expected = [their_best(theirs, checkpoint, window, options) for window in windows]
    got = engine_best(load_whisper(checkpoint, "cpu", "float32"), checkpoint, windows, options)
    for (tokens, logprob), (their_tokens, their_logprob) in zip(got, expected, strict=True):
        assert tokens == their_tokens
        assert logprob == pytest.approx(their_logprob, abs=1e-3)


def engine_greedy(model, checkpoint, windows, options: DecodeOptions) -> list[list[int]]:
    alone = replace(options, beam_size=None)
    with Engine(model, checkpoint, EngineConfig(n_threads=1, n_slots=4)) as engine:
        futures = [engine.submit(DecodeRequest(samples=samples, language="en", options=alone)) for samples in windows]
        return [list(future.result(120).token_ids) for future in futures]
