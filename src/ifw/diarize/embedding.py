"""WeSpeaker's ResNet34: a vector for each local speaker of a chunk, close for the same voice.

The convolutions hear a chunk once. Who is meant enters only behind them, as weights of the frames that are pooled.

Source: Wang et al. 2023, "WeSpeaker: a research and production oriented speaker embedding learning toolkit".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_N_BLOCKS: Final = (3, 4, 6, 3)
_EPSILON: Final = 1e-8


@dataclass(frozen=True, slots=True)
class EmbeddingDims:
    """The sizes of one embedding network.

    Attributes:
        n_mels: Bands of the filter bank.
        n_channels: Channels of the first layers; each of the next three groups has twice as many.
        width: Length of an embedding.
    """

    n_mels: int
    n_channels: int
    width: int


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, n_inputs: int, n_outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.Conv2d(n_inputs, n_outputs, 3, stride, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(n_outputs)
        self.conv2: nn.Module = nn.Conv2d(n_outputs, n_outputs, 3, 1, 1, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(n_outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_inputs != n_outputs:
            self.shortcut.append(nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(n_outputs))

    def forward(self, features: Tensor) -> Tensor:
        """[B, inputs, bands, frames] to [B, outputs, bands / stride, frames / stride]."""
        inner = F.relu_(self.bn1(self.conv1(features)))
        return F.relu_(self.bn2(self.conv2(inner)).add_(self.shortcut(features)))

    def fuse(self) -> None:
        """Fold the batch norms into the convolutions before them."""
        self.conv1, self.bn1 = _fused(self.conv1, self.bn1), nn.Identity()
        self.conv2, self.bn2 = _fused(self.conv2, self.bn2), nn.Identity()
        if len(self.shortcut):
            self.shortcut = nn.Sequential(_fused(*self.shortcut))


class ResNet(nn.Module):
    """The network behind the filter bank."""

    def __init__(self, dims: EmbeddingDims) -> None:
        super().__init__()
        self.dims = dims
        self.conv1: nn.Module = nn.Conv2d(1, dims.n_channels, 3, 1, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(dims.n_channels)
        width, groups = dims.n_channels, []
        for index, n_blocks in enumerate(_N_BLOCKS):
            n_outputs = dims.n_channels * 2**index
            strides = [1 if index == 0 else 2] + [1] * (n_blocks - 1)
            blocks = []
            for stride in strides:
                blocks.append(ResidualBlock(width, n_outputs, stride))
                width = n_outputs
            groups.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = groups
        self.seg_1 = nn.Linear(2 * (dims.n_mels // 8) * width, dims.width)

    @property
    def blocks(self) -> list[ResidualBlock]:
        """All blocks, in order."""
        return [module for module in self.modules() if isinstance(module, ResidualBlock)]

    def fuse(self) -> None:
        """Fold all batch norms into convolutions; only for inference."""
        self.conv1, self.bn1 = _fused(self.conv1, self.bn1), nn.Identity()
        for block in self.blocks:
            block.fuse()

    def trunk(self, energies: Tensor) -> Tensor:
        """Hear chunks.

        Args:
            energies: [B, frames, n_mels] log energies less their mean over the chunk.

        Returns:
            [B, features, positions] in float32, eight frames a position.
        """
        weight = self.conv1.weight
        assert isinstance(weight, Tensor)
        features = energies.transpose(1, 2).unsqueeze(1).to(weight.dtype)
        features = F.relu_(self.bn1(self.conv1(features)))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        heard: Tensor = features.flatten(1, 2)
        return heard.float()

    def embed(self, features: Tensor, weights: Tensor) -> Tensor:
        """Describe the speakers whose frames are weighted.

        Args:
            features: [B, features, positions], as `trunk` gives them.
            weights: [B, speakers, F] float32, any number of frames for the length of the chunk.

        Returns:
            [B, speakers, width]; for a speaker without weight, `silent`.
        """
        weights = F.interpolate(weights, features.shape[2], mode="nearest")
        return F.linear(_statistics(features, weights), self.seg_1.weight, self.seg_1.bias)

    @property
    def silent(self) -> Tensor:
        """[width] what the network says of a speaker who is silent in the whole chunk."""
        return self.seg_1.bias


def _statistics(features: Tensor, weights: Tensor) -> Tensor:
    """[B, S, 2 * features] weighted mean and unbiased standard deviation over the positions."""
    total = weights.sum(2, keepdim=True) + _EPSILON  # [B, S, 1]
    mean = torch.einsum("bfp,bsp->bsf", features, weights) / total
    deviations = (features.unsqueeze(1) - mean.unsqueeze(3)).square_()  # [B, S, features, P]
    spread = torch.einsum("bsfp,bsp->bsf", deviations, weights)
    variance = spread / (total - weights.square().sum(2, keepdim=True) / total + _EPSILON)
    return torch.cat([mean, variance.sqrt()], 2)


def _fused(convolution: nn.Module, norm: nn.Module) -> nn.Module:
    return fuse_conv_bn_eval(convolution, norm)  # type: ignore[type-var, arg-type] # torch asks for its own classes
