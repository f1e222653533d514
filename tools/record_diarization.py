"""Records what pyannote.audio makes of random checkpoints, as the reference of tests/diarize.

Runs in an environment of its own, never in that of the project, with the versions that `reference.npz` names:

    python -m venv peer
    peer/bin/pip install torch==2.13.0
    peer/bin/pip install pyannote.audio==4.0.7 torch==2.13.0
    peer/bin/python tools/record_diarization.py

pyannote leaves speakers with equally many votes to NumPy's default sort, whose answer depends on the processor. The
reference is recorded with a stable sort, so that it is the same everywhere.
"""

from __future__ import annotations

import os

os.environ |= {"PYANNOTE_METRICS_ENABLED": "0", "HF_HUB_OFFLINE": "1"}

import argparse
import copy
import itertools
import json
import sys
import tempfile
import types
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

DATA = Path(__file__).resolve().parent.parent / "tests" / "diarize"
sys.path.insert(0, str(DATA))
import random_models  # noqa: E402 - in the folder that was just added
import synthetic_chunks  # noqa: E402

N_CLASSES = 7


def import_pyannote() -> Any:
    """Import pyannote.audio where torchaudio's C++ part does not load; nothing here needs that part."""
    extension: Any = types.ModuleType("torchaudio._extension")
    extension._IS_TORCHAUDIO_EXT_AVAILABLE = extension._IS_ALIGN_AVAILABLE = False
    extension._check_cuda_version = lambda: None
    extension.fail_if_no_align = lambda function: function
    sys.modules["torchaudio._extension"] = extension
    warnings.filterwarnings("ignore")
    import pyannote.audio  # noqa: PLC0415 - only after the lines above

    return pyannote.audio


def chunks_of(samples: np.ndarray[Any, Any]) -> torch.Tensor:
    """[C, 1, 160000]: ten seconds every second, the last filled up with zeros."""
    n_chunks = 1 + max(0, -(-(len(samples) - 160_000) // 16_000))
    padded = np.zeros((n_chunks - 1) * 16_000 + 160_000, np.float32)
    padded[: len(samples)] = samples
    return torch.from_numpy(padded).unfold(0, 160_000, 16_000).unsqueeze(1)


def true_classes(n_chunks: int, n_frames: int) -> np.ndarray[Any, Any]:
    """[C, F] the class that each frame of each chunk should get: voices are numbered as they come up in the chunk."""
    sets = [frozenset(one) for size in range(3) for one in itertools.combinations(range(3), size)]
    times = np.arange(n_frames) * 270 / 16_000 + 0.03
    classes = np.zeros((n_chunks, n_frames), np.int64)
    for chunk in range(n_chunks):
        active = np.zeros((n_frames, 3), bool)
        for start_s, end_s, voice in random_models.TURNS:
            active[:, voice] |= (times + chunk >= start_s) & (times + chunk < end_s)
        first = [int(np.argmax(active[:, voice])) if active[:, voice].any() else 10**6 + voice for voice in range(3)]
        active = active[:, np.argsort(first)]
        classes[chunk] = [sets.index(frozenset(np.flatnonzero(frame))) for frame in active]
    return classes


def fit_classifier(model: Any, chunks: torch.Tensor) -> np.ndarray[Any, Any]:
    """The last layer that makes random features tell voices apart, somewhat; by ridge regression."""
    captured = []
    hook = model.classifier.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0]))
    with torch.inference_mode():
        model(chunks)
    hook.remove()
    features = captured[0].double().numpy()
    labels = true_classes(*features.shape[:2])
    design = np.concatenate([features, np.ones((*features.shape[:2], 1))], 2).reshape(-1, features.shape[2] + 1)
    targets = np.eye(N_CLASSES)[labels.ravel()]
    importance = (1 / np.maximum(targets.sum(0), 50))[labels.ravel(), None]  # overlap is rare
    gram = design.T @ (importance * design) + 1e-6 * np.eye(design.shape[1])
    weights = np.linalg.solve(gram, design.T @ (importance * targets)).T
    return np.asarray(5 * weights, np.float32)


def fit_bias(model: Any, chunks: torch.Tensor) -> np.ndarray[Any, Any]:
    """The bias that centres embeddings, without which those of random weights all point the same way."""
    seconds = chunks[::3, :, :48_000]
    with torch.inference_mode():
        embeddings = model(seconds)
    bias = model.resnet.seg_1.bias.detach() - embeddings.mean(0)
    return np.asarray(bias.numpy())


def run(pipeline: Any, waveform: torch.Tensor, **bounds: int) -> dict[str, Any]:
    """One run, with what its steps gave."""
    kept: dict[str, Any] = {}

    def hook(step: str, artefact: Any, **_: Any) -> None:
        if artefact is not None:
            kept[step] = copy.deepcopy(artefact)  # some are changed later

    clustering = type(pipeline.clustering).__call__

    def keep_clusters(self: Any, **inputs: Any) -> Any:
        clusters = clustering(self, **inputs)
        kept["clusters"] = clusters[0].copy()
        return clusters

    type(pipeline.clustering).__call__ = keep_clusters
    try:
        output = pipeline({"waveform": waveform, "sample_rate": 16_000, "uri": "one"}, hook=hook, **bounds)
    finally:
        type(pipeline.clustering).__call__ = clustering
    kept["turns"] = turns_of(output.speaker_diarization)
    kept["exclusive"] = turns_of(output.exclusive_speaker_diarization)
    kept["centroids"] = output.speaker_embeddings
    return kept


