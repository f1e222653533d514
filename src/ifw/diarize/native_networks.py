"""Parts of the networks by the native kernels, where those and the sizes allow it: the place where both meet."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ifw.diarize.embedding import ResNet
from ifw.diarize.filter_bank import ENERGY_FLOOR, PREEMPHASIS, FilterBank
from ifw.diarize.segmentation import SegmentationNetwork
from ifw.diarize.sinc_net import SincNet
from ifw.kernels.filter_bank import NativeFilterBank
from ifw.kernels.library import Kernels, load
from ifw.kernels.lstm import LstmWeights, NativeLstm, can_step
from ifw.kernels.residual_trunk import Block, Convolution, NativeTrunk, can_pack
from ifw.kernels.sinc_net import NativeSincNet, SincWeights, can_fold


def find_kernels() -> Kernels | None:
    """The best kernels of this machine, if any."""
    return next(iter(load().kernels), None)


def has_bfloat16() -> bool:
    """Whether products of bfloat16 are faster here than those of float32."""
    kernels = find_kernels()
    return kernels is not None and kernels.has_bfloat16


def native_trunk_of(network: ResNet) -> Callable[[Tensor], Tensor] | None:
    """The trunk of an embedding network on CPU in float32, whose batch norms were folded.

    Returns:
        What does as `ResNet.trunk`; None where there are no kernels for it.
    """
    kernels = find_kernels()
    if kernels is None or not can_pack(kernels, network.dims.n_channels):
        return None
    blocks = [
        Block(_convolution(block.conv1), _convolution(block.conv2), _shortcut(block.shortcut))
        for block in network.blocks
    ]
    native = NativeTrunk(kernels, _convolution(network.conv1), blocks, network.dims.n_mels)
    return lambda energies: native(energies.transpose(1, 2)).flatten(1, 2)


def front_of(network: SincNet) -> Callable[[Tensor, int, int], Tensor]:
    """The front of a segmentation network on CPU.

    Returns:
        What does as `SincNet.features`: itself, where there are no kernels for it.
    """
    kernels = find_kernels()
    if kernels is None or not can_fold(network.filters[:, 0]):
        return network.features
    norms = (network.wav_norm1d, *network.norm1d)
    weights = SincWeights(
        network.stride,
        network.filters[:, 0],
        [_parameters(layer) for layer in network.conv1d[1:]],
        [_parameters(norm) for norm in norms],
        network.wav_norm1d.eps,
    )
    return NativeSincNet(kernels, weights)


def lstm_of(network: SegmentationNetwork) -> Callable[[Tensor], Tensor]:
    """The LSTM of a segmentation network on CPU, in the precision of its weights.

    Returns:
        What does as `SegmentationNetwork.hidden`: itself, where there are no kernels for it.
    """
    kernels, lstm = find_kernels(), network.lstm
    if kernels is None or not can_step(lstm.hidden_size):
        return network.hidden
    sides = ("", "_reverse") if lstm.bidirectional else ("",)
    layers = [
        [LstmWeights(*(_gates(lstm, f"{part}_l{layer}{side}") for part in ("ih", "hh"))) for side in sides]
        for layer in range(lstm.num_layers)
    ]
    return NativeLstm(kernels, layers, next(lstm.parameters()).dtype)


def energies_of(bank: FilterBank) -> Callable[[Tensor], Tensor]:
    """A filter bank on CPU.

    Returns:
        What does as the bank: itself, where there are no kernels for it.
    """
    kernels = find_kernels()
    if kernels is None:
        return bank
    native = NativeFilterBank(kernels, bank.window, bank.bands, PREEMPHASIS)

    def energies(samples: Tensor) -> Tensor:
        if samples.ndim > 1:
            return torch.stack([energies(part) for part in samples])
        return native(samples).clamp_min_(ENERGY_FLOOR).log_()

    return energies


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    return weight, bias


def _gates(lstm: nn.LSTM, name: str) -> tuple[Tensor, Tensor]:
    weight, bias = (getattr(lstm, f"{kind}_{name}").detach() for kind in ("weight", "bias"))
    return weight, bias


def _convolution(layer: nn.Module) -> Convolution:
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None, "the batch norm was folded into it"
    return Convolution(layer.weight, layer.bias, layer.stride[0])


def _shortcut(layers: nn.Sequential) -> Convolution | None:
    return _convolution(layers[0]) if len(layers) else None
