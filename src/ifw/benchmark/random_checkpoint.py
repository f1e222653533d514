"""A checkpoint folder of a published architecture with random weights, which every engine can read."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from ifw.benchmark.keeping import kept
from ifw.benchmark.sizes import N_TEXT, SIZES, SPECIAL_AFTER_LANGUAGES, n_languages
from ifw.constants import HOP_LENGTH, N_FFT, SAMPLE_RATE, WINDOW_S, WINDOW_SAMPLES
from ifw.model.dims import ModelDims
from ifw.model.languages import LANGUAGES
from ifw.model.random_weights import random_weight
from ifw.model.weights import tensor_shapes

_MADE_AS: Final = 1


def random_checkpoint(size: str, seed: int, folder: Path) -> Path:
    """Write a checkpoint, unless it is there already.

    The weights are float16 in the file, so that all engines start from the same numbers. The tokenizer has the special
    tokens of the real one at their places; its text tokens are words without a meaning.

    Args:
        size: A key of `SIZES`.
        seed: Of the weights.
        folder: Holds one folder for each size and seed.

    Returns:
        The checkpoint's folder.
    """
    return kept(folder, f"{size}-{seed}", _MADE_AS, partial(_write, SIZES[size], seed))


def _write(dims: ModelDims, seed: int, folder: Path) -> None:
    folder.mkdir()
    weights = {f"model.{name}": random_weight(name, dims, seed).to(torch.float16) for name in tensor_shapes(dims)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name, content in _files(dims).items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")


def special_ids(dims: ModelDims) -> dict[str, int]:
    """Name and id of every special token, timestamps included, in the order of the ids."""
    languages = list(LANGUAGES)[: n_languages(dims.n_mels)]
    names = ["endoftext", "startoftranscript", *languages, *SPECIAL_AFTER_LANGUAGES]
    n_timestamps = dims.n_vocab - N_TEXT - len(names)
    names += [f"{0.02 * index:.2f}" for index in range(n_timestamps)]
    return {f"<|{name}|>": N_TEXT + index for index, name in enumerate(names)}


def prompt_ids(dims: ModelDims) -> list[int]:
    """The four tokens before the text: English, transcribed, without timestamps."""
    ids = special_ids(dims)
    return [ids[f"<|{name}|>"] for name in ("startoftranscript", "en", "transcribe", "notimestamps")]


def _files(dims: ModelDims) -> dict[str, Any]:
    ids = special_ids(dims)
    eot, sot = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    common = {
        "bos_token_id": eot,
        "eos_token_id": eot,
        "pad_token_id": eot,
        "decoder_start_token_id": sot,
        "begin_suppress_tokens": [],
        "suppress_tokens": [],
    }
    return {
        "config.json": {
            "model_type": "whisper",
            "architectures": ["WhisperForConditionalGeneration"],
            "is_encoder_decoder": True,
            "activation_function": "gelu",
            "dtype": "float16",
            "num_mel_bins": dims.n_mels,
            "vocab_size": dims.n_vocab,
            "d_model": dims.d_model,
            "encoder_layers": dims.n_encoder_layers,
            "decoder_layers": dims.n_decoder_layers,
            "encoder_attention_heads": dims.n_heads,
            "decoder_attention_heads": dims.n_heads,
            "encoder_ffn_dim": dims.encoder_ffn,
            "decoder_ffn_dim": dims.decoder_ffn,
            "max_source_positions": dims.n_positions,
            "max_target_positions": dims.n_text_positions,
            "scale_embedding": False,
            "tie_word_embeddings": True,
            "use_cache": True,
            **common,
        },
        "generation_config.json": {
            **common,
            "is_multilingual": True,
            "lang_to_id": {name: ids[name] for name in list(ids)[2 : 2 + n_languages(dims.n_mels)]},
            "task_to_id": {mode: ids[f"<|{mode}|>"] for mode in ("transcribe", "translate")},
            "no_timestamps_token_id": ids["<|notimestamps|>"],
            "prev_sot_token_id": ids["<|startofprev|>"],
            "max_initial_timestamp_index": 50,
            "max_length": dims.n_text_positions,
            "return_timestamps": False,
        },
        "preprocessor_config.json": {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": dims.n_mels,
            "chunk_length": WINDOW_S,
            "hop_length": HOP_LENGTH,
            "n_fft": N_FFT,
            "n_samples": WINDOW_SAMPLES,
            "nb_max_frames": WINDOW_SAMPLES // HOP_LENGTH,
            "sampling_rate": SAMPLE_RATE,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": False,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "WhisperTokenizer",
            "add_prefix_space": False,
            "bos_token": "<|endoftext|>",
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
            "model_max_length": dims.n_text_positions,
        },
        "tokenizer.json": _tokenizer(ids),
    }


def _tokenizer(ids: dict[str, int]) -> dict[str, Any]:
    letters = [*map(chr, range(0x21, 0x7F)), *map(chr, range(0xA1, 0xAD)), *map(chr, range(0xAE, 0x100))]
    letters += [chr(256 + index) for index in range(256 - len(letters))]  # GPT-2's alphabet of bytes; Ġ is a space
    words = [f"Ġw{token_id}" for token_id in range(len(letters), N_TEXT)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token_id, "content": name, **flags} for name, token_id in ids.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: token_id for token_id, text in enumerate([*letters, *words])},
            "merges": [],
        },
    }
