"""Trains PyanNet: who of up to three local speakers speaks in each frame of ten seconds.

Which of them is called the first is of no matter, so the loss is that of the best of the six orders.

Source: Plaquet and Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker diarization".
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ifw.constants import SAMPLE_RATE
from ifw.diarize.segmentation import SegmentationNetwork
from ifw.diarize.sinc_net import N_BANDS, band_filters

from .chunks import Chunks
from .schedule import Schedule, report
from .sizes import SEGMENTATION

_BATCH: Final = 32
_PEAK_RATE: Final = 2e-3
_LOWEST_HZ: Final = 30.0
_ORDERS: Final = tuple(itertools.permutations(range(SEGMENTATION.n_speakers)))


def mel_bands() -> tuple[Tensor, Tensor]:
    """[40, 1] lower edges and [40, 1] widths of bands that are equally wide on the mel scale; they are not trained."""
    lowest, highest = (2595 * math.log10(1 + hertz / 700) for hertz in (_LOWEST_HZ, SAMPLE_RATE / 2 - 100))
    hertz = 700 * (10 ** (torch.linspace(lowest, highest, N_BANDS + 1) / 2595) - 1)
    return hertz[:-1, None], hertz.diff()[:, None]


def new_network() -> SegmentationNetwork:
    """A network to train. Its filters stay as they are, so no gradient has to go through them."""
    network = SegmentationNetwork(SEGMENTATION)
    network.sincnet.filters.data = band_filters(*mel_bands())
    network.sincnet.filters.requires_grad_(False)
    network.sincnet.wav_norm1d.requires_grad_(False)
    return network


def class_scores(network: SegmentationNetwork, samples: Tensor) -> Tensor:
    """[B, F, classes] of chunks [B, n]."""
    features, _ = network.lstm(network.sincnet(samples.unsqueeze(1)).transpose(1, 2))
    for linear in network.linear:
        features = F.leaky_relu(linear(features))
    scores: Tensor = network.classifier(features)
    return scores


def best_order_loss(scores: Tensor, speech: Tensor, sets: Tensor) -> Tensor:
    """The cross entropy per chunk, with local speakers in the order that gives the least.

    Args:
        scores: [B, F, classes].
        speech: [B, F, S] 1 where a speaker speaks.
        sets: [classes, S] the speakers of each class.

    Returns:
        [B].
    """
    log_shares = scores.float().log_softmax(2)
    losses = []
    for order in _ORDERS:
        labels = classes_of(speech[:, :, list(order)], sets)
        losses.append(-log_shares.gather(2, labels.unsqueeze(2)).squeeze(2).mean(1))
    return torch.stack(losses).amin(0)


def classes_of(speech: Tensor, sets: Tensor) -> Tensor:
    """[B, F] the class of each frame; where more speak than a class holds, the first of them."""
    at_most = sets.sum(1).max()
    speech = speech * (speech.cumsum(2) <= at_most)
    return (speech.unsqueeze(2) == sets).all(3).int().argmax(2)


def train_segmentation(chunk_folder: Path, names: list[str], output: Path, schedule: Schedule) -> None:
    """Train, and write the weights to `output`."""
    torch.manual_seed(schedule.seed)
    network = new_network().train()
    sets = network.sets
    sources = [Chunks(chunk_folder, name) for name in names]
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, _PEAK_RATE, (0.9, 0.98), weight_decay=0.01)
    for step, rows in schedule.batches(sum(map(len, sources)), _BATCH):
        for group in optimiser.param_groups:
            group["lr"] = _PEAK_RATE * schedule.share(step)
        samples, speech = _batch(sources, rows)
        loss = best_order_loss(class_scores(network, samples), speech, sets).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call] # torch has no type for it
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % 100 == 0 or step == schedule.n_steps - 1:
            report("segmentation", step, schedule, f"loss {loss.item():.3f}")
        if step % 500 == 499 or step == schedule.n_steps - 1:
            torch.save(network.state_dict(), output)


def _batch(sources: list[Chunks], rows: list[int]) -> tuple[Tensor, Tensor]:
    parts = [pick(sources, row) for row in rows]
    samples = np.stack([chunks.samples[row] for chunks, row in parts]).astype(np.float32) / np.float32(32768)
    speech = np.stack([chunks.speech[row] for chunks, row in parts])
    return torch.from_numpy(samples), torch.from_numpy(speech)


def pick(sources: list[Chunks], row: int) -> tuple[Chunks, int]:
    """The set, and the row within it, of a row of all sets together."""
    for chunks in sources:
        if row < len(chunks):
            return chunks, row
        row -= len(chunks)
    raise IndexError(row)
