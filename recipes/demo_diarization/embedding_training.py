"""Trains WeSpeaker's ResNet34 to tell training voices apart, from chunks of conversations as it will hear them.

Source: Deng et al. 2019, "ArcFace: additive angular margin loss for deep face recognition".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifw.diarize.embedding import ResNet
from ifw.diarize.filter_bank import FilterBank

from .chunks import NOBODY, Stretches, cut_chunks
from .schedule import Schedule, report
from .sizes import EMBEDDING, N_FRAMES
from .speech import FloatArray
from .team import Halt, Team
from .voices import Voice, standardised

_BATCH: Final = 32  # chunks; nearly two speakers each
_WHOLE_BATCH: Final = 20
_WHOLE_FROM: Final = 0.8  # of the steps
_PART_FRAMES: Final = 59  # two seconds
_WHOLE_FRAMES: Final = 140  # nearly all: of all 145, torch 2.13's convolutions in bfloat16 write where they must not
_MARGIN_FROM, _MARGIN_FULL = 0.4, 0.7  # of the steps
_PEAK_RATE: Final = 2e-3
_SCALE: Final = 30.0
_MARGIN: Final = 0.2
_MIN_FRAMES: Final = 15  # half a second
_TRAITS_WEIGHT: Final = 10.0
_TINY: Final = 1e-8
IntArray = npt.NDArray[np.int64]


class MarginClassifier(nn.Module):
    """Scores of all training voices by the angle to their centres, and a margin for the right one."""

    def __init__(self, width: int, n_voices: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(0.05 * torch.randn(n_voices, width))

    def forward(self, embeddings: Tensor, voices: Tensor, margin: float) -> tuple[Tensor, Tensor]:
        """The loss of [n, D] embeddings of [n] voices, and the share that was told right without the margin."""
        cosines = F.linear(F.normalize(embeddings), F.normalize(self.centres))
        right = cosines.gather(1, voices[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        shifted = torch.where(
            right > math.cos(math.pi - margin), torch.cos(right.acos() + margin), right - margin * math.sin(margin)
        )
        scores = _SCALE * cosines.scatter(1, voices[:, None], shifted)
        share = (cosines.argmax(1) == voices).float().mean()
        return F.cross_entropy(scores, voices), share


class Teacher(nn.Module):
    """What the embeddings are asked for in training: whose voice, which variant, and its traits.

    Traits are what the synthesiser was told. They say how voices resemble each other, which the names do not.

    Args:
        voices: The training voices.
        described: [voices, traits], standardised.
    """

    def __init__(self, voices: Sequence[Voice], described: Tensor) -> None:
        super().__init__()
        variants = sorted({voice.variant for voice in voices})
        # Without it all embeddings begin in the same direction.
        self.norm = nn.BatchNorm1d(EMBEDDING.width, affine=False)
        self.whose = MarginClassifier(EMBEDDING.width, len(voices))
        self.variant = nn.Linear(EMBEDDING.width, len(variants))
        self.traits = nn.Linear(EMBEDDING.width, described.shape[1])
        self.register_buffer("_traits", described)
        self.register_buffer("_variants", torch.tensor([variants.index(voice.variant) for voice in voices]))
        self._traits: Tensor
        self._variants: Tensor

    def forward(self, embeddings: Tensor, voices: Tensor, margin: float) -> tuple[Tensor, Tensor]:
        """The loss of [n, D] embeddings of [n] voices, and the share whose voice was told right."""
        normed = self.norm(embeddings)
        loss, share = self.whose(normed, voices, margin)
        loss = loss + F.cross_entropy(self.variant(normed), self._variants[voices])
        return loss + _TRAITS_WEIGHT * F.smooth_l1_loss(self.traits(normed), self._traits[voices]), share


@dataclass(frozen=True, slots=True)
class Views:
    """What of some chunks is heard.

    Attributes:
        rows: [n] the chunk of each.
        first: [n] the first frame.
        weights: [n, F] 1 for the frames that count.
        voices: [n] whose they are.
    """

    rows: IntArray
    first: IntArray
    weights: FloatArray
    voices: IntArray


def draw_views(
    rng: np.random.Generator, speech: npt.NDArray[np.uint8], voices: npt.NDArray[np.int32], n_frames: int
) -> Views:
    """Choose what to embed: everybody who speaks alone for long enough, in a part of the chunk.

    Args:
        rng: Source of randomness.
        speech: [B, F, S].
        voices: [B, S].
        n_frames: Length of the part.
    """
    alone = speech * (speech.sum(2, keepdims=True) == 1)
    rows, first, weights, owners = [], [], [], []
    for row, speaker in zip(*np.nonzero((voices != NOBODY) & (alone.sum(1) >= _MIN_FRAMES)), strict=True):
        spoken = np.flatnonzero(alone[row, :, speaker])
        begin = int(np.clip(rng.choice(spoken) - n_frames // 2, 0, N_FRAMES - n_frames))
        weight = alone[row, begin : begin + n_frames, speaker]
        if weight.sum() < _MIN_FRAMES:
            continue
        rows.append(row)
        first.append(begin)
        weights.append(weight)
        owners.append(voices[row, speaker])
    return Views(
        np.array(rows, np.int64),
        np.array(first, np.int64),
        np.array(weights, np.float32).reshape(-1, n_frames),
        np.array(owners, np.int64),
    )


def embed(network: ResNet, energies: Tensor, views: Views) -> Tensor:
    """Embed what is heard.

    Args:
        network: The network, in training.
        energies: [B, frames, n_mels] less their mean over the chunk.
        views: What is heard.

    Returns:
        [n, D].
    """
    ratio = energies.shape[1] / N_FRAMES
    length = round(views.weights.shape[1] * ratio)
    starts = np.minimum(np.round(views.first * ratio).astype(np.int64), energies.shape[1] - length)
    heard = [energies[row, start : start + length] for row, start in zip(views.rows, starts, strict=True)]
    with torch.autocast("cpu", torch.bfloat16):
        features = network.trunk(torch.stack(heard))
    weights = F.interpolate(torch.from_numpy(views.weights)[:, None], features.shape[2], mode="nearest")
    total = weights.sum(2) + _TINY
    mean = (features * weights).sum(2) / total
    spread = ((features - mean[:, :, None]).square() * weights).sum(2)
    variance = spread / (total - weights.square().sum(2) / total + _TINY)
    # The network at work takes the root of zero; here it would have no slope.
    statistics = torch.cat([mean, variance.clamp_min(_TINY).sqrt()], 1)
    return F.linear(statistics, network.seg_1.weight, network.seg_1.bias)


def with_norm(network: ResNet, norm: nn.BatchNorm1d) -> dict[str, Tensor]:
    """The weights with a norm of the embeddings folded into the last layer."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    scale = (norm.running_var + norm.eps).rsqrt()
    state["seg_1.weight"] *= scale[:, None]
    state["seg_1.bias"] = (state["seg_1.bias"] - norm.running_mean) * scale
    return state


