"""Measures a checkpoint with the reference implementation of transformers.

Every file goes through one padded 30 s window (the ten-minute file belongs to the product's
own evaluation), greedily and with timestamps.
"""

from __future__ import annotations

import json
import re
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from .espeak import SAMPLE_RATE, FloatArray
from .evalset import DENSE_CLEAN, DENSE_NOISY, NO_SPEECH, SINGLE
from .grammar import LANGUAGES
from .tokens import TIMESTAMP_STEP_S, TokenIds

_BATCH = 6
_WINDOW_SAMPLES = 30 * SAMPLE_RATE
_LANGUAGE_MIN_S = 3.0


@dataclass(frozen=True)
class Hypothesis:
    """One decoded segment; the end is missing where the window cuts it off."""

    start_s: float
    end_s: float | None
    text: str


def read_wav(path: Path) -> FloatArray:
    """Reads mono 16-bit samples."""
    with wave.open(str(path), "rb") as stream:
        data = stream.readframes(stream.getnframes())
    return np.asarray(np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768), np.float32)


def normalised(text: str) -> str:
    """Lower case without punctuation."""
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower()).split())


def parse_segments(tokens: Iterable[int], ids: TokenIds) -> list[Hypothesis]:
    """Splits generated tokens into segments at pairs of timestamps."""
    segments: list[Hypothesis] = []
    start_s: float | None = None
    text: list[int] = []
    for token in tokens:
        if token >= ids.first_timestamp:
            time_s = (token - ids.first_timestamp) * TIMESTAMP_STEP_S
            if start_s is None or not text:
                start_s = time_s
            else:
                spoken = ids.tokenizer.decode(text).strip()
                segments.append(Hypothesis(start_s, time_s, spoken))
                start_s = None
            text = []
        elif token < ids.end:
            text.append(token)
    if start_s is not None and text:
        segments.append(Hypothesis(start_s, None, ids.tokenizer.decode(text).strip()))
    return segments


class Evaluator:
    """A checkpoint loaded through transformers."""

    def __init__(self, checkpoint: Path) -> None:
        self._processor = WhisperProcessor.from_pretrained(checkpoint)
        self._model = WhisperForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
        self._model.eval()  # type: ignore[no-untyped-call] # transformers has no types
        self._ids = TokenIds(checkpoint)

    def _features(self, samples: list[FloatArray]) -> torch.Tensor:
        features: torch.Tensor = self._processor.feature_extractor(
            samples, sampling_rate=SAMPLE_RATE, return_tensors="pt"
        ).input_features
        return features

    @torch.no_grad()
    def transcribe(self, samples: list[FloatArray], language: str, task: str) -> list[list[Hypothesis]]:
        """Decodes windows of one language."""
        results = []
        for first in range(0, len(samples), _BATCH):
            generated = self._model.generate(
                self._features(samples[first : first + _BATCH]),
                language=language,
                task=task,
                return_timestamps=True,
                num_beams=1,
                do_sample=False,
            )
            results += [parse_segments(tokens.tolist(), self._ids) for tokens in generated]
        return results

    @torch.no_grad()
    def detect(self, samples: list[FloatArray]) -> list[str]:
        """The language of each window."""
        names = {identifier: code for code, identifier in self._ids.language.items()}
        found: list[str] = []
        for first in range(0, len(samples), _BATCH):
            tokens = self._model.detect_language(self._features(samples[first : first + _BATCH]))
            found += [names.get(int(token), "other") for token in tokens]
        return found

    @torch.no_grad()
    def no_speech_probability(self, samples: FloatArray) -> float:
        """Probability of the no-speech token as the first token."""
        logits = self._model(self._features([samples]), decoder_input_ids=torch.tensor([[self._ids.start]])).logits
        return float(logits[0, -1].softmax(-1)[self._ids.no_speech])


def _start_errors(said: list[dict[str, Any]], heard: list[Hypothesis]) -> tuple[list[float], int]:
    """Start errors of the reference segments that were found, and how many were not."""
    errors, missed = [], 0
    for segment in said:
        start_s, end_s = segment["start_s"], segment["end_s"]
        overlapping = [
            hypothesis
            for hypothesis in heard
            if min(hypothesis.end_s or end_s, end_s) - max(hypothesis.start_s, start_s) > 0.5 * (end_s - start_s)
        ]
        if overlapping:
            errors.append(abs(overlapping[0].start_s - start_s))
        else:
            missed += 1
    return errors, missed


