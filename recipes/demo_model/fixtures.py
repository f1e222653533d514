"""Picks a few evaluation files, small enough to be kept with the tests."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from .espeak import SAMPLE_RATE
from .evalset import DENSE_CLEAN, DENSE_NOISY, SINGLE
from .grammar import LANGUAGES

COUNTS = {SINGLE: 12, DENSE_CLEAN: 2, DENSE_NOISY: 1}
BIT_RATE = 48_000


def write_opus(source: Path, target: Path) -> None:
    """Encodes a mono 16-bit WAV file at 16 kHz as Opus in Ogg."""
    with wave.open(str(source)) as stream:
        encode_opus(np.frombuffer(stream.readframes(stream.getnframes()), "<i2"), target, BIT_RATE)


def encode_opus(samples: npt.NDArray[np.int16], target: Path, bit_rate: int) -> None:
    """Encodes mono samples at 16 kHz as Opus in Ogg."""
    # Ogg streams have random serial numbers otherwise, so that no two runs would write the same bytes.
    with av.open(str(target), "w", options={"fflags": "+bitexact"}) as container:
        encoder = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono", bit_rate=bit_rate)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux(encoder.encode(frame))
        container.mux(encoder.encode(None))


def write_fixtures(evalset: Path, folder: Path) -> None:
    """Writes the first files of each kind and language, with a manifest like that of the whole set.

    Args:
        evalset: Folder written by ``write_evaluation_set``.
        folder: Where the fixtures go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = json.loads((evalset / "manifest.json").read_text(encoding="utf-8"))
    kept = []
    for language in LANGUAGES:
        for kind, count in COUNTS.items():
            kept += [e for e in manifest if (e["language"], e["kind"]) == (language, kind)][:count]
    for entry in kept:
        source = evalset / entry["file"]
        entry["file"] = source.with_suffix(".ogg").name
        write_opus(source, folder / entry["file"])
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
