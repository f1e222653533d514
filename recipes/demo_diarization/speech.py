"""What they say: a pool of sentences of each voice, on disk."""

from __future__ import annotations

import multiprocessing
import pickle
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from recipes.demo_model.espeak import SAMPLE_RATE, Synthesiser
from recipes.demo_model.grammar import sentences

from .voices import (
    TEST_VARIANTS,
    VALIDATION_VARIANTS,
    Voice,
    calibration_voices,
    draw_voices,
    training_voices,
    write_data_folder,
    write_variants,
)

FloatArray = npt.NDArray[np.float32]
_ACCENTS: Final = {"en": ("en-us", "en-us", "en", "en-GB-x-rp"), "de": ("de",), "es": ("es", "es-419")}
_LOUDEST: Final = 0.5  # the peak that the synthesiser gives
TRAINING_POOLS: Final = tuple(f"train{part}" for part in range(16))  # espeak-ng takes few variants at once
CALIBRATION_POOL: Final = "calibration"
VARIANTS_FOLDER: Final = "variants"  # within the folder of the pools


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """What a pool of utterances is made of.

    Attributes:
        name: File stem.
        voices: Who speaks.
        per_voice: Utterances of each voice.
        languages: Drawn anew for each utterance, so that the language says nothing of the voice.
        seed: Seed of the sentences.
        held_out_sentences: Whether the sentences are those that the demo Whisper has never seen.
    """

    name: str
    voices: tuple[Voice, ...]
    per_voice: int
    languages: tuple[str, ...]
    seed: int
    held_out_sentences: bool = False


def pools(seed: int, per_voice: int) -> list[PoolSpec]:
    """All pools of the recipe."""
    voices = training_voices(seed)
    languages = tuple(_ACCENTS)
    share = -(-len(voices) // len(TRAINING_POOLS))
    return [
        *(
            PoolSpec(name, tuple(voices[part * share :][:share]), per_voice, languages, seed + 101 + part)
            for part, name in enumerate(TRAINING_POOLS)
        ),
        PoolSpec(CALIBRATION_POOL, tuple(calibration_voices(seed + 7)), per_voice, languages, seed + 8),
        PoolSpec("validation", tuple(draw_voices(VALIDATION_VARIANTS, 5, seed + 3)), 30, ("en",), seed + 4, True),
        PoolSpec("test", tuple(draw_voices(TEST_VARIANTS, 5, seed + 5)), 40, ("en",), seed + 6, True),
    ]


@dataclass(frozen=True, slots=True)
class Utterance:
    """A sentence within a pool.

    Attributes:
        voice: Number of the voice.
        text: What is said.
        offset: First sample within the pool.
        length: Number of samples.
        start_s: Where the sound begins.
        end_s: Where the sound ends.
    """

    voice: int
    text: str
    offset: int
    length: int
    start_s: float
    end_s: float


def synthesise_pool(spec: PoolSpec, folder: Path, data_folder: Path) -> float:
    """Write one pool (``.pcm`` and ``.index``); returns its hours of audio."""
    synthesiser = Synthesiser(data_folder)
    rng = random.Random(spec.seed)
    source = sentences(rng, held_out=spec.held_out_sentences)
    utterances: list[Utterance] = []
    offset = 0
    partial = folder / f"{spec.name}.pcm.partial"
    with partial.open("wb") as stream:
        for number, voice in enumerate(spec.voices):
            for _ in range(spec.per_voice):
                language = rng.choice(spec.languages)
                text = next(source).text[language]
                speech = synthesiser.speak(
                    text,
                    f"{rng.choice(_ACCENTS[language])}+{voice.variant}",
                    voice.rate + rng.randint(-8, 8),
                    voice.pitch + rng.randint(-3, 3),
                    voice.pitch_range,
                    tension=voice.tension,
                )
                pcm = np.clip(speech.samples * 32767, -32768, 32767).astype("<i2")
                stream.write(pcm.tobytes())
                utterances.append(Utterance(number, text, offset, len(pcm), speech.start_s, speech.end_s))
                offset += len(pcm)
    with (folder / f"{spec.name}.index").open("wb") as stream:
        pickle.dump((spec, utterances), stream)
    partial.rename(folder / f"{spec.name}.pcm")
    return offset / SAMPLE_RATE / 3600


def synthesise(folder: Path, specs: Sequence[PoolSpec], seed: int, processes: int) -> None:
    """Write those of the pools that are not on disk yet."""
    variants = folder / VARIANTS_FOLDER
    write_variants(variants, seed)
    missing = [spec for spec in specs if not (folder / f"{spec.name}.pcm").exists()]
    # A fresh process per pool: the library keeps state, and a pool must not depend on it.
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as workers:
        jobs = []
        for spec in missing:
            named = {voice.variant for voice in spec.voices}
            data_folder = write_data_folder(folder / "voices" / spec.name, variants, sorted(named))
            jobs.append((spec, workers.apply_async(synthesise_pool, (spec, folder, data_folder))))
        for spec, job in jobs:
            print(f"{spec.name}: {len(spec.voices)} voices, {job.get():.1f} h", flush=True)


class Corpus:
    """The utterances of one or several pools, by voice."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.voices: list[Voice] = []
        self.by_voice: list[list[Utterance]] = []
        self._pcm: list[npt.NDArray[np.int16]] = []
        for name in names:
            pcm = np.memmap(folder / f"{name}.pcm", dtype="<i2", mode="r")
            with (folder / f"{name}.index").open("rb") as stream:
                spec, utterances = pickle.load(stream)
            first = len(self.voices)
            self.voices += spec.voices
            self.by_voice += [[] for _ in spec.voices]
            self._pcm += [pcm] * len(spec.voices)
            for utterance in utterances:
                self.by_voice[first + utterance.voice].append(utterance)

    def samples(self, voice: int, utterance: Utterance) -> FloatArray:
        """The samples of an utterance of a voice, peak 1."""
        part = self._pcm[voice][utterance.offset : utterance.offset + utterance.length]
        return np.asarray(part.astype(np.float32) / np.float32(_LOUDEST * 32768), np.float32)