def _word_error_rate(references: list[str], hypotheses: list[str]) -> float:
    return float(jiwer.wer([normalised(r) for r in references], [normalised(h) for h in hypotheses]))


def _wrong_pairs(references: list[str], hypotheses: list[str]) -> list[tuple[str, str]]:
    pairs = zip(references, hypotheses, strict=True)
    return [(reference, text) for reference, text in pairs if normalised(reference) != normalised(text)]


def _speech_row(evaluator: Evaluator, language: str, files: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    samples = [read_wav(folder / file["file"])[:_WINDOW_SAMPLES] for file in files]
    row: dict[str, Any] = {"files": len(files)}
    heard = evaluator.transcribe(samples, language, "transcribe")
    texts = [" ".join(hypothesis.text for hypothesis in result) for result in heard]
    said = [" ".join(segment["text"] for segment in file["segments"]) for file in files]
    row["wer"], row["wrong"] = _word_error_rate(said, texts), _wrong_pairs(said, texts)
    errors: list[float] = []
    row["missed"] = 0
    for file, result in zip(files, heard, strict=True):
        found, missed = _start_errors(file["segments"], result)
        errors += found
        row["missed"] += missed
    row["start_error_s"] = float(np.mean(errors)) if errors else None
    if language != "en":
        heard = evaluator.transcribe(samples, language, "translate")
        texts = [" ".join(hypothesis.text for hypothesis in result) for result in heard]
        meant = [" ".join(segment["english"] for segment in file["segments"]) for file in files]
        row["translation_wer"], row["translation_wrong"] = _word_error_rate(meant, texts), _wrong_pairs(meant, texts)
    long_enough = [part for part in samples if len(part) > _LANGUAGE_MIN_S * SAMPLE_RATE]
    detected = evaluator.detect(long_enough)
    row["language_right"] = detected.count(language) / max(1, len(detected))
    return row


def evaluate(checkpoint: Path, folder: Path, limit: int | None = None) -> dict[str, Any]:
    """Measures a checkpoint on an evaluation set.

    Args:
        checkpoint: Folder of the checkpoint.
        folder: Folder that `evalset.write_evaluation_set` has written.
        limit: At most this many files per language and kind.

    Returns:
        One row per language and kind, and one per file without speech.
    """
    evaluator = Evaluator(checkpoint)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    rows: dict[str, Any] = {}
    for kind in (SINGLE, DENSE_CLEAN, DENSE_NOISY):
        for language in LANGUAGES:
            files = [f for f in manifest if f["kind"] == kind and f["language"] == language]
            rows[f"{kind} {language}"] = _speech_row(evaluator, language, files[:limit], folder)
    for file in manifest:
        if file["kind"] == NO_SPEECH:
            samples = read_wav(folder / file["file"])[:_WINDOW_SAMPLES]
            heard = evaluator.transcribe([samples], "en", "transcribe")[0]
            rows[f"{NO_SPEECH} {file['file']}"] = {
                "probability": evaluator.no_speech_probability(samples),
                "text": " ".join(hypothesis.text for hypothesis in heard),
            }
    return rows


def table(rows: dict[str, Any]) -> str:
    """The rows as Markdown."""

    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}%"

    lines = [
        "| set | language | files | WER | translation WER | start error | segments missed | language right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        if "wer" not in row:
            continue
        kind, language = name.split()
        start = "" if row["start_error_s"] is None else f"{row['start_error_s']:.3f} s"
        lines.append(
            f"| {kind.replace('_', ', ')} | {language} | {row['files']} | {percent(row['wer'])} "
            f"| {percent(row.get('translation_wer'))} | {start} | {row['missed']} "
            f"| {percent(row['language_right'])} |"
        )
    lines += ["", "| no speech | P(no speech) | text |", "|---|---|---|"]
    for name, row in rows.items():
        if "probability" in row:
            label = name.split()[1].removesuffix(".wav").replace("_", " ")
            lines.append(f"| {label} | {row['probability']:.3f} | {row['text'] or 'none'} |")
    return "\n".join(lines)
