"""Chooses how voices are clustered: the settings with the fewest errors on conversations of validation voices."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from ifw.config import DiarizationOptions
from ifw.constants import SAMPLE_RATE
from ifw.diarize.assembly import Assembler
from ifw.diarize.listener import Listener
from ifw.diarize.networks import build_embedding, build_segmentation
from ifw.diarize.pipeline_config import AgglomerativeSettings, ModelPlace, VbxSettings
from ifw.diarize.plda import Plda
from ifw.diarize.weights_file import read_network
from ifw.evaluation.speaker_errors import SpeakerErrors, count_speaker_errors

from .chunks import NOBODY, Stretches, cut_chunks
from .export import STEP_RATIO
from .testset import Conversation, Kind

COLLAR_S: Final = 0.25
_BATCH: Final = 8
_MIN_ALONE_FRAMES: Final = 40
_PLDA_PLACE: Final = ModelPlace("plda")
Settings = AgglomerativeSettings | VbxSettings


def load_listener(folder: Path, step_ratio: float = STEP_RATIO) -> Listener:
    """The exported networks at work."""
    return Listener(
        build_segmentation(read_network(folder / "segmentation")),
        build_embedding(read_network(folder / "embedding")),
        step_ratio=step_ratio,
        exclude_overlap=True,
        device=torch.device("cpu"),
        dtype=torch.float32,
        batch_size=_BATCH,
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """A conversation, and what the networks hear in it: [C, F, S] speech and [C, S, D] embeddings."""

    conversation: Conversation
    speech: npt.NDArray[np.uint8]
    embeddings: npt.NDArray[np.float32]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.conversation.samples) / SAMPLE_RATE


def hear(listener: Listener, conversation: Conversation) -> Heard:
    """Let the networks hear a conversation."""
    chunk, step, samples = listener.chunk_samples, listener.step_samples, conversation.samples
    n_chunks = 1 + max(0, -(-(len(samples) - chunk) // step))
    padded = np.zeros(chunk + (n_chunks - 1) * step, np.float32)
    padded[: len(samples)] = samples
    speech, embeddings = [], []
    for first in range(0, n_chunks, _BATCH):
        last = min(n_chunks, first + _BATCH) - 1
        found = listener.hear(padded[first * step : last * step + chunk])
        speech.append(found[0])
        embeddings.append(found[1])
    return Heard(conversation, np.concatenate(speech), np.concatenate(embeddings))


def known_embeddings(
    listener: Listener, chunk_folder: Path, name: str, n_chunks: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """[n, D] embeddings of those who really speak, and [n] whose they are."""
    rng = np.random.default_rng(0)
    stretches = Stretches(chunk_folder, name)
    embeddings, voices = [], []
    for row in range(min(n_chunks, len(stretches))):
        chunk = cut_chunks(rng, [stretches], [row])
        alone = (chunk.speech * (chunk.speech.sum(2, keepdims=True) == 1)).sum(1)[0]
        owned = (alone >= _MIN_ALONE_FRAMES) & (chunk.voices[0] != NOBODY)
        if owned.any():
            found = listener.embed(torch.from_numpy(chunk.samples[0]), torch.from_numpy(chunk.speech))
            embeddings.append(found[0].numpy()[owned])
            voices.append(chunk.voices[0][owned])
    return np.concatenate(embeddings), np.concatenate(voices).astype(np.int64)


def candidates() -> Iterable[Settings]:
    """The settings to try."""
    for threshold, size in itertools.product((0.6, 0.7, 0.8, 0.9, 1.0, 1.1), (2, 4, 8)):
        yield AgglomerativeSettings(threshold, size)
    for threshold, sharpness, thrift in itertools.product((0.5, 0.7, 0.9), (0.03, 0.07, 0.15, 0.3), (0.4, 0.8, 2, 5)):
        yield VbxSettings(threshold, sharpness, thrift, _PLDA_PLACE)


def measure(
    listener: Listener,
    heard: Iterable[Heard],
    settings: Settings,
    plda: Plda,
    min_duration_off_s: float,
    *,
    is_given: bool,
) -> dict[Kind, SpeakerErrors]:
    """The errors by kind of conversation, with the number of speakers given or not."""
    assembler = Assembler(listener.grid, settings, plda, min_duration_off_s, votes_by_margin=True)
    errors: dict[Kind, SpeakerErrors] = {}
    for one in heard:
        kind = one.conversation.kind
        options = DiarizationOptions(num_speakers=kind.n_speakers if is_given else None)
        found = assembler.assemble(one.speech, one.embeddings, options, one.duration_s)
        counted = count_speaker_errors(one.conversation.turns, found.turns, COLLAR_S)
        errors[kind] = errors.get(kind, SpeakerErrors()) + counted
    return errors


def mean_rate(errors: dict[Kind, SpeakerErrors]) -> float:
    """The mean of the rates; those that no goal is about count half."""
    rates = [one.rate or 0.0 for one in errors.values()]
    weights = [1.0 if kind.is_goal else 0.5 for kind in errors]
    return float(np.average(rates, weights=weights))


def choose_settings(listener: Listener, heard: Sequence[Heard], plda: Plda) -> tuple[Settings, float, list[str]]:
    """Try all; returns the best, its rate (the mean with the count given and without), and a report."""
    tried = []
    for settings in candidates():
        rates = [mean_rate(measure(listener, heard, settings, plda, 0.0, is_given=given)) for given in (True, False)]
        tried.append((sum(rates) / 2, rates, settings))
    tried.sort(key=lambda one: one[0])
    lines = [f"{rate:.1%} (given {rates[0]:.1%}, not given {rates[1]:.1%}) {one}" for rate, rates, one in tried]
    return tried[0][2], tried[0][0], lines
