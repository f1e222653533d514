"""What the networks might say about a conversation: local speech and embeddings, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CHUNK_S, STEP_S, N_FRAMES, FRAME_S = 10.0, 1.0, 589, 270 / 16_000


@dataclass(frozen=True)
class Case:
    """One conversation and how it is to be clustered."""

    name: str
    clustering: str
    seed: int
    n_voices: int = 3
    n_chunks: int = 40
    spread: float = 0.35  # how much the embeddings of a voice differ
    speech: float = 0.8  # how much of the time somebody speaks
    min_duration_off: float = 0.0
    num_speakers: int | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None


CASES = tuple(
    Case(f"{prefix}_{name}", clustering, **fields)
    for prefix, clustering in (("vbx", "VBxClustering"), ("ahc", "AgglomerativeClustering"))
    for name, fields in (
        ("plain", {"seed": 1}),
        ("close_voices", {"seed": 2, "spread": 1.2, "n_voices": 4}),
        ("gaps", {"seed": 3, "speech": 0.5, "min_duration_off": 0.5}),
        ("one_voice", {"seed": 4, "n_voices": 1}),
        ("sparse", {"seed": 5, "n_chunks": 12, "speech": 0.3}),
        ("long", {"seed": 6, "n_chunks": 150, "n_voices": 6, "spread": 0.8}),
        ("exactly_2", {"seed": 7, "n_voices": 4, "num_speakers": 2}),
        ("exactly_6", {"seed": 8, "n_voices": 3, "num_speakers": 6, "n_chunks": 90}),
        ("at_most_1", {"seed": 9, "max_speakers": 1}),
        ("at_most_2", {"seed": 10, "n_voices": 5, "max_speakers": 2}),
        ("at_least_5", {"seed": 11, "n_voices": 3, "min_speakers": 5, "n_chunks": 80}),
        ("between", {"seed": 12, "n_voices": 3, "min_speakers": 2, "max_speakers": 4}),
        ("many_voices", {"seed": 13, "n_voices": 12, "n_chunks": 200, "spread": 0.2}),
    )
)


def draw(case: Case) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Draw a case: local speech [C, 589, 3] of zeros and ones, embeddings [C, 3, 256]."""
    noise = np.random.RandomState(case.seed)
    n_total = round(((case.n_chunks - 1) * STEP_S + CHUNK_S) / FRAME_S) + 1
    timeline = np.zeros((n_total, case.n_voices), bool)
    place = noise.randint(20, 200)
    while place < n_total - 30:
        length = noise.randint(20, 260)
        if noise.uniform() < case.speech:
            timeline[place : place + length, noise.randint(case.n_voices)] = True
        place += length - noise.randint(0, 30)
    centres = noise.standard_normal((case.n_voices, 256))
    speech = np.zeros((case.n_chunks, N_FRAMES, 3), np.float32)
    embeddings = 0.01 * noise.standard_normal((case.n_chunks, 3, 256))
    for chunk in range(case.n_chunks):
        first = round(chunk * STEP_S / FRAME_S)
        part = timeline[first : first + N_FRAMES]
        loudest = [voice for voice in np.argsort(-part.sum(0), kind="stable")[:3] if part[:, voice].any()]
        for slot, voice in zip(noise.permutation(3), loudest, strict=False):
            speech[chunk, : len(part), slot] = part[:, voice]
            embeddings[chunk, slot] = centres[voice] + case.spread * noise.standard_normal(256)
    both = speech.sum(2) > 2
    speech[both, 2] = 0
    return speech, embeddings.astype(np.float32)
