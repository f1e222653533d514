"""What the networks are trained on: chunks of ten seconds with who speaks in them, on disk."""

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
from .sizes import N_FRAMES, SEGMENTATION, SINC_NET
from .speech import Corpus, FloatArray

N_LOCAL: Final = SEGMENTATION.n_speakers
NOBODY: Final = -1
_CONVERSATION_S: Final = 19.0
_CHUNKS_A_CONVERSATION: Final = 2
_SPEAKER_SHARES: Final = (0.14, 0.4, 0.3, 0.16)  # of conversations of one, two, three and four
_SAME_VARIANT_SHARE: Final = 0.12  # conversations of voices that are hard to tell apart
_CUT_OFF_SHARE: Final = 0.12  # chunks that end in zeros, as the last of a file does
_EMPTY_SHARE: Final = 0.02


def active_frames(said: Sequence[Said], n_speakers: int, from_s: float) -> npt.NDArray[np.bool_]:
    """[F, n_speakers] who speaks in the middle of each frame of a chunk that begins at `from_s`."""
    middles = from_s + (SINC_NET.frame_samples / 2 + SINC_NET.step_samples * np.arange(N_FRAMES)) / SAMPLE_RATE
    active = np.zeros((N_FRAMES, n_speakers), bool)
    for one in said:
        active[:, one.speaker] |= (middles >= one.start_s) & (middles < one.end_s)
    return active


class Chunks:
    """Chunks on disk, as memory maps.

    Attributes:
        samples: [N, n] int16.
        speech: [N, F, 3] uint8, 1 where a local speaker speaks.
        voices: [N, 3] int32, the voice of each; `NOBODY` where there is none.
    """

    def __init__(self, folder: Path, name: str, n_new: int | None = None) -> None:
        about = folder / f"{name}.json"
        if n_new is not None:
            about.write_text(json.dumps({"chunks": n_new}), encoding="ascii")
        n_chunks = json.loads(about.read_text(encoding="ascii"))["chunks"]
        mode: Literal["r", "w+"] = "r" if n_new is None else "w+"
        shape = (n_chunks, SEGMENTATION.chunk_samples)
        self.samples = np.memmap(folder / f"{name}.samples", np.int16, mode, shape=shape)
        self.speech = np.memmap(folder / f"{name}.speech", np.uint8, mode, shape=(n_chunks, N_FRAMES, N_LOCAL))
        self.voices = np.memmap(folder / f"{name}.voices", np.int32, mode, shape=(n_chunks, N_LOCAL))

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, slots=True)
class ChunkSpec:
    """A set of chunks.

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


def chunk_specs(seed: int, n_conversations: int) -> list[ChunkSpec]:
    """All sets of the recipe. The training set is halved, so that two processes make it."""
    train = ("train0", "train1")
    return [
        ChunkSpec("train0", train, n_conversations // 2, seed + 11),
        ChunkSpec("train1", train, n_conversations // 2, seed + 12),
        ChunkSpec("validation", ("validation",), 200, seed + 13),
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


def write_chunks(spec: ChunkSpec, corpus_folder: Path, folder: Path) -> int:
    """Draw conversations and write chunks of them; returns how many."""
    corpus = Corpus(corpus_folder, spec.pools)
    chunks = Chunks(folder, f"{spec.name}.partial", spec.n_conversations * _CHUNKS_A_CONVERSATION)
    for conversation in range(spec.n_conversations):
        rng = np.random.default_rng([spec.seed, conversation])
        voices = choose_voices(rng, corpus)
        said = converse(rng, [corpus.by_voice[voice] for voice in voices], _CONVERSATION_S, Manner())
        if rng.random() < _EMPTY_SHARE:
            said = []
        samples = mix(rng, said, Cast(corpus, tuple(voices)), _CONVERSATION_S + 1, Surroundings())
        for part in range(_CHUNKS_A_CONVERSATION):
            from_s = rng.uniform(0, 1.5) if part == 0 else rng.uniform(5, 10)
            row = conversation * _CHUNKS_A_CONVERSATION + part
            chunks.samples[row], chunks.speech[row], chunks.voices[row] = _cut(rng, samples, said, voices, from_s)
    for array in (chunks.samples, chunks.speech, chunks.voices):
        array.flush()
    for file in folder.glob(f"{spec.name}.partial.*"):
        file.rename(folder / f"{spec.name}{file.suffix}")
    return len(chunks)


def _cut(
    rng: np.random.Generator, samples: FloatArray, said: Sequence[Said], voices: Sequence[int], from_s: float
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """The samples of a chunk, who speaks, and whose voices these are: of the three who speak most."""
    start = round(from_s * SAMPLE_RATE)
    part = samples[start : start + SEGMENTATION.chunk_samples].copy()
    active = active_frames(said, len(voices), from_s)
    if rng.random() < _CUT_OFF_SHARE:
        end_s = rng.uniform(0.5, 9.5)
        part[round(end_s * SAMPLE_RATE) :] = 0
        active[max(0, round((end_s * SAMPLE_RATE - SINC_NET.frame_samples / 2) / SINC_NET.step_samples)) :] = False
    order = np.argsort(-active.sum(0), kind="stable")[:N_LOCAL]
    order = order[active[:, order].any(0)]
    speech, owners = np.zeros((N_FRAMES, N_LOCAL), bool), np.full(N_LOCAL, NOBODY, np.int32)
    speech[:, : len(order)] = active[:, order]
    owners[: len(order)] = [voices[speaker] for speaker in order]
    return (part * 32767).astype(np.int16), speech, owners


def render(corpus_folder: Path, folder: Path, specs: Sequence[ChunkSpec], processes: int) -> None:
    """Write those chunks that are not on disk yet."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [spec for spec in specs if not (folder / f"{spec.name}.json").exists()]
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as workers:
        jobs = [(spec, workers.apply_async(write_chunks, (spec, corpus_folder, folder))) for spec in missing]
        for spec, job in jobs:
            print(f"{spec.name}: {job.get()} chunks", flush=True)
