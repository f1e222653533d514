"""The forward passes against transformers, in float32 on random weights of every family's layer counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hf_reference import CPU, FAMILIES, Pair, new_caches, relative_error
from torch import Tensor

from ifw.errors import ShapeError
from ifw.model.dims import ModelDims
from ifw.model.random_weights import random_whisper
from ifw.model.weights import load_weights
from ifw.model.whisper import Whisper

TOLERANCE = 1e-4
PROMPT = torch.tensor([[1, 17, 5, 333], [1, 17, 5, 333]])
START = torch.tensor([0, 0])


def filled_caches(whisper: Whisper, audio: Tensor, stale: float = 0.0) -> tuple[Tensor, Tensor]:
    """Caches whose cross part holds the encoder outputs `audio`, and whose self part holds old values."""
    self_cache, cross_cache = new_caches(whisper, len(audio), stale)
    whisper.cross_kv(audio, cross_cache)
    return self_cache, cross_cache


def prompt_logits(whisper: Whisper, audio: Tensor) -> Tensor:
    """Logits after PROMPT, [2, V]."""
    hidden = whisper.decode(PROMPT, START, *filled_caches(whisper, audio), PROMPT.shape[1])
    return whisper.logits(hidden[:, -1])


@pytest.mark.parametrize("family", FAMILIES)
def test_encoder_and_first_step_logits(family: str, pair_of: Callable[[str], Pair]) -> None:
    pair = pair_of(family)
    assert relative_error(pair.audio, pair.reference_audio) < TOLERANCE
    assert relative_error(pair.audio[:1], pair.reference_audio[1:]) > 0.1, "the windows must sound different"

    logits = prompt_logits(pair.whisper, pair.audio)
    expected = pair.reference_logits(PROMPT, [0, 1])[:, -1]
    assert logits.dtype == torch.float32
    assert relative_error(logits, expected) < TOLERANCE
    assert expected.std(dim=-1).min() > 0.5, "the logits must not be degenerate"
    assert relative_error(logits[:1], expected[1:]) > 0.03, "the logits must depend on the audio"


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_on_slots_equal_the_full_forward(family: str, pair_of: Callable[[str], Pair]) -> None:
    """Right-padded prefill, then one token a step; every row at its own position, in a range of a larger cache."""
    pair = pair_of(family)
    whisper, windows = pair.whisper, [0, 1, 0]
    texts = torch.randint(0, pair.dims.n_vocab, (3, 16), generator=torch.Generator().manual_seed(3))
    expected = pair.reference_logits(texts, windows)

    stale = 30.0  # what earlier requests left must not be seen
    whole_self, whole_cross = new_caches(whisper, 6, stale)
    self_cache, cross_cache = whole_self[:, :, 2:5], whole_cross[:, :, 2:5]
    whisper.cross_kv(pair.audio, whole_cross[:, :, 2:4])
    whisper.cross_kv(pair.audio[:1], whole_cross[:, :, 4:5])

    offsets, rows = torch.tensor([4, 1, 7]), torch.arange(3)
    padded = torch.where(torch.arange(7) < offsets[:, None], texts[:, :7], 0)
    hidden = whisper.decode(padded, torch.zeros_like(offsets), self_cache, cross_cache, 7)
    found, wanted = [whisper.logits(hidden[rows, offsets - 1])], [expected[rows, offsets - 1]]
    for _ in range(8):
        token_ids = texts[rows, offsets][:, None]
        hidden = whisper.decode(token_ids, offsets, self_cache, cross_cache, int(offsets.max()) + 1)
        found.append(whisper.logits(hidden[:, 0]))
        wanted.append(expected[rows, offsets])
        offsets = offsets + 1
    assert relative_error(torch.stack(found), torch.stack(wanted)) < TOLERANCE
    assert (whole_self[:, :, [0, 1, 5]] == stale).all()
    assert (whole_cross[:, :, [0, 1, 5]] == stale).all()
    assert len({int(token) for step in found for token in step.argmax(-1)}) > 10, "the model must not be degenerate"


def test_more_keys_than_needed_change_nothing(pair_of: Callable[[str], Pair]) -> None:
    """A captured graph reads a bucket of keys, not the exact number."""
    pair = pair_of("tiny")
    self_cache, cross_cache = filled_caches(pair.whisper, pair.audio, stale=9.0)
    exact = pair.whisper.decode(PROMPT, START, self_cache.clone(), cross_cache, PROMPT.shape[1])
    generous = pair.whisper.decode(PROMPT, START, self_cache, cross_cache, 448)
    assert relative_error(generous, exact) < 1e-6


def test_last_position_of_the_context(pair_of: Callable[[str], Pair]) -> None:
    pair = pair_of("tiny")
    texts = torch.randint(0, pair.dims.n_vocab, (1, 448), generator=torch.Generator().manual_seed(4))
    self_cache, cross_cache = filled_caches(pair.whisper, pair.audio[:1])
    pair.whisper.decode(texts[:, :447], torch.tensor([0]), self_cache, cross_cache, 447)
    hidden = pair.whisper.decode(texts[:, 447:], torch.tensor([447]), self_cache, cross_cache, 448)
    assert relative_error(pair.whisper.logits(hidden), pair.reference_logits(texts, [0])[:, 447:]) < TOLERANCE


def test_a_window_encodes_alike_alone_and_in_a_batch(pair_of: Callable[[str], Pair]) -> None:
    pair = pair_of("tiny")
    assert relative_error(pair.whisper.encode(pair.mel[1:]), pair.audio[1:]) < 1e-6


def bfloat16_errors(pair: Pair) -> tuple[float, float, float]:
    """Root mean square errors of encoder outputs and logits, in units of their spread, and the bound of both.

    bfloat16 keeps 8 significant bits: rounding a value costs up to u = 2 ** -9 of it. A layer rounds about 16 values
    on the way of the residual stream (weights, norms, projections, attention weights, sums). The roundings are
    independent, so they add up like a random walk: u * sqrt(16 * layers).
    """
    low = load_weights(pair.folder, pair.dims, CPU, torch.bfloat16)
    audio = low.encode(pair.mel)
    exact = prompt_logits(pair.whisper, pair.audio)
    logits = prompt_logits(low, audio)
    audio_error = float((audio.float() - pair.audio).square().mean().sqrt() / pair.audio.std())
    logit_error = float((logits - exact).square().mean().sqrt() / exact.std())
    n_layers = pair.dims.n_encoder_layers + pair.dims.n_decoder_layers
    return audio_error, logit_error, 2**-9 * (16 * n_layers) ** 0.5


@pytest.mark.parametrize("family", ["tiny", "large-v3", "turbo", "distil"])
def test_bfloat16_error_on_random_weights(family: str, pair_of: Callable[[str], Pair]) -> None:
    audio_error, logit_error, bound = bfloat16_errors(pair_of(family))
    assert 1e-3 < audio_error < bound
    assert 1e-3 < logit_error < bound


def test_random_whisper_has_the_weights_of_its_seed(pair_of: Callable[[str], Pair]) -> None:
    pair = pair_of("untied")
    assert torch.equal(random_whisper(pair.dims, 0).encode(pair.mel), pair.audio)
    assert relative_error(random_whisper(pair.dims, 1).encode(pair.mel), pair.audio) > 0.1


def test_demo_checkpoint(demo_folder: Path) -> None:
    """The bundled float16 file, loaded as float32 by both."""
    from transformers import WhisperForConditionalGeneration

    reference = WhisperForConditionalGeneration.from_pretrained(demo_folder, dtype=torch.float32).eval()
    pair = Pair(demo_folder, ModelDims.from_config(json.loads((demo_folder / "config.json").read_text())), reference)
    assert relative_error(pair.audio, pair.reference_audio) < TOLERANCE
    expected = pair.reference_logits(PROMPT, [0, 1])[:, -1]
    assert relative_error(prompt_logits(pair.whisper, pair.audio), expected) < TOLERANCE

    audio_error, logit_error, bound = bfloat16_errors(pair)
    assert 1e-3 < audio_error < bound
    assert 1e-3 < logit_error < bound


@pytest.mark.parametrize("shape", [(80, 3000), (1, 128, 3000), (1, 80, 1500)])
def test_mel_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    whisper = random_whisper(replace(FAMILIES["untied"], n_encoder_layers=1, n_decoder_layers=1), 0)
    with pytest.raises(ShapeError, match=r"allowed: \[B, 80, 3000\]"):
        whisper.encode(torch.zeros(shape))