def train_embedding(
    voices: Sequence[Voice],
    described: Sequence[Sequence[float]],
    chunk_folder: Path,
    names: Sequence[str],
    *,
    output: Path,
    schedule: Schedule,
    team: Team,
) -> None:
    """Train, and write the weights to `output`.

    The last steps hear nearly whole chunks, those before two seconds of them.
    """
    torch.manual_seed(schedule.seed)
    rng = np.random.default_rng([schedule.seed, team.rank])
    sources = [Stretches(chunk_folder, name) for name in names]
    network, teacher = ResNet(EMBEDDING).train(), Teacher(voices, standardised(described))
    for name, parameter in network.named_parameters():
        if name.endswith("bn2.weight"):
            nn.init.zeros_(parameter)  # blocks begin as if they were not there
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch leaves it out
    filter_bank = FilterBank(EMBEDDING.n_mels, torch.device("cpu"))
    parameters = [*network.parameters(), *teacher.parameters()]
    optimiser = torch.optim.AdamW(parameters, _PEAK_RATE, (0.9, 0.98), weight_decay=0.02)
    halt = Halt(output.with_suffix(".halt"), {"network": network, "teacher": teacher, "optimiser": optimiser})
    losses = []
    for step, rows in schedule.batches(sum(map(len, sources)), _BATCH, halt.restore()):
        done = step / schedule.n_steps
        for group in optimiser.param_groups:
            group["lr"] = _PEAK_RATE * schedule.share(step)
        is_whole = done > _WHOLE_FROM
        batch = cut_chunks(rng, sources, team.part(rows[: _WHOLE_BATCH if is_whole else _BATCH]))
        views = draw_views(rng, batch.speech, batch.voices, _WHOLE_FRAMES if is_whole else _PART_FRAMES)
        energies = filter_bank(torch.from_numpy(batch.samples))
        embeddings = embed(network, energies - energies.mean(1, keepdim=True), views)
        margin = _MARGIN * min(1.0, max(0.0, (done - _MARGIN_FROM) / (_MARGIN_FULL - _MARGIN_FROM)))
        loss, share = teacher(embeddings, torch.from_numpy(views.voices), margin)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        team.average(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        losses.append((loss.item(), share.item()))
        if team.rank == 0 and schedule.is_stop(step, 50):
            mean = np.mean(losses[-50:], 0)
            how = f"loss {mean[0]:.3f}, voices told right {mean[1]:.1%}, margin {margin:.2f}"
            report("embedding", step, schedule, how)
        if team.rank == 0 and schedule.is_stop(step, 250):
            torch.save(with_norm(network, teacher.norm), output)
            halt.keep(step + 1)
