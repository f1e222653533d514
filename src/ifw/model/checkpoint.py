"""One checkpoint folder: its sizes, tokenizer and decoding facts at once, its weights when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from ifw.config import EncoderProducts
from ifw.errors import ConfigError, ModelFormatError
from ifw.model.compute_type import DTYPES, ops_for
from ifw.model.dims import ModelDims
from ifw.model.files import CONFIG_FILE
from ifw.model.generation import GenerationConfig, read_generation_config
from ifw.model.json_file import expect, read_json
from ifw.model.tokenizer import WhisperTokenizer, load_tokenizer
from ifw.model.weights import load_weights
from ifw.model.whisper import Whisper

_GENUINE_VOCAB: Final = 51_864  # a vocabulary of this size or more is OpenAI's


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that is known about a checkpoint without its weights.

    Attributes:
        name: What it was asked for by.
        path: Its folder.
        dims: Sizes.
        generation: What it says about decoding.
        tokenizer: Text to tokens and back.
    """

    name: str
    path: Path
    dims: ModelDims
    generation: GenerationConfig
    tokenizer: WhisperTokenizer

    @property
    def language_ids(self) -> Mapping[str, int]:
        """ISO code to token of every language that may be asked for and be detected; empty where English-only."""
        return self.generation.lang_to_id

    @property
    def languages(self) -> tuple[str, ...]:
        """The ISO codes of every language that it knows."""
        return tuple(self.language_ids) or ("en",)

    @property
    def can_translate(self) -> bool:
        """Whether it was trained to translate into English.

        Not English-only checkpoints, and not those whose decoder was cut down after the training of OpenAI (turbo,
        distil): they answer a translation request in the spoken language.
        """
        is_cut_down = self.dims.n_vocab >= _GENUINE_VOCAB and self.dims.n_decoder_layers < self.dims.n_encoder_layers
        return "translate" in self.generation.task_to_id and not is_cut_down


def load_checkpoint(path: Path, name: str | None = None) -> Checkpoint:
    """Read everything but the weights.

    Args:
        path: A checkpoint folder, such as `resolve_checkpoint` gives.
        name: What it was asked for by; None is the path.

    Returns:
        The checkpoint.

    Raises:
        ModelFormatError: The folder is no Whisper checkpoint, or it is incomplete.
    """
    config_path = path / CONFIG_FILE
    if not config_path.is_file():
        raise ModelFormatError(f"{path} is no Hugging Face Whisper checkpoint: it has no {CONFIG_FILE}")
    config = read_json(config_path)
    dims = ModelDims.from_config(config)
    generation_path = path / "generation_config.json"
    generation = read_json(generation_path) if generation_path.is_file() else {}
    is_multilingual = generation.get("is_multilingual")
    if is_multilingual is not None:
        expect(is_multilingual, bool, f"{generation_path}, is_multilingual")
    tokenizer = load_tokenizer(path, dims.n_vocab, is_multilingual)
    return Checkpoint(
        name=str(path) if name is None else name,
        path=path,
        dims=dims,
        generation=read_generation_config([generation, config], dims, tokenizer),
        tokenizer=tokenizer,
    )


def load_whisper(
    checkpoint: Checkpoint,
    device: torch.device | str,
    compute_type: str,
    encoder_products: EncoderProducts = "same",
) -> Whisper:
    """Load the weights.

    Args:
        checkpoint: From `load_checkpoint`.
        device: Where the model runs; `auto` must be resolved before.
        compute_type: float32, bfloat16, float16 or int8; `auto` must be resolved before.
        encoder_products: How the encoder multiplies, where not as the compute type says.

    Returns:
        The model.

    Raises:
        ConfigError: The device or the compute type is none, or they do not go together.
        ModelUnsafeError: The folder has only pickled weights.
        ModelFormatError: No weights, a damaged file, or tensors that do not fit.
    """
    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device: got {device!r}, allowed: cpu, cuda, cuda:0 and the like") from error
    ops = ops_for(target, compute_type, encoder_products)
    return load_weights(checkpoint.path, checkpoint.dims, target, DTYPES[compute_type], ops)
