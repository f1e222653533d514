"""Greedy tokens against transformers, for every family of checkpoints at reduced width, and bfloat16 by its logits."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList
from transformers.generation.logits_process import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput

from ifw.config import DecodeOptions, EngineConfig
from ifw.engine.cache import DecoderCache
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest, DetectRequest
from ifw.model.mel import log_mel


def suppressed(tokenizer) -> tuple[int, ...]:
    """The end, so that every window has its full length, and what openai-whisper always forbids."""
    t = tokenizer
    return (t.eot, t.sot, t.sot_prev, t.sot_lm, t.transcribe, t.translate, t.no_speech)


@pytest.fixture(scope="module")
def encoder_outputs() -> dict[str, torch.Tensor]:
    """What the reference's encoders gave: the families of 32 layers share theirs, weights and all."""
    return {}


@pytest.mark.parametrize(
    ("family", "n_windows", "n_tokens"),
    [("tiny", 8, 100), ("tiny.en", 3, 40), ("large-v3", 5, 40), ("turbo", 5, 100), ("distil", 5, 100)],
)
def test_greedy_tokens_are_those_of_transformers(family, n_windows, n_tokens, encoder_outputs):
    is_multilingual = not family.endswith(".en")
    sizes = tiny_models.FAMILIES[family.removesuffix(".en")]
    checkpoint = tiny_models.checkpoint(sizes, is_multilingual=is_multilingual)
    windows = [tiny_models.window(seed) for seed in range(n_windows)]
    model = tiny_models.reference(sizes)
    key = f"{sizes.n_mels} {sizes.n_encoder_layers} {n_windows}"
    if key not in encoder_outputs:
        encoder_outputs[key] = reference_audio(model, windows)
    with Engine(tiny_models.whisper(sizes), checkpoint, EngineConfig(n_threads=1, n_slots=n_windows)) as engine:
        detections = [engine.detect_language(DetectRequest(samples=samples)) for samples in windows]
        encoded = [future.result().encoded for future in detections]
        for timestamps in (True, False):
            options = DecodeOptions(
                temperatures=(0.0,),
                timestamps=timestamps,
                max_tokens=n_tokens,
                suppress_tokens=suppressed(checkpoint.tokenizer),
            )
            futures = [
                engine.submit(DecodeRequest(encoded=window, language="en", options=options)) for window in encoded
            ]
            got = [list(future.result().token_ids) for future in futures]
            expected = reference_tokens(
                model, encoder_outputs[key], n_tokens, timestamps=timestamps, is_multilingual=is_multilingual
            )
            assert got == expected
            assert all(len(tokens) == n_tokens for tokens in got)
            assert len({tuple(tokens) for tokens in got}) == n_windows
            assert all(len(set(tokens)) >= 12 for tokens in got), "degenerate text would prove little"
        assert engine.stats().n_encoded == n_windows


@torch.no_grad()
def reference_audio(model, windows) -> torch.Tensor:
    mel = log_mel(model.config.num_mel_bins, tiny_models.CPU)(windows)
    return torch.cat([model.model.encoder(row[None]).last_hidden_state for row in mel])


def reference_prefix(*, timestamps: bool, is_multilingual: bool) -> list[int]:
    ids = tiny_models.demo_checkpoint().tokenizer
    words = [ids.language_ids["en"], ids.transcribe] if is_multilingual else []
    return [ids.sot, *words, *([] if timestamps else [ids.no_timestamps])]


@torch.no_grad()
def reference_tokens(model, audio, n_tokens: int, *, timestamps: bool, is_multilingual: bool = True) -> list[list[int]]:
    """One pass of `generate` with the processors of Whisper's own `generate`, which would go on to seek."""
    ids = tiny_models.demo_checkpoint().tokenizer
    prefix = reference_prefix(timestamps=timestamps, is_multilingual=is_multilingual)
    processors = [
        SuppressTokensAtBeginLogitsProcessor([220, ids.eot], begin_index=len(prefix)),
        SuppressTokensLogitsProcessor(suppressed(ids)),
    ]
    if timestamps:
        processors.append(WhisperTimeStampLogitsProcessor(model.generation_config, begin_index=len(prefix)))
    output = GenerationMixin.generate(
        model,
        encoder_outputs=BaseModelOutput(last_hidden_state=audio),
        decoder_input_ids=torch.tensor([prefix] * len(audio)),
        logits_processor=LogitsProcessorList(processors),
        generation_config=GenerationConfig(
            max_new_tokens=n_tokens, do_sample=False, eos_token_id=ids.eot, pad_token_id=ids.eot
        ),
    )
    return output[:, len(prefix) :].tolist()


@torch.no_grad()
def test_bfloat16_logits_stay_near_float32():
    """Teacher-forced through the caches, token by token, against transformers in float32.

    bfloat16 rounds to 8 bits, 2**-9 relative on average; about twenty roundings lie one after another between audio
    and logits here (2 x 4 layers), and independent errors add up as their root: 2**-9 * sqrt(20) = 0.009. The bound
    is four times that, because these weights are tuned to be more sensitive than a trained model's. The tighter
    bound is the reference's own error in bfloat16 on the same weights.
    """
    sizes = tiny_models.FAMILIES["tiny"]
    reference = tiny_models.reference(sizes)
    windows = [tiny_models.window(seed) for seed in range(4)]
    audio = reference_audio(reference, windows)
    prefix = reference_prefix(timestamps=True, is_multilingual=True)
    tokens = torch.tensor([prefix + row for row in reference_tokens(reference, audio, 20, timestamps=True)])
    expected = reference_logits(reference, audio, tokens)

    mel = log_mel(sizes.n_mels, tiny_models.CPU)(windows).bfloat16()
    low = reference.to(torch.bfloat16)
    its_error = relative_error(reference_logits(low, low.model.encoder(mel).last_hidden_state, tokens), expected)

    model = tiny_models.whisper(sizes, dtype=torch.bfloat16)
    cache = DecoderCache.allocate(sizes, len(windows), tiny_models.CPU, torch.bfloat16)
    model.cross_kv(model.encode(mel), cache.cross_kv)
    steps = []
    for position in range(tokens.shape[1]):
        offsets = torch.full((len(windows),), position)
        hidden = model.decode(tokens[:, position, None], offsets, cache.self_kv, cache.cross_kv, n_keys=position + 1)
        steps.append(model.logits(hidden))
    error = relative_error(torch.cat(steps, 1), expected)
    assert error.mean() < 0.036
    assert error.mean() < 1.25 * its_error.mean()
    assert error.max() < 2 * its_error.max()


def reference_logits(model, audio: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return model(encoder_outputs=BaseModelOutput(last_hidden_state=audio), decoder_input_ids=tokens).logits.float()


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Of each position's logits."""
    return (got - expected).norm(dim=-1) / expected.norm(dim=-1)
