"""Writes evaluation audio to disk: held-out sentences, held-out voices, and no speech at all."""

from __future__ import annotations

import json
import wave
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .corpus import TEST_POOL, Corpus, PoolSpec, Utterance
from .espeak import SAMPLE_RATE, FloatArray
from .features import BINS, equaliser, reverberate
from .grammar import LANGUAGES
from .windows import coloured_noise
from .word_times import Word, words_of

SINGLE, DENSE_CLEAN, DENSE_NOISY = "single", "dense_clean", "dense_noisy"
LONG, NO_SPEECH = "long", "no_speech"
WINDOW_S = 30.0
LONG_S = 600.0
NO_SPEECH_S = 60.0
_PCM_SCALE = 32767


@dataclass(frozen=True)
class Segment:
    """One sentence of an evaluation file."""

    start_s: float
    end_s: float
    text: str
    english: str
    words: list[Word]


@dataclass(frozen=True)
class EvaluationFile:
    """One evaluation file and what is said in it."""

    file: str
    language: str | None
    kind: str
    segments: list[Segment]


def write_wav(path: Path, samples: FloatArray) -> None:
    """Writes mono 16-bit samples at 16 kHz."""
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE)
        stream.writeframes((samples.clip(-1, 1) * _PCM_SCALE).astype("<i2").tobytes())


class Reader:
    """Hands out the utterances of one language in random order, each once per round."""

    def __init__(self, corpus: Corpus, language: str, rng: np.random.Generator) -> None:
        self._utterances = [u for u in corpus.utterances if u.language == language]
        self._rng = rng
        self._order: list[int] = []

    def next(self, longest_s: float = WINDOW_S) -> Utterance:
        """The next utterance that is no longer than asked for."""
        for _ in range(2 * len(self._utterances)):
            if not self._order:
                self._order = list(self._rng.permutation(len(self._utterances)))
            utterance = self._utterances[self._order.pop()]
            if utterance.duration_s <= longest_s:
                return utterance
        raise ValueError(f"no utterance is shorter than {longest_s} s")


def place(corpus: Corpus, samples: FloatArray, utterance: Utterance, begin_s: float, gain: float = 1.0) -> Segment:
    """Adds an utterance to samples and returns what a transcript should say of it."""
    first = int(begin_s * SAMPLE_RATE)
    samples[first : first + utterance.length] += corpus.samples(utterance) * np.float32(gain)
    return Segment(
        round(begin_s + utterance.start_s, 3),
        round(begin_s + utterance.end_s, 3),
        utterance.text,
        utterance.sentence.english,
        words_of(utterance, begin_s),
    )


def single(corpus: Corpus, reader: Reader, rng: np.random.Generator) -> tuple[FloatArray, list[Segment]]:
    """One sentence with a little silence around it."""
    utterance = reader.next()
    lead_s, tail_s = rng.uniform(0.1, 0.9), rng.uniform(0.2, 1.5)
    length = int((lead_s + utterance.duration_s + tail_s) * SAMPLE_RATE)
    samples = np.zeros(length, np.float32)
    return samples, [place(corpus, samples, utterance, lead_s)]


def sequence(
    corpus: Corpus,
    reader: Reader,
    rng: np.random.Generator,
    length_s: float,
    pauses_s: tuple[float, float],
) -> tuple[FloatArray, list[Segment]]:
    """Sentences one after another until a given length is full."""
    samples = np.zeros(int(length_s * SAMPLE_RATE), np.float32)
    segments = []
    time_s = rng.uniform(0.1, 0.9)
    while True:
        utterance = reader.next()
        if time_s + utterance.duration_s > length_s - 0.1:
            break
        gain = 10 ** (rng.uniform(-5, 3) / 20)
        segments.append(place(corpus, samples, utterance, time_s, gain))
        time_s += utterance.duration_s + rng.uniform(*pauses_s)
    return samples, segments


def degrade(rng: np.random.Generator, samples: FloatArray) -> FloatArray:
    """Equaliser, sometimes reverberation, and coloured noise at 8 to 40 dB."""
    spectrum = np.fft.rfft(samples)
    bins = np.linspace(0, BINS - 1, len(spectrum))
    spectrum *= np.interp(bins, np.arange(BINS), equaliser(rng))
    result = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
    if rng.random() < 0.4:
        result = reverberate(rng, result)
    level = float(np.sqrt(np.mean(result**2))) * 10 ** (-rng.uniform(8, 40) / 20)
    exponent = float(rng.choice([0.0, 0.5, 1.0]))
    result = result + np.float32(level) * coloured_noise(rng, len(result), exponent)
    return np.asarray(result * (0.9 / max(0.9, np.abs(result).max())), np.float32)


