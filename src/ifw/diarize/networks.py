"""From saved checkpoints to networks that run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ifw.constants import HOP_LENGTH, SAMPLE_RATE
from ifw.diarize.embedding import EmbeddingDims, ResNet
from ifw.diarize.filter_bank import FRAME_SAMPLES
from ifw.diarize.segmentation import SegmentationDims, SegmentationNetwork
from ifw.diarize.sinc_net import band_filters
from ifw.diarize.weights_file import SavedNetwork
from ifw.errors import ModelFormatError

_Network = TypeVar("_Network", bound=nn.Module)
_FILTERS = "sincnet.conv1d.0.filterbank."
_MAX_SPEAKERS, _MAX_WIDTH, _MAX_LAYERS, _MAX_CHUNK_S = 16, 4096, 64, 60


def build_segmentation(saved: SavedNetwork) -> SegmentationNetwork:
    """Build PyanNet, on the CPU.

    Raises:
        ModelFormatError: The checkpoint holds another network, or one that does not know overlapping speakers.
    """
    _expect(saved.kind == "PyanNet", saved, f"a network of class {saved.kind!r}", "PyanNet")
    _expect_sample_rate(saved)
    sincnet, lstm, linear = (_part(saved, name) for name in ("sincnet", "lstm", "linear"))
    classes, max_at_once = saved.specifications.get("classes"), saved.specifications.get("powerset_max_classes")
    _expect(
        isinstance(classes, (list, tuple)) and type(max_at_once) is int,
        saved,
        "outputs that are no powerset of speakers",
        "powerset classes, as in pyannote/segmentation-3.0",
    )
    assert isinstance(classes, (list, tuple))
    chunk_s = saved.specifications.get("duration")
    is_duration = isinstance(chunk_s, (int, float)) and 1 <= chunk_s <= _MAX_CHUNK_S
    _expect(is_duration, saved, f"duration {chunk_s!r}", f"1 to {_MAX_CHUNK_S} s")
    assert isinstance(chunk_s, (int, float))
    dims = SegmentationDims(
        stride=_size(saved, sincnet, "stride", 10, 200),
        lstm_width=_size(saved, lstm, "hidden_size", 128, _MAX_WIDTH),
        n_lstm_layers=_size(saved, lstm, "num_layers", 2, _MAX_LAYERS),
        is_bidirectional=bool(lstm.get("bidirectional", True)),
        linear_width=_size(saved, linear, "hidden_size", 128, _MAX_WIDTH),
        n_linear_layers=_size(saved, linear, "num_layers", 2, _MAX_LAYERS),
        n_speakers=_size(saved, {"classes": len(classes)}, "classes", 3, _MAX_SPEAKERS),
        max_at_once=_size(saved, {"powerset_max_classes": max_at_once}, "powerset_max_classes", 2, len(classes)),
        chunk_s=float(chunk_s),
    )
    tensors = dict(saved.tensors)
    try:
        tensors["sincnet.filters"] = band_filters(tensors[f"{_FILTERS}low_hz_"], tensors[f"{_FILTERS}band_hz_"])
    except (KeyError, RuntimeError) as error:
        raise ModelFormatError(f"{saved.path} lacks the band filters of SincNet: {error}") from error
    tensors = {_monolithic(name): tensor for name, tensor in tensors.items() if not name.startswith(_FILTERS)}
    return _load(SegmentationNetwork(dims), tensors, saved)


def build_embedding(saved: SavedNetwork) -> ResNet:
    """Build WeSpeaker's ResNet34, on the CPU, with its batch norms folded into the convolutions.

    Raises:
        ModelFormatError: The checkpoint holds another network.
    """
    _expect(saved.kind == "WeSpeakerResNet34", saved, f"a network of class {saved.kind!r}", "WeSpeakerResNet34")
    _expect_sample_rate(saved)
    given = saved.parameters
    hears = {
        "frame_length": (given.get("frame_length", 25), FRAME_SAMPLES * 1000 / SAMPLE_RATE),
        "frame_shift": (given.get("frame_shift", 10), HOP_LENGTH * 1000 / SAMPLE_RATE),
        "dither": (given.get("dither", 0.0), 0.0),
        "window_type": (given.get("window_type", "hamming"), "hamming"),
        "use_energy": (given.get("use_energy", False), False),
    }
    for name, (got, allowed) in hears.items():
        _expect(got == allowed, saved, f"{name} {got!r}", repr(allowed))
    first, last = saved.tensors.get("resnet.conv1.weight"), saved.tensors.get("resnet.seg_1.weight")
    if first is None or last is None or not first.ndim or not last.ndim:
        raise ModelFormatError(f"{saved.path} lacks the first or the last layer of a ResNet")
    dims = EmbeddingDims(_size(saved, given, "num_mel_bins", 80, 512), first.shape[0], last.shape[0])
    tensors = {name.removeprefix("resnet."): tensor for name, tensor in saved.tensors.items()}
    network = _load(ResNet(dims), tensors, saved)
    network.fuse()
    return network.requires_grad_(False)


def _monolithic(name: str) -> str:
    """LSTM layers may have been saved one by one: `lstm.2.weight_ih_l0` is `lstm.weight_ih_l2`."""
    parts = name.split(".")
    if parts[0] == "lstm" and len(parts) == 3:
        return f"lstm.{parts[2].replace('_l0', f'_l{parts[1]}')}"
    return name


def _part(saved: SavedNetwork, name: str) -> Mapping[str, Any]:
    part = saved.parameters.get(name) or {}
    _expect(isinstance(part, Mapping), saved, f"{name} {part!r}", "a mapping")
    assert isinstance(part, Mapping)
    return part


def _size(saved: SavedNetwork, part: Mapping[str, Any], name: str, default: int, highest: int) -> int:
    value = part.get(name, default)
    _expect(type(value) is int and 1 <= value <= highest, saved, f"{name} {value!r}", f"an integer, 1 to {highest}")
    return int(value)


def _expect_sample_rate(saved: SavedNetwork) -> None:
    rate = saved.parameters.get("sample_rate", SAMPLE_RATE)
    _expect(rate == SAMPLE_RATE, saved, f"sample_rate {rate!r}", str(SAMPLE_RATE))


def _expect(is_allowed: bool, saved: SavedNetwork, got: str, allowed: str) -> None:
    if not is_allowed:
        raise ModelFormatError(f"{saved.path}: got {got}, allowed: {allowed}")


def _load(network: _Network, tensors: Mapping[str, Tensor], saved: SavedNetwork) -> _Network:
    wanted = network.state_dict()
    surplus = [name for name in tensors if name not in wanted and not name.startswith(("loss_func.", "validation_"))]
    try:
        network.load_state_dict({name: tensors[name] for name in wanted})
    except (KeyError, RuntimeError) as error:
        raise ModelFormatError(f"{saved.path} does not hold the weights of {saved.kind}: {error}") from error
    _expect(not surplus, saved, f"weights without a place, such as {surplus[:1]}", f"those of {saved.kind}")
    _expect(
        all(bool(torch.isfinite(tensor).all()) for tensor in wanted.values()),
        saved,
        "weights that are not finite",
        "numbers",
    )
    return network.eval().requires_grad_(False)