def turns_of(annotation: Any) -> np.ndarray[Any, Any]:
    """[n, 3] start, end and number of the speaker."""
    rows = [(turn.start, turn.end, int(label[-2:])) for turn, _, label in annotation.itertracks(yield_label=True)]
    return np.array(rows, np.float64).reshape(-1, 3)


def build(pyannote: Any, folder: Path, samples: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Write the checkpoint folder; returns what was fitted for it."""
    chunks = chunks_of(samples)
    plain = random_models.segmentation_state(), random_models.embedding_state()
    random_models.write_folder(folder, np.zeros((7, 129), np.float32), plain[1]["resnet.seg_1.bias"].numpy())
    classifier = fit_classifier(pyannote.Model.from_pretrained(folder, subfolder="segmentation").eval(), chunks)
    bias = fit_bias(pyannote.Model.from_pretrained(folder, subfolder="embedding").eval(), chunks)
    random_models.write_folder(folder, classifier, bias)
    return {"classifier": classifier, "bias": bias}


def record_networks(pyannote: Any, folder: Path, samples: np.ndarray[Any, Any]) -> dict[str, Any]:
    """What the whole pipelines say about the conversation."""
    waveform = torch.from_numpy(samples)[None]
    found: dict[str, Any] = {}
    for clustering, prefix in (("VBxClustering", "vbx"), ("AgglomerativeClustering", "ahc")):
        random_models.write_config(folder, clustering)
        pipeline = pyannote.Pipeline.from_pretrained(folder)
        pipeline.segmentation_batch_size = pipeline.embedding_batch_size = 8
        if prefix == "ahc":  # the networks are the same
            embeddings = found["embeddings"]
            pipeline.get_embeddings = lambda *_, a=embeddings, **__: a.copy()
        kept = run(pipeline, waveform)
        found |= {f"{prefix}_{name}": kept[name] for name in ("turns", "exclusive", "clusters", "centroids")}
        if prefix == "vbx":
            speech = kept["segmentation"].data
            found["speech"] = np.packbits(speech.astype(bool))
            found["speech_shape"] = np.array(speech.shape)
            found["counts"] = kept["speaker_counting"].data[:, 0].astype(np.uint8)
            found["embeddings"] = kept["embeddings"]
            print("embeddings of the conversation", kept["embeddings"].shape, flush=True)
    return found


def record_clusters(pyannote: Any, folder: Path) -> dict[str, Any]:
    """What clustering and reconstruction make of drawn speech and embeddings."""
    from pyannote.core import SlidingWindow, SlidingWindowFeature  # noqa: PLC0415 - not before pyannote.audio

    found: dict[str, Any] = {}
    for case in synthetic_chunks.CASES:
        random_models.write_config(folder, case.clustering, case.min_duration_off)
        pipeline = pyannote.Pipeline.from_pretrained(folder)
        speech, embeddings = synthetic_chunks.draw(case)
        window = SlidingWindow(start=0.0, duration=10.0, step=1.0)
        pipeline.get_segmentations = lambda *_, a=speech, w=window, **__: SlidingWindowFeature(a.copy(), w)
        pipeline.get_embeddings = lambda *_, a=embeddings, **__: a.copy()
        bounds = {
            "num_speakers": case.num_speakers,
            "min_speakers": case.min_speakers,
            "max_speakers": case.max_speakers,
        }
        kept = run(pipeline, torch.zeros(1, 160_000), **{name: one for name, one in bounds.items() if one})
        print(case.name, "turns:", len(kept["turns"]), kept["turns"][:, 2].max(initial=-1) + 1, flush=True)
        found[f"{case.name}_clusters"] = kept["clusters"].astype(np.int8)
        found[f"{case.name}_turns"] = kept["turns"]
        found[f"{case.name}_exclusive"] = kept["exclusive"]
        found[f"{case.name}_centroids"] = kept["centroids"][:, :4].astype(np.float64)
    return found


def main() -> None:
    """Build, run, write `reference.npz`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DATA / "reference.npz")
    parser.add_argument("--folder", type=Path, help="keep the checkpoint folder here")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    sort = np.argsort
    np.argsort = lambda a, axis=-1, kind="stable", **named: sort(a, axis=axis, kind=kind, **named)  # see above
    pyannote = import_pyannote()
    samples = random_models.conversation()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        found: dict[str, Any] = build(pyannote, folder, samples)
        found |= record_networks(pyannote, folder, samples)
        found |= record_clusters(pyannote, folder)
    packages = ("pyannote.audio", "torch", "numpy", "scipy", "scikit-learn")
    found["versions"] = np.array(json.dumps({package: version(package) for package in packages}))
    np.savez_compressed(arguments.output, **found)
    print({name: value.shape for name, value in found.items() if not name.startswith(("vbx_", "ahc_"))})
    print("conversation:", len(found["vbx_turns"]), len(found["ahc_turns"]), "turns;", np.bincount(found["counts"]))


if __name__ == "__main__":
    main()
