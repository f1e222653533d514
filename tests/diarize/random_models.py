"""Checkpoints of the true architectures with random weights, and a conversation of synthetic voices.

Everything is made from seeds of NumPy's legacy generator, whose stream never changes, so the environment that records
the reference (`tools/record_diarization.py`, with pyannote.audio) and the tests build the same files. Only what was
fitted to make the outputs interesting, a small classifier and a bias, is read from the reference.
"""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import yaml

RATE = 16_000
FloatArray = npt.NDArray[np.float32]

# (start_s, end_s, voice) of a conversation with silence at both ends, pauses, overlap and three voices.
TURNS = (
    (1.5, 4.2, 0), (4.6, 7.0, 1), (6.4, 8.8, 2), (9.3, 11.6, 0), (11.6, 13.1, 1),
    (13.8, 16.4, 2), (15.9, 18.2, 0), (18.9, 20.6, 1), (20.2, 22.3, 2),
)  # fmt: skip
DURATION_S = 24.3
_PITCH_HZ = (95.0, 168.0, 247.0)
_FORMANTS_HZ = ((450, 1100, 2300), (700, 1700, 2700), (320, 2200, 3100))


def voice(n_samples: int, speaker: int, seed: int) -> FloatArray:
    """A humming voice: harmonics under three formants, with vibrato and syllables."""
    noise = np.random.RandomState(seed)
    time = np.arange(n_samples) / RATE
    pitch = _PITCH_HZ[speaker] * (1 + 0.03 * np.sin(2 * np.pi * (4.5 + speaker) * time + noise.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    wave = np.zeros(n_samples)
    for harmonic in range(1, 25):
        hertz = harmonic * _PITCH_HZ[speaker]
        gain = sum(np.exp(-(((hertz - formant) / 180) ** 2)) for formant in _FORMANTS_HZ[speaker]) + 0.02
        wave += gain * np.sin(harmonic * phase + noise.uniform(0, 6))
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * (3 + 0.5 * speaker) * time)
    return (0.05 * wave * syllables).astype(np.float32)


def conversation() -> FloatArray:
    """[n] float32 at 16 kHz: `TURNS`, over a faint noise."""
    samples = 1e-3 * np.random.RandomState(7).standard_normal(round(DURATION_S * RATE)).astype(np.float32)
    for index, (start_s, end_s, speaker) in enumerate(TURNS):
        start, stop = round(start_s * RATE), round(end_s * RATE)
        samples[start:stop] += voice(stop - start, speaker, 100 + index)
    return samples


def segmentation_state(classifier: FloatArray | None = None) -> dict[str, torch.Tensor]:
    """PyanNet's weights: sinc filters on the mel scale, random beyond, `classifier` [7, 129] with the bias last."""
    draw = _Draw(1)
    mel = np.linspace(2595 * np.log10(1 + 30 / 700), 2595 * np.log10(1 + 7900 / 700), 41)
    hertz = (700 * (10 ** (mel / 2595) - 1)).astype(np.float32)
    half_window = np.hamming(251)[:125].astype(np.float32)
    half_time = (2 * np.pi * (np.arange(-125, 0, dtype=np.float32)[None] / RATE)).astype(np.float32)
    state = {
        "sincnet.wav_norm1d.weight": np.full(1, 0.01, np.float32),
        "sincnet.wav_norm1d.bias": np.zeros(1, np.float32),
        "sincnet.conv1d.0.filterbank.low_hz_": hertz[:-1, None],
        "sincnet.conv1d.0.filterbank.band_hz_": np.diff(hertz)[:, None],
        "sincnet.conv1d.0.filterbank.window_": half_window,
        "sincnet.conv1d.0.filterbank.n_": half_time,
    }
    for index, width in enumerate((80, 60, 60)):
        state[f"sincnet.norm1d.{index}.weight"] = draw.near_one(width)
        state[f"sincnet.norm1d.{index}.bias"] = draw.normal(0.1, width)
    for index, n_inputs in ((1, 80), (2, 60)):
        state[f"sincnet.conv1d.{index}.weight"] = draw.normal((5 * n_inputs) ** -0.5, 60, n_inputs, 5)
        state[f"sincnet.conv1d.{index}.bias"] = draw.normal(0.1, 60)
    for layer in range(4):
        n_inputs = 60 if layer == 0 else 256
        for suffix in ("", "_reverse"):
            state[f"lstm.weight_ih_l{layer}{suffix}"] = draw.normal(1.5 * n_inputs**-0.5, 512, n_inputs)
            state[f"lstm.weight_hh_l{layer}{suffix}"] = draw.normal(0.5 * 128**-0.5, 512, 128)
            state[f"lstm.bias_ih_l{layer}{suffix}"] = draw.normal(0.1, 512)
            state[f"lstm.bias_hh_l{layer}{suffix}"] = draw.normal(0.1, 512)
    for index, n_inputs in ((0, 256), (1, 128)):
        state[f"linear.{index}.weight"] = draw.normal(1.5 * n_inputs**-0.5, 128, n_inputs)
        state[f"linear.{index}.bias"] = draw.normal(0.1, 128)
    if classifier is None:
        classifier = draw.normal(0.1, 7, 129)
    state["classifier.weight"], state["classifier.bias"] = classifier[:, :-1], classifier[:, -1]
    return _tensors(state)


def embedding_state(bias: FloatArray | None = None) -> dict[str, torch.Tensor]:
    """The weights of WeSpeaker's ResNet34, `bias` [256] that of its last layer."""
    draw = _Draw(2)
    state: dict[str, Any] = {}

    def convolution(name: str, n_outputs: int, n_inputs: int, size: int) -> None:
        state[f"{name}.weight"] = draw.normal((2 / (n_inputs * size * size)) ** 0.5, n_outputs, n_inputs, size, size)

    def batch_norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = draw.near_one(width)
        state[f"{name}.bias"] = draw.normal(0.1, width)
        state[f"{name}.running_mean"] = draw.normal(0.1, width)
        state[f"{name}.running_var"] = draw.near_one(width)
        state[f"{name}.num_batches_tracked"] = np.array(1000)

    convolution("resnet.conv1", 32, 1, 3)
    batch_norm("resnet.bn1", 32)
    width = 32
    for layer, n_blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(n_blocks):
            name, n_inputs = f"resnet.layer{layer}.{block}", width
            width = 32 * 2 ** (layer - 1)
            convolution(f"{name}.conv1", width, n_inputs, 3)
            batch_norm(f"{name}.bn1", width)
            convolution(f"{name}.conv2", width, width, 3)
            batch_norm(f"{name}.bn2", width)
            state[f"{name}.bn2.weight"] *= 0.3
            if n_inputs != width:
                convolution(f"{name}.shortcut.0", width, n_inputs, 1)
                batch_norm(f"{name}.shortcut.1", width)
    state["resnet.seg_1.weight"] = draw.normal(5120**-0.5, 256, 5120)
    state["resnet.seg_1.bias"] = draw.normal(0.1, 256) if bias is None else bias
    return _tensors(state)


def write_plda(folder: Path) -> None:
    """Random matrices of the true sizes (256 to 128), symmetric and positive where they must be."""
    draw = np.random.RandomState(3)
    folder.mkdir(parents=True, exist_ok=True)
    lda = np.linalg.qr(draw.standard_normal((256, 128)))[0]
    np.savez(
        folder / "xvec_transform.npz",
        mean1=0.01 * draw.standard_normal(256),
        mean2=0.01 * draw.standard_normal(128),
        lda=lda,
    )
    transform = 2.5 * (np.eye(128) + 0.02 * draw.standard_normal((128, 128)))
    np.savez(folder / "plda.npz", mu=0.01 * draw.standard_normal(128), tr=transform, psi=np.linspace(8, 1, 128))


def write_folder(
    folder: Path,
    classifier: FloatArray,
    bias: FloatArray,
    clustering: str = "VBxClustering",
    min_duration_off: float = 0.0,
) -> Path:
    """Write a folder in the layout of `pyannote/speaker-diarization-community-1`."""
    with _specification_classes() as classes:
        specifications, problem, resolution = classes
        frames = specifications(
            problem=problem.MONO_LABEL_CLASSIFICATION, resolution=resolution.FRAME, duration=10.0, min_duration=None,
            warm_up=(0.0, 0.0), classes=["speaker#1", "speaker#2", "speaker#3"], powerset_max_classes=2,
            permutation_invariant=True,
        )  # fmt: skip
        chunk = specifications(problem=problem.REPRESENTATION, resolution=resolution.CHUNK, duration=5.0)
        _save(folder / "segmentation", "PyanNet", segmentation_state(classifier), _SEGMENTATION_PARAMETERS, frames)
        _save(folder / "embedding", "WeSpeakerResNet34", embedding_state(bias), _EMBEDDING_PARAMETERS, chunk)
    write_plda(folder / "plda")
    write_config(folder, clustering, min_duration_off)
    return folder


def write_config(folder: Path, clustering: str = "VBxClustering", min_duration_off: float = 0.0) -> None:
    """Write `config.yaml` beside models that are there already."""
    parameters = {
        "VBxClustering": {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8},
        "AgglomerativeClustering": {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7045654963945799},
    }[clustering]
    config = {
        "dependencies": {"pyannote.audio": "4.0.0"},
        "pipeline": {
            "name": "pyannote.audio.pipelines.SpeakerDiarization",
            "params": {
                "clustering": clustering,
                "segmentation": "$model/segmentation",
                "segmentation_batch_size": 32,
                "embedding": "$model/embedding",
                "embedding_batch_size": 32,
                "embedding_exclude_overlap": True,
                "plda": "$model/plda",
            },
        },
        "params": {"clustering": parameters, "segmentation": {"min_duration_off": min_duration_off}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


_SEGMENTATION_PARAMETERS = {
    "sample_rate": 16000,
    "num_channels": 1,
    "sincnet": {"stride": 10, "sample_rate": 16000},
    "lstm": {"hidden_size": 128, "num_layers": 4, "bidirectional": True, "monolithic": True, "dropout": 0.5},
    "linear": {"hidden_size": 128, "num_layers": 2},
}  # fmt: skip
_EMBEDDING_PARAMETERS = {
    "sample_rate": 16000, "num_channels": 1, "num_mel_bins": 80, "frame_length": 25, "frame_shift": 10, "dither": 0.0,
    "window_type": "hamming", "use_energy": False,
}  # fmt: skip


class _Draw:
    """Random weights in the order in which they are asked for."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)

    def normal(self, scale: float, *shape: int) -> FloatArray:
        return (scale * self._state.standard_normal(shape)).astype(np.float32)

    def near_one(self, width: int) -> FloatArray:
        return self._state.uniform(0.7, 1.3, width).astype(np.float32)


def _tensors(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.items()}


def _save(
    folder: Path, kind: str, state: dict[str, torch.Tensor], parameters: dict[str, Any], specifications: Any
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    package = "segmentation" if kind == "PyanNet" else "embedding"
    checkpoint = {
        "state_dict": state,
        "hyper_parameters": parameters,
        "pytorch-lightning_version": "2.6.6",
        "pyannote.audio": {
            "versions": {"torch": torch.torch_version.TorchVersion("2.8.0"), "pyannote.audio": "4.0.0"},
            "architecture": {"module": f"pyannote.audio.models.{package}", "class": kind},
            "specifications": specifications,
        },
    }
    torch.save(checkpoint, folder / "pytorch_model.bin")


@contextmanager
def _specification_classes() -> Iterator[tuple[Any, Any, Any]]:
    """The classes that pyannote pickles into its checkpoints: its own where installed, else some of their names."""
    try:
        from pyannote.audio.core import task
    except ImportError:
        with _stand_ins() as classes:
            yield classes
    else:
        yield task.Specifications, task.Problem, task.Resolution


@contextmanager
def _stand_ins() -> Iterator[tuple[Any, Any, Any]]:
    names = ("pyannote", "pyannote.audio", "pyannote.audio.core", "pyannote.audio.core.task")
    modules: dict[str, Any] = {name: types.ModuleType(name) for name in names}
    task = modules[names[-1]]
    for stand_in in (Specifications, Problem, Resolution):
        stand_in.__module__ = names[-1]
        setattr(task, stand_in.__name__, stand_in)
    sys.modules.update(modules)
    try:
        yield Specifications, Problem, Resolution
    finally:
        for stand_in in (Specifications, Problem, Resolution):
            stand_in.__module__ = __name__
        for name in names:
            del sys.modules[name]


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
