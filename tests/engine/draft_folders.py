"""Checkpoint folders cut out of another one: the same encoder, fewer layers in the decoder, as a distilled one has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

_LAYER = "model.decoder.layers."


def cut_out(
    source: Path,
    target: Path,
    layers: Sequence[int],
    *,
    change: Callable[[str, Tensor], Tensor] = lambda name, tensor: tensor,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Write a checkpoint whose decoder has some of the layers of another one.

    Args:
        source: A folder with one file of weights.
        target: Where it goes.
        layers: Which ones are kept, in their new order.
        change: What becomes of each tensor, by its new name.
        config: What `config.json` says otherwise.
    """
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.mp3", "model.safetensors"))
    weights = load_file(source / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(_LAYER)}
    for new, old in enumerate(layers):
        begin = f"{_LAYER}{old}."
        kept |= {
            f"{_LAYER}{new}.{name.removeprefix(begin)}": weights[name] for name in weights if name.startswith(begin)
        }
    kept = {name: change(name, tensor).contiguous() for name, tensor in kept.items()}
    save_file(kept, target / "model.safetensors", metadata={"format": "pt"})
    path = target / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decoder_layers": len(layers)} | dict(config or {})))
    return target