def silence_and_noises(rng: np.random.Generator) -> dict[str, FloatArray]:
    """A minute each of silence, white noise, a tone and slow chords."""
    count = int(NO_SPEECH_S * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    chords = np.zeros(count)
    progression = [(261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6)]
    progression.append((196.0, 246.9, 293.7))
    for beat, first in enumerate(range(0, count, 2 * SAMPLE_RATE)):
        part = time[: min(count - first, 2 * SAMPLE_RATE)]
        for frequency in progression[beat % len(progression)]:
            for harmonic in (1, 2, 3):
                wave_form = np.sin(2 * np.pi * frequency * harmonic * part) / harmonic
                chords[first : first + len(part)] += 0.08 * wave_form * np.exp(-part)
    return {
        "silence": np.zeros(count, np.float32),
        "white_noise": (0.05 * rng.standard_normal(count)).astype(np.float32),
        "tone": (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32),
        "chords": chords.astype(np.float32),
    }


def write_evaluation_set(
    speech: Path,
    folder: Path,
    *,
    pool: PoolSpec = TEST_POOL,
    seed: int = 0,
    singles: int = 60,
    windows: int = 12,
) -> None:
    """Writes WAV files, ``manifest.json``, and what ``ifw eval`` reads: ``manifest.jsonl`` and ``translation.jsonl``.

    Args:
        speech: Folder of the synthesised pools.
        folder: Where the files go.
        pool: The pool that the sentences come from.
        seed: Seed of the selection.
        singles: Single sentences per language.
        windows: Dense windows per language, clean and noisy each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    corpus = Corpus(speech, [pool.name])
    files: list[EvaluationFile] = []

    def keep(name: str, language: str | None, kind: str, samples: FloatArray, said: list[Segment]) -> None:
        write_wav(folder / f"{name}.wav", samples)
        files.append(EvaluationFile(f"{name}.wav", language, kind, said))

    for number, language in enumerate(LANGUAGES):
        rng = np.random.default_rng([seed, number])
        reader = Reader(corpus, language, rng)
        for index in range(singles):
            samples, said = single(corpus, reader, rng)
            keep(f"{language}_single_{index:02d}", language, SINGLE, samples, said)
        for index in range(windows):
            samples, said = sequence(corpus, reader, rng, WINDOW_S, (0.12, 1.2))
            keep(f"{language}_dense_clean_{index:02d}", language, DENSE_CLEAN, samples, said)
        for index in range(windows):
            samples, said = sequence(corpus, reader, rng, WINDOW_S, (0.12, 1.2))
            noisy = degrade(rng, samples)
            keep(f"{language}_dense_noisy_{index:02d}", language, DENSE_NOISY, noisy, said)
    rng = np.random.default_rng([seed, len(LANGUAGES)])
    samples, said = sequence(corpus, Reader(corpus, "en", rng), rng, LONG_S, (0.1, 6.0))
    keep("en_long", "en", LONG, samples, said)
    for name, sound in silence_and_noises(rng).items():
        keep(name, None, NO_SPEECH, sound, [])
    manifest = json.dumps([_without_words(asdict(file)) for file in files], indent=1, ensure_ascii=False)
    (folder / "manifest.json").write_text(manifest + "\n", encoding="utf-8")
    _write_lines(folder / "manifest.jsonl", map(_spoken, files))
    foreign = [file for file in files if file.language not in (None, "en")]
    _write_lines(folder / "translation.jsonl", map(_translated, foreign))


def _without_words(file: dict[str, Any]) -> dict[str, Any]:
    for segment in file["segments"]:
        del segment["words"]
    return file


def _spoken(file: EvaluationFile) -> dict[str, Any]:
    """The line of ``ifw eval`` for what is said."""
    return {
        "audio": file.file,
        "text": " ".join(segment.text for segment in file.segments),
        "language": file.language,
        "kind": file.kind,
        "segments": [{"text": s.text, "start_s": s.start_s, "end_s": s.end_s} for s in file.segments],
        "words": [asdict(word) for segment in file.segments for word in segment.words],
    }


def _translated(file: EvaluationFile) -> dict[str, Any]:
    """The line of ``ifw eval`` for what is said, in English."""
    text = " ".join(segment.english for segment in file.segments)
    return {"audio": file.file, "text": text, "language": file.language, "mode": "translate", "kind": file.kind}


def _write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
