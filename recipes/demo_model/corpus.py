"""Synthesises pools of utterances to disk and reads them back as memory maps."""

from __future__ import annotations

import multiprocessing
import pickle
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from .espeak import (
    BASE_VOICES,
    HELD_OUT_VARIANTS,
    SAMPLE_RATE,
    TRAINING_VARIANTS,
    FloatArray,
    Synthesiser,
)
from .grammar import CORE_TEMPLATES, LANGUAGES, Sentence, sentences
from .scrambled import scrambled_sentences


@dataclass(frozen=True)
class PoolSpec:
    """What a pool of utterances is made of.

    Attributes:
        name: File stem.
        per_language: Utterances per language.
        seed: Seed of sentences and voices.
        held_out_sentences: Whether the sentences are the held-out ones.
        held_out_voices: Whether the voices are the held-out ones.
        core_share: Share of sentences of the core templates.
        emphasis: Whether look-alike number words are drawn more often.
        scrambled_share: Share of utterances that are no sentences of the grammar.
    """

    name: str
    per_language: int
    seed: int
    held_out_sentences: bool
    held_out_voices: bool
    core_share: float = 0.5
    emphasis: bool = False
    scrambled_share: float = 0.0


TRAINING_SHARDS = 4


def training_pools(total: int) -> list[PoolSpec]:
    """The training pools, as shards that are synthesised in parallel."""
    per_language = total // len(LANGUAGES) // TRAINING_SHARDS
    return [
        PoolSpec(f"train{shard}", per_language, 1000 + shard, False, False, 0.5, True, 0.15)
        for shard in range(TRAINING_SHARDS)
    ]


# Validation chooses between checkpoints; only the test pool is ever reported.
VALIDATION_POOL = PoolSpec("validation", 600, 2001, False, False, 0.7)
TEST_POOL = PoolSpec("test", 900, 3001, True, True, 0.8)


@dataclass(frozen=True)
class Utterance:
    """A synthesised sentence within a pool.

    Attributes:
        language: Language that is spoken.
        sentence: The parallel sentence.
        voice: The espeak voice.
        pool: Index of the pool that holds the samples.
        offset: First sample within the pool.
        length: Number of samples.
        start_s: Where the sound begins.
        end_s: Where the sound ends.
        words: Character positions and times of the words.
        phonemes: Names and times of the phonemes.
    """

    language: str
    sentence: Sentence
    voice: str
    pool: int
    offset: int
    length: int
    start_s: float
    end_s: float
    words: list[tuple[int, float]]
    phonemes: list[tuple[str, float]]

    @property
    def text(self) -> str:
        """What is spoken."""
        return self.sentence.text[self.language]

    @property
    def duration_s(self) -> float:
        """Length in seconds, margins included."""
        return self.length / SAMPLE_RATE


def synthesise_pool(spec: PoolSpec, folder: Path) -> float:
    """Writes one pool (``.pcm`` and ``.index``) and returns its hours of audio."""
    synthesiser = Synthesiser()
    rng = random.Random(spec.seed)
    utterances: list[Utterance] = []
    offset = 0
    partial = folder / f"{spec.name}.pcm.partial"
    with partial.open("wb") as stream:
        for language in LANGUAGES:
            for sentence in islice(_sentences_of(spec, rng, language), spec.per_language):
                voice, rate, pitch, pitch_range = _voice_settings(spec, language, rng)
                speech = synthesiser.speak(sentence.text[language], voice, rate, pitch, pitch_range)
                pcm = np.clip(speech.samples * 32767, -32768, 32767).astype("<i2")
                stream.write(pcm.tobytes())
                utterances.append(
                    Utterance(
                        language, sentence, voice, 0, offset, len(pcm),
                        speech.start_s, speech.end_s, speech.words, speech.phonemes,
                    )
                )  # fmt: skip
                offset += len(pcm)
    with (folder / f"{spec.name}.index").open("wb") as stream:
        pickle.dump(utterances, stream)
    partial.rename(folder / f"{spec.name}.pcm")
    return offset / SAMPLE_RATE / 3600


def _sentences_of(spec: PoolSpec, rng: random.Random, language: str) -> Iterator[Sentence]:
    regular = sentences(
        rng,
        held_out=spec.held_out_sentences,
        core_share=spec.core_share,
        emphasis=spec.emphasis,
    )
    scrambled = scrambled_sentences(rng, language, regular)
    while True:
        yield next(scrambled if rng.random() < spec.scrambled_share else regular)


def _voice_settings(spec: PoolSpec, language: str, rng: random.Random) -> tuple[str, int, int, int]:
    base = rng.choice(BASE_VOICES[language])
    variants = HELD_OUT_VARIANTS if spec.held_out_voices else ("", *TRAINING_VARIANTS)
    variant = rng.choice(variants)
    voice = f"{base}+{variant}" if variant else base
    return voice, rng.randint(130, 205), rng.randint(25, 75), rng.randint(30, 70)


def synthesise(folder: Path, specs: Sequence[PoolSpec], processes: int) -> None:
    """Synthesises those of the pools that are not on disk yet."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [spec for spec in specs if not (folder / f"{spec.name}.pcm").exists()]
    # A fresh process per pool: the library keeps state, and a pool must not depend on it.
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as workers:
        jobs = [(spec, workers.apply_async(synthesise_pool, (spec, folder))) for spec in missing]
        for spec, job in jobs:
            print(f"{spec.name}: {job.get():.1f} h", flush=True)


CORE_SHARE = 0.68


@dataclass
class Voice:
    """Indices of the utterances of one voice, by kind of template."""

    core: list[int] = field(default_factory=list)
    extension: list[int] = field(default_factory=list)
    scrambled: list[int] = field(default_factory=list)

    def draw(self, rng: np.random.Generator, scrambled_share: float = 0.0) -> int:
        """Draws one utterance.

        Args:
            rng: Source of randomness.
            scrambled_share: Probability of one that is no sentence of the grammar.

        Returns:
            Its index in the corpus.
        """
        if self.scrambled and rng.random() < scrambled_share:
            indices = self.scrambled
        else:
            indices = self.core if rng.random() < CORE_SHARE else self.extension
        return indices[rng.integers(len(indices))]


class Corpus:
    """Utterances of one or several pools, grouped by language and voice."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.utterances: list[Utterance] = []
        self._samples: list[np.memmap[tuple[int], np.dtype[np.int16]]] = []
        for pool, name in enumerate(names):
            self._samples.append(np.memmap(folder / f"{name}.pcm", dtype="<i2", mode="r"))
            with (folder / f"{name}.index").open("rb") as stream:
                loaded: list[Utterance] = pickle.load(stream)
            for utterance in loaded:
                object.__setattr__(utterance, "pool", pool)
            self.utterances += loaded
        self.by_voice: dict[str, list[Voice]] = {}
        for language in LANGUAGES:
            voices: dict[str, Voice] = {}
            for index, utterance in enumerate(self.utterances):
                if utterance.language == language:
                    voice = voices.setdefault(utterance.voice, Voice())
                    if utterance.sentence.is_scrambled:
                        voice.scrambled.append(index)
                    elif utterance.sentence.template in CORE_TEMPLATES:
                        voice.core.append(index)
                    else:
                        voice.extension.append(index)
            self.by_voice[language] = [v for v in voices.values() if v.core and v.extension]

    def samples(self, utterance: Utterance) -> FloatArray:
        """The samples of one utterance, peak 0.5."""
        pcm = self._samples[utterance.pool]
        part = pcm[utterance.offset : utterance.offset + utterance.length]
        return np.asarray(part.astype(np.float32) / np.float32(32768), np.float32)
