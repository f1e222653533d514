"""Word times of the demo checkpoint against openai-whisper's `find_alignment` with the same weights and tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import openai_whisper
import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from whisper import timing
from whisper.audio import log_mel_spectrogram, pad_or_trim

from ifw.audio.whole import decode
from ifw.config import DecodeOptions, EngineConfig
from ifw.constants import POSITION_S, SAMPLE_RATE, WINDOW_SAMPLES
from ifw.engine.engine import Engine
from ifw.engine.request import DecodeRequest
from ifw.engine.segments import WindowSegment
from ifw.engine.words import place_tokens
from ifw.model.checkpoint import load_whisper

HELD_OUT = Path(__file__).parents[1] / "end_to_end" / "heldout"
MANIFEST = json.loads((HELD_OUT / "manifest.json").read_text(encoding="utf-8"))
CHECKPOINT = tiny_models.demo_checkpoint()
TOKENIZER = CHECKPOINT.tokenizer
OPTIONS = DecodeOptions(word_timestamps=True, timestamps=False, temperatures=(0.0,))
MODES = ("transcribe", "translate")
TIMEOUT_S = 120


def chosen_entries():
    """A few files of every language and kind; the rest says the same and takes minutes."""
    counts = {"single": 2, "dense_clean": 1}
    return [
        entry
        for language in ("en", "de", "es")
        for kind, count in counts.items()
        for entry in [e for e in MANIFEST if (e["language"], e["kind"]) == (language, kind)][:count]
    ]


@pytest.fixture(scope="module")
def windows():
    return [
        (entry["language"], decode(HELD_OUT / entry["file"]).samples[:WINDOW_SAMPLES]) for entry in chosen_entries()
    ]


@pytest.fixture(scope="module")
def hypotheses(windows):
    """Decoded and aligned together, in slots that change their owners."""
    model = load_whisper(CHECKPOINT, "cpu", "float32")
    with Engine(model, CHECKPOINT, EngineConfig(n_threads=1, n_slots=5)) as engine:
        futures = {
            (mode, index): engine.submit(
                DecodeRequest(samples=samples, language=language, options=replace(OPTIONS, mode=mode))
            )
            for index, (language, samples) in enumerate(windows)
            for mode in MODES[: 1 + (language != "en")]
        }
        return {key: future.result(TIMEOUT_S) for key, future in futures.items()}


@pytest.fixture(scope="module")
def reference():
    return openai_whisper.load_model(CHECKPOINT, load_file(tiny_models.DEMO / "model.safetensors"))


def reference_words(model, hypothesis, samples, mode):
    tokenizer = openai_whisper.TokenizerDouble(TOKENIZER, hypothesis.language, mode)
    mel = log_mel_spectrogram(pad_or_trim(torch.from_numpy(samples)))
    text_ids = [token for token in hypothesis.token_ids if token < TOKENIZER.eot]
    return timing.find_alignment(model, tokenizer, text_ids, mel, len(samples) // 160)


@pytest.fixture(autouse=True)
def serial_compilation(monkeypatch):
    """openai-whisper compiles its loop for several threads, which takes longer than the whole test."""
    monkeypatch.setattr(timing, "dtw_cpu", numba.njit(timing.dtw_cpu.py_func))


def test_the_reference_has_the_alignment_heads_of_the_checkpoint(reference):
    heads = [tuple(pair) for pair in reference.alignment_heads.indices().T.tolist()]
    assert heads == [tuple(pair) for pair in CHECKPOINT.generation.alignment_heads]


def test_word_times_are_those_of_find_alignment(windows, hypotheses, reference):
    differences, probabilities = [], []
    for (mode, index), hypothesis in hypotheses.items():
        samples = windows[index][1]
        expected = reference_words(reference, hypothesis, samples, mode)
        text_ids = tuple(token for token in hypothesis.token_ids if token < TOKENIZER.eot)
        content = WindowSegment(0.0, len(samples) / SAMPLE_RATE, text_ids, hypothesis.text)
        (words,) = place_tokens([content], hypothesis.attention, TOKENIZER, hypothesis.language)
        assert [word.text for word in words] == [word.word for word in expected]
        for ours, theirs in zip(words, expected, strict=True):
            differences.append(max(abs(ours.start_s - theirs.start), abs(ours.end_s - theirs.end)))
            probabilities.append(abs(ours.probability - theirs.probability))
    assert len(differences) > 300
    assert np.mean(np.array(differences) <= POSITION_S + 1e-6) >= 0.99
    assert max(probabilities) < 0.01
