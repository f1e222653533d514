"""Trains PyanNet: who of up to three local speakers speaks in each frame of five seconds.

Which of them is called the first is of no matter, so the loss is that of the best of the six orders. Besides, wherever
one speaks alone, the recurrent layers are asked for the traits of that voice, which they need to tell voices apart.

Source: Plaquet and Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker diarization".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ifw.constants import SAMPLE_RATE
from ifw.diarize.segmentation import SegmentationNetwork
from ifw.diarize.sinc_net import N_BANDS, band_filters

from .chunks import Stretches, cut_chunks
from .schedule import Schedule, report
from .sizes import SEGMENTATION
from .team import Halt, Team
from .voices import standardised

_BATCH: Final = 96  # chunks
_TRAITS_WEIGHT: Final = 2.0
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


def heard_features(network: SegmentationNetwork, samples: Tensor) -> Tensor:
    """[B, F, 2 * lstm_width] what the recurrent layers make of chunks [B, n]."""
    heard = network.sincnet(samples.unsqueeze(1)).transpose(1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        features: Tensor = network.lstm(heard)[0]
    return features.float()


def class_scores(network: SegmentationNetwork, features: Tensor) -> Tensor:
    """[B, F, classes] of features [B, F, 2 * lstm_width]."""
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


def alone_traits(speech: Tensor, voices: Tensor, described: Tensor) -> tuple[Tensor, Tensor]:
    """Where one speaks alone, and with what voice.

    Args:
        speech: [B, F, S].
        voices: [B, S], `NOBODY` where there is none.
        described: [voices, traits].

    Returns:
        [B, F] bool, and [n, traits] of its true places.
    """
    is_alone = speech.sum(2) == 1
    owners = voices.gather(1, speech.argmax(2))[is_alone]
    return is_alone, described[owners]


def train_segmentation(
    described: Sequence[Sequence[float]],
    chunk_folder: Path,
    names: Sequence[str],
    *,
    output: Path,
    schedule: Schedule,
    team: Team,
) -> None:
    """Train, and write the weights to `output`."""
    torch.manual_seed(schedule.seed)
    rng = np.random.default_rng([schedule.seed, team.rank])
    network = new_network().train()
    known = standardised(described)
    head = torch.nn.Linear(network.lstm.hidden_size * 2, known.shape[1])
    sources = [Stretches(chunk_folder, name) for name in names]
    parameters = [one for one in [*network.parameters(), *head.parameters()] if one.requires_grad]
    optimiser = torch.optim.AdamW(parameters, _PEAK_RATE, (0.9, 0.98), weight_decay=0.01)
    halt = Halt(output.with_suffix(".halt"), {"network": network, "head": head, "optimiser": optimiser})
    losses = []
    for step, rows in schedule.batches(sum(map(len, sources)), _BATCH, halt.restore()):
        for group in optimiser.param_groups:
            group["lr"] = _PEAK_RATE * schedule.share(step)
        batch = cut_chunks(rng, sources, team.part(rows))
        speech = torch.from_numpy(batch.speech)
        features = heard_features(network, torch.from_numpy(batch.samples))
        told = best_order_loss(class_scores(network, features), speech, network.sets).mean()
        is_alone, traits = alone_traits(speech, torch.from_numpy(batch.voices).long(), known)
        loss = told + _TRAITS_WEIGHT * F.smooth_l1_loss(head(features[is_alone]), traits)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call] # torch has no type for it
        team.average(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        losses.append((told.item(), loss.item()))
        if team.rank == 0 and schedule.is_stop(step, 50):
            mean = np.mean(losses[-50:], 0)
            report("segmentation", step, schedule, f"loss {mean[0]:.3f}, with traits {mean[1]:.3f}")
        if team.rank == 0 and schedule.is_stop(step, 250):
            torch.save(network.state_dict(), output)
            halt.keep(step + 1)
