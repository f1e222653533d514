"""Exports trained weights as a Hugging Face Whisper checkpoint in half precision."""

from __future__ import annotations

import shutil
from pathlib import Path

from transformers import GenerationConfig, WhisperForConditionalGeneration

from .network import ALIGNMENT_HEAD
from .tokens import MAX_TARGET_POSITIONS, TokenIds
from .training import STATE_FILE, load_weights

# The standard limit of one second for the first timestamp of a window.
_MAX_INITIAL_TIMESTAMP_INDEX = 50


def _generation_config(ids: TokenIds) -> GenerationConfig:
    config = GenerationConfig(  # type: ignore[no-untyped-call] # transformers has no types
        max_length=MAX_TARGET_POSITIONS,
        pad_token_id=ids.end,
        bos_token_id=ids.end,
        eos_token_id=ids.end,
        decoder_start_token_id=ids.start,
        suppress_tokens=None,
        begin_suppress_tokens=[ids.space, ids.end],
    )
    whisper_settings = {
        "is_multilingual": True,
        "lang_to_id": {f"<|{code}|>": token for code, token in ids.language.items()},
        "task_to_id": {"transcribe": ids.transcribe, "translate": ids.translate},
        "no_timestamps_token_id": ids.no_timestamps,
        "prev_sot_token_id": ids.previous,
        "max_initial_timestamp_index": _MAX_INITIAL_TIMESTAMP_INDEX,
        "alignment_heads": [list(ALIGNMENT_HEAD)],
        "return_timestamps": False,
    }
    # `GenerationConfig.update` drops what it does not know.
    for name, value in whisper_settings.items():
        setattr(config, name, value)
    return config


def export_model(model: WhisperForConditionalGeneration, tokenizer_folder: Path, ids: TokenIds, folder: Path) -> None:
    """Writes configuration, weights, tokenizer and feature extractor to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = _generation_config(ids)
    model.half().save_pretrained(folder)  # type: ignore[no-untyped-call] # transformers has no types
    for source in sorted(tokenizer_folder.iterdir()):
        shutil.copyfile(source, folder / source.name)


def export(work_dir: Path, folder: Path, *, averaged: bool, earlier: Path | None = None) -> dict[str, float]:
    """Exports the latest training state.

    Args:
        work_dir: Working folder of the recipe.
        folder: Where the checkpoint goes.
        averaged: Take the running average of the weights instead of the last ones.
        earlier: An earlier state of the run; the mean of both is exported.

    Returns:
        How far training had come: ``step``, ``hours`` of audio, ``seconds``.
    """
    ids = TokenIds(work_dir / "tokenizer")
    state_file = work_dir / "training" / STATE_FILE
    model, progress = load_weights(state_file, ids, averaged=averaged)
    if earlier is not None:
        other, _ = load_weights(earlier, ids, averaged=averaged)
        weights = other.state_dict()
        model.load_state_dict({name: (value + weights[name]) / 2 for name, value in model.state_dict().items()})
    export_model(model, work_dir / "tokenizer", ids, folder)
    return progress
