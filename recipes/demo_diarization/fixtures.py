"""A few held-out conversations, small enough to be kept with the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np

from recipes.demo_model.fixtures import encode_opus

from .speech import Corpus
from .testset import KINDS, draw_conversation

_SEED: Final = 31
_BIT_RATE: Final = 16_000
_LENGTHS_S: Final = {"two": 45.0, "three": 50.0, "four": 60.0, "short": 15.0, "alone": 15.0}


def write_fixtures(corpus: Corpus, folder: Path) -> list[str]:
    """Write one conversation of each kind, and `manifest.json` with who says what; returns the names."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for kind in KINDS:
        if kind.name not in _LENGTHS_S:
            continue
        one = draw_conversation(corpus, kind, (_SEED,), _LENGTHS_S[kind.name])
        name = f"{kind.name}.ogg"
        encode_opus((one.samples * 32767).astype(np.int16), folder / name, _BIT_RATE)
        said = [
            {
                "speaker": said.speaker,
                "start_s": round(said.start_s, 3),
                "end_s": round(said.end_s, 3),
                "text": said.utterance.text,
            }
            for said in one.said
        ]
        entries.append({"file": name, "kind": kind.name, "speakers": kind.n_speakers, "segments": said})
    (folder / "manifest.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [str(entry["file"]) for entry in entries]
