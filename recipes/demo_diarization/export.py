"""Writes the folder that `ifw.diarize` reads, in the format in which pyannote.audio saves its pipelines."""

from __future__ import annotations

import enum
import math
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from torch import Tensor

from ifw.constants import SAMPLE_RATE
from ifw.diarize.pipeline_config import CONFIG_FILE, AgglomerativeSettings, VbxSettings
from ifw.diarize.sinc_net import FILTER_SAMPLES
from ifw.diarize.weights_file import WEIGHTS_FILE

from .segmentation_training import mel_bands
from .sizes import EMBEDDING, SEGMENTATION

STEP_RATIO: Final = 0.5  # of a chunk; the published pipelines take 0.1 of twice as long a chunk
_TASK_MODULE: Final = "pyannote.audio.core.task"
_FILTERS: Final = "sincnet.conv1d.0.filterbank."


class Specifications:
    """Stands for pyannote's class of this name."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class Problem(enum.Enum):
    """Stands for pyannote's class of this name."""

    MONO_LABEL_CLASSIFICATION = 1
    REPRESENTATION = 3


class Resolution(enum.Enum):
    """Stands for pyannote's class of this name."""

    FRAME = 1
    CHUNK = 2


def export_networks(segmentation: Mapping[str, Tensor], embedding: Mapping[str, Tensor], folder: Path) -> None:
    """Write both checkpoints.

    Args:
        segmentation: Weights of `ifw.diarize.segmentation.SegmentationNetwork`.
        embedding: Weights of `ifw.diarize.embedding.ResNet`, with its batch norms.
        folder: The folder of the pipeline.
    """
    state = {name: tensor for name, tensor in segmentation.items() if name != "sincnet.filters"}
    _save(folder / "segmentation", "segmentation", "PyanNet", {**state, **_filters()})
    # In half precision, so that both files together stay below 6 MB.
    named = {
        f"resnet.{name}": tensor.half() if tensor.is_floating_point() else tensor for name, tensor in embedding.items()
    }
    _save(folder / "embedding", "embedding", "WeSpeakerResNet34", named)


def write_config(folder: Path, clustering: AgglomerativeSettings | VbxSettings, min_duration_off_s: float) -> None:
    """Write `config.yaml`."""
    if isinstance(clustering, VbxSettings):
        name = "VBxClustering"
        numbers: dict[str, Any] = {
            "threshold": clustering.threshold,
            "Fa": clustering.sharpness,
            "Fb": clustering.thrift,
        }
    else:
        name = "AgglomerativeClustering"
        numbers = {"threshold": clustering.threshold, "min_cluster_size": clustering.min_cluster_size}
        numbers["method"] = "centroid"
    params = {
        "clustering": name,
        "segmentation": "$model/segmentation",
        "segmentation_batch_size": 32,
        "segmentation_step": STEP_RATIO,
        "embedding": "$model/embedding",
        "embedding_batch_size": 32,
        "embedding_exclude_overlap": True,
        "plda": "$model/plda",
    }
    config = {
        "dependencies": {"pyannote.audio": "4.0.0"},
        "pipeline": {"name": "pyannote.audio.pipelines.SpeakerDiarization", "params": params},
        "params": {"clustering": numbers, "segmentation": {"min_duration_off": min_duration_off_s}},
        "ifw": {"votes": "by_margin", "dtype": "bfloat16"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _filters() -> dict[str, Tensor]:
    """The band edges, and the two tables that pyannote keeps beside them."""
    half = FILTER_SAMPLES // 2
    low_hz, band_hz = mel_bands()
    # pyannote adds 50 Hz to the lower edge and to the width.
    return {
        f"{_FILTERS}low_hz_": low_hz,
        f"{_FILTERS}band_hz_": band_hz,
        f"{_FILTERS}window_": torch.hamming_window(FILTER_SAMPLES, periodic=False)[:half],
        f"{_FILTERS}n_": 2 * math.pi * torch.arange(-half, 0.0)[None] / SAMPLE_RATE,
    }


def _save(folder: Path, package: str, kind: str, state: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with _pyannote_names():
        checkpoint = {
            "state_dict": {name: tensor.contiguous().clone() for name, tensor in state.items()},
            "hyper_parameters": _parameters(kind),
            "pytorch-lightning_version": "2.6.6",
            "pyannote.audio": {
                "versions": {"torch": "2.8.0", "pyannote.audio": "4.0.0"},
                "architecture": {"module": f"pyannote.audio.models.{package}", "class": kind},
                "specifications": _specifications(kind),
            },
        }
        torch.save(checkpoint, folder / WEIGHTS_FILE)


def _parameters(kind: str) -> dict[str, Any]:
    common: dict[str, Any] = {"sample_rate": SAMPLE_RATE, "num_channels": 1}
    if kind != "PyanNet":
        heard = {"num_mel_bins": EMBEDDING.n_mels, "frame_length": 25, "frame_shift": 10, "dither": 0.0}
        return {**common, **heard, "window_type": "hamming", "use_energy": False}
    lstm = {
        "hidden_size": SEGMENTATION.lstm_width,
        "num_layers": SEGMENTATION.n_lstm_layers,
        "bidirectional": SEGMENTATION.is_bidirectional,
        "monolithic": True,
        "dropout": 0.0,
        "batch_first": True,
    }
    linear = {"hidden_size": SEGMENTATION.linear_width, "num_layers": SEGMENTATION.n_linear_layers}
    return {
        **common,
        "sincnet": {"stride": SEGMENTATION.stride, "sample_rate": SAMPLE_RATE},
        "lstm": lstm,
        "linear": linear,
    }


def _specifications(kind: str) -> Specifications:
    common = {"min_duration": None, "warm_up": (0.0, 0.0)}
    if kind != "PyanNet":
        return Specifications(
            problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=SEGMENTATION.chunk_s, **common
        )
    return Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=SEGMENTATION.chunk_s,
        classes=[f"speaker#{number + 1}" for number in range(SEGMENTATION.n_speakers)],
        powerset_max_classes=SEGMENTATION.max_at_once,
        permutation_invariant=True,
        **common,
    )


@contextmanager
def _pyannote_names() -> Iterator[None]:
    """Our stand-ins are pickled under the names of pyannote's classes."""
    parts = _TASK_MODULE.split(".")
    names = [".".join(parts[: length + 1]) for length in range(len(parts))]
    kept = {name: sys.modules.get(name) for name in names}
    modules = {name: types.ModuleType(name) for name in names}
    stand_ins: tuple[type[Any], ...] = (Specifications, Problem, Resolution)
    own = {stand_in: stand_in.__module__ for stand_in in stand_ins}
    for stand_in in stand_ins:
        stand_in.__module__ = _TASK_MODULE
        setattr(modules[_TASK_MODULE], stand_in.__name__, stand_in)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for stand_in, module in own.items():
            stand_in.__module__ = module
        for name, module_before in kept.items():
            if module_before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module_before
