"""What the networks are trained on: stretches of ten seconds on disk with who speaks in them, and chunks cut out."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from recipes.demo_model.espeak import SAMPLE_RATE

from .acoustics import Cast, Surroundings, mix
from .conversations import Manner, Said, converse
from .sizes import N_FRAMES, N_STRETCH_FRAMES, SEGMENTATION, SINC_NET, STRETCH_SAMPLES
from .speech import CALIBRATION_POOL, TRAINING_POOLS, Corpus, FloatArray

N_LOCAL: Final = SEGMENTATION.n_speakers
_SPEAKER_SHARES: Final = (0.14, 0.36, 0.3, 0.2)  # of conversations of one, two, three and four
_MOST_SPEAKERS: Final = len(_SPEAKER_SHARES)
NOBODY: Final = -1
TRAINING_SETS: Final = tuple(f"train{part}" for part in range(4))
CALIBRATION_SET: Final = "calibration"
_CONVERSATION_S: Final = 19.0
_STRETCHES_A_CONVERSATION: Final = 2
_SAME_VARIANT_SHARE: Final = 0.12  # conversations of voices that are hard to tell apart
_CUT_OFF_SHARE: Final = 0.12  # stretches that end in zeros, as the last of a file does
_EMPTY_SHARE: Final = 0.02


def active_frames(said: Sequence[Said], n_speakers: int, from_s: float) -> npt.NDArray[np.bool_]:
    """[F, n_speakers] who speaks in the middle of each frame of a stretch that begins at `from_s`."""
    middles = from_s + (SINC_NET.frame_samples / 2 + SINC_NET.step_samples * np.arange(N_STRETCH_FRAMES)) / SAMPLE_RATE
    active = np.zeros((N_STRETCH_FRAMES, n_speakers), bool)
    for one in said:
        active[:, one.speaker] |= (middles >= one.start_s) & (middles < one.end_s)
    return active


class Stretches:
    """Stretches on disk, as memory maps.

    Attributes:
        samples: [N, n] int16.
        speech: [N, F, 4] uint8, 1 where somebody speaks.
        voices: [N, 4] int32, the voice of each; `NOBODY` where there is none.
    """

    def __init__(self, folder: Path, name: str, n_new: int | None = None) -> None:
        about = folder / f"{name}.json"
        if n_new is not None:
            about.write_text(json.dumps({"stretches": n_new}), encoding="ascii")
        n_stretches = json.loads(about.read_text(encoding="ascii"))["stretches"]
        mode: Literal["r", "w+"] = "r" if n_new is None else "w+"
        shape = (n_stretches, STRETCH_SAMPLES)
        self.samples = np.memmap(folder / f"{name}.samples", np.int16, mode, shape=shape)
        self.speech = np.memmap(
            folder / f"{name}.speech", np.uint8, mode, shape=(n_stretches, N_STRETCH_FRAMES, _MOST_SPEAKERS)
        )
        self.voices = np.memmap(folder / f"{name}.voices", np.int32, mode, shape=(n_stretches, _MOST_SPEAKERS))

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, slots=True)
class ChunkBatch:
    """Chunks cut out of stretches.

    Attributes:
        samples: [B, n] float32.
        speech: [B, F, 3] uint8, 1 where a local speaker speaks.
        voices: [B, 3] int32, the voice of each; `NOBODY` where there is none.
    """

    samples: FloatArray
    speech: npt.NDArray[np.uint8]
    voices: npt.NDArray[np.int32]


def cut_chunks(rng: np.random.Generator, sources: Sequence[Stretches], rows: Sequence[int]) -> ChunkBatch:
    """Cut a chunk out of each stretch, anywhere; of those who speak in it, the three who speak most count.

    Args:
        rng: Source of randomness.
        sources: The stretches.
        rows: Which to take; numbers over all sources.
    """
    last = min(N_STRETCH_FRAMES - N_FRAMES, (STRETCH_SAMPLES - SEGMENTATION.chunk_samples) // SINC_NET.step_samples)
    samples, speech, voices = [], [], []
    for row in rows:
        stretches, index = _pick(sources, row)
        first = int(rng.integers(last + 1))
        start = first * SINC_NET.step_samples
        samples.append(stretches.samples[index, start : start + SEGMENTATION.chunk_samples])
        active, owners = stretches.speech[index, first : first + N_FRAMES], stretches.voices[index]
        order = np.argsort(-active.sum(0, dtype=np.int64), kind="stable")[:N_LOCAL]
        speech.append(active[:, order])
        voices.append(np.where(active[:, order].any(0), owners[order], NOBODY))
    return ChunkBatch(np.stack(samples).astype(np.float32) / np.float32(32768), np.stack(speech), np.stack(voices))


def _pick(sources: Sequence[Stretches], row: int) -> tuple[Stretches, int]:
    for stretches in sources:
        if row < len(stretches):
            return stretches, row
        row -= len(stretches)
    raise IndexError(row)


@dataclass(frozen=True, slots=True)
class StretchSpec:
    """A set of stretches.

    Attributes:
        name: File stem.
        pools: The pools of utterances.
        n_conversations: So many are drawn.
        seed: Their seed.
    """

    name: str
    pools: tuple[str, ...]
    n_conversations: int
    seed: int


def stretch_specs(seed: int, n_conversations: int) -> list[StretchSpec]:
    """All sets of the recipe. The training set is in parts, so that several processes make it."""
    share = n_conversations // len(TRAINING_SETS)
    return [
        *(StretchSpec(name, TRAINING_POOLS, share, seed + 111 + part) for part, name in enumerate(TRAINING_SETS)),
        StretchSpec(CALIBRATION_SET, (CALIBRATION_POOL,), 1500, seed + 14),
        StretchSpec("validation", ("validation",), 200, seed + 13),
    ]


def choose_voices(rng: np.random.Generator, corpus: Corpus) -> list[int]:
    """Draw who converses."""
    n_speakers = min(1 + int(rng.choice(len(_SPEAKER_SHARES), p=_SPEAKER_SHARES)), len(corpus.voices))
    if rng.random() < _SAME_VARIANT_SHARE:
        first = int(rng.integers(len(corpus.voices)))
        variant = corpus.voices[first].variant
        others = [number for number, voice in enumerate(corpus.voices) if voice.variant == variant and number != first]
        rng.shuffle(others)
        return [first, *others][:n_speakers]
    return [int(voice) for voice in rng.choice(len(corpus.voices), n_speakers, replace=False)]


def write_stretches(spec: StretchSpec, corpus_folder: Path, folder: Path) -> int:
    """Draw conversations and write stretches of them; returns how many."""
    corpus = Corpus(corpus_folder, spec.pools)
    stretches = Stretches(folder, f"{spec.name}.partial", spec.n_conversations * _STRETCHES_A_CONVERSATION)
    for conversation in range(spec.n_conversations):
        rng = np.random.default_rng([spec.seed, conversation])
        voices = choose_voices(rng, corpus)
        said = converse(rng, [corpus.by_voice[voice] for voice in voices], _CONVERSATION_S, Manner())
        if rng.random() < _EMPTY_SHARE:
            said = []
        samples = mix(rng, said, Cast(corpus, tuple(voices)), _CONVERSATION_S + 1, Surroundings())
        for part in range(_STRETCHES_A_CONVERSATION):
            from_s = rng.uniform(0, 1.5) if part == 0 else rng.uniform(5, 10)
            row = conversation * _STRETCHES_A_CONVERSATION + part
            stretches.samples[row], stretches.speech[row], stretches.voices[row] = _cut(
                rng, samples, said, voices, from_s
            )
    for array in (stretches.samples, stretches.speech, stretches.voices):
        array.flush()
    for file in folder.glob(f"{spec.name}.partial.*"):
        file.rename(folder / f"{spec.name}{file.suffix}")
    return len(stretches)


def _cut(
    rng: np.random.Generator, samples: FloatArray, said: Sequence[Said], voices: Sequence[int], from_s: float
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """The samples of a stretch, who speaks, and whose voices these are."""
    start = round(from_s * SAMPLE_RATE)
    part = samples[start : start + STRETCH_SAMPLES].copy()
    active = active_frames(said, len(voices), from_s)
    if rng.random() < _CUT_OFF_SHARE:
        end_s = rng.uniform(0.5, 9.5)
        part[round(end_s * SAMPLE_RATE) :] = 0
        active[max(0, round((end_s * SAMPLE_RATE - SINC_NET.frame_samples / 2) / SINC_NET.step_samples)) :] = False
    speech = np.zeros((N_STRETCH_FRAMES, _MOST_SPEAKERS), bool)
    speech[:, : len(voices)] = active
    owners = np.full(_MOST_SPEAKERS, NOBODY, np.int32)
    owners[: len(voices)] = np.where(active.any(0), voices, NOBODY)
    return (part * 32767).astype(np.int16), speech, owners


def render(corpus_folder: Path, folder: Path, specs: Sequence[StretchSpec], processes: int) -> None:
    """Write those stretches that are not on disk yet."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [spec for spec in specs if not (folder / f"{spec.name}.json").exists()]
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as workers:
        jobs = [(spec, workers.apply_async(write_stretches, (spec, corpus_folder, folder))) for spec in missing]
        for spec, job in jobs:
            print(f"{spec.name}: {job.get()} stretches", flush=True)
