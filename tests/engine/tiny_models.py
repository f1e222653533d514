"""Small random checkpoints whose text is not degenerate, and the same weights in transformers."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch

import ifw
from ifw.constants import SAMPLE_RATE, WINDOW_SAMPLES
from ifw.model.checkpoint import Checkpoint, load_checkpoint
from ifw.model.dims import ModelDims
from ifw.model.random_weights import random_weight, random_whisper
from ifw.model.tokenizer import load_tokenizer
from ifw.model.weights import tensor_shapes
from ifw.model.whisper import Whisper

DEMO = Path(ifw.__file__).parent / "demo"
CPU = torch.device("cpu")


@functools.cache
def demo_checkpoint() -> Checkpoint:
    return load_checkpoint(DEMO, "demo")


def dims(*, n_mels: int = 80, layers: tuple[int, int] = (2, 2), d_model: int = 64, n_heads: int = 2) -> ModelDims:
    return ModelDims(
        n_mels=n_mels,
        n_vocab=demo_checkpoint().dims.n_vocab,
        d_model=d_model,
        n_heads=n_heads,
        n_encoder_layers=layers[0],
        n_decoder_layers=layers[1],
        encoder_ffn=4 * d_model,
        decoder_ffn=4 * d_model,
    )


FAMILIES = {
    "tiny": dims(layers=(4, 4), d_model=128),
    "large-v3": dims(n_mels=128, layers=(32, 32), n_heads=1),
    "turbo": dims(n_mels=128, layers=(32, 4), n_heads=1),
    "distil": dims(n_mels=128, layers=(32, 2), n_heads=1),
}


def checkpoint(sizes: ModelDims, *, is_multilingual: bool = True) -> Checkpoint:
    """The demo's tokenizer on a model of other sizes."""
    base = dataclasses.replace(demo_checkpoint(), dims=sizes)
    if is_multilingual:
        return base
    generation = dataclasses.replace(base.generation, lang_to_id={}, task_to_id={}, is_multilingual=False)
    tokenizer = load_tokenizer(DEMO, base.dims.n_vocab, is_multilingual=False)
    return dataclasses.replace(base, generation=generation, tokenizer=tokenizer)


def knowing(base: Checkpoint, *languages: str) -> Checkpoint:
    """The same checkpoint, whose generation config lists only these languages."""
    lang_to_id = {code: base.tokenizer.language_ids[code] for code in languages}
    return dataclasses.replace(base, generation=dataclasses.replace(base.generation, lang_to_id=lang_to_id))


def whisper(sizes: ModelDims, seed: int = 0, dtype: torch.dtype = torch.float32) -> Whisper:
    return random_whisper(sizes, seed, CPU, dtype)


def reference(sizes: ModelDims, seed: int = 0):
    """The same weights in transformers, with the demo's generation config."""
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig.from_pretrained(DEMO).to_dict() | {
        "num_mel_bins": sizes.n_mels,
        "d_model": sizes.d_model,
        "encoder_layers": sizes.n_encoder_layers,
        "decoder_layers": sizes.n_decoder_layers,
        "encoder_attention_heads": sizes.n_heads,
        "decoder_attention_heads": sizes.n_heads,
        "encoder_ffn_dim": sizes.encoder_ffn,
        "decoder_ffn_dim": sizes.decoder_ffn,
        "dtype": "float32",
    }
    model = WhisperForConditionalGeneration(WhisperConfig.from_dict(config)).eval()
    state = {f"model.{name}": random_weight(name, sizes, seed) for name in tensor_shapes(sizes)}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"proj_out.weight"}
    model.tie_weights()
    model.generation_config = GenerationConfig.from_pretrained(DEMO)
    return model


def window(seed: int, seconds: float = 30.0) -> np.ndarray:
    """Seeded noise with four tones that come and go."""
    random = np.random.default_rng(seed)
    n_samples = min(round(seconds * SAMPLE_RATE), WINDOW_SAMPLES)
    time_s = np.arange(n_samples) / SAMPLE_RATE
    samples = 0.1 * random.standard_normal(n_samples)
    for _ in range(4):
        begin, end = sorted(random.uniform(0, seconds, 2))
        tone = np.sin(2 * np.pi * random.uniform(100, 4000) * time_s)
        samples += 0.3 * tone * ((time_s > begin) & (time_s < end))
    return (samples / 4).astype(np.float32)
