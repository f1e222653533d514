"""Small random checkpoints as transformers writes them, and the sizes of the published families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ifw.model.dims import ModelDims
from ifw.model.mel import log_mel
from ifw.model.random_weights import random_weight
from ifw.model.weights import load_weights
from ifw.model.whisper import Whisper

CPU = torch.device("cpu")

# Layers and mel bands as published, width and vocabulary reduced.
FAMILIES = {
    "tiny": ModelDims(80, 1800, 128, 2, 4, 4, 512, 512),
    "large-v3": ModelDims(128, 1801, 64, 1, 32, 32, 256, 256),
    "turbo": ModelDims(128, 1801, 64, 1, 32, 4, 256, 256),
    "distil": ModelDims(80, 1800, 64, 1, 32, 2, 256, 256),
    "untied": ModelDims(80, 500, 64, 1, 2, 2, 256, 256, is_tied=False),
}


def hf_config(dims: ModelDims) -> Any:
    from transformers import WhisperConfig

    return WhisperConfig(
        vocab_size=dims.n_vocab,
        num_mel_bins=dims.n_mels,
        d_model=dims.d_model,
        encoder_attention_heads=dims.n_heads,
        decoder_attention_heads=dims.n_heads,
        encoder_layers=dims.n_encoder_layers,
        decoder_layers=dims.n_decoder_layers,
        encoder_ffn_dim=dims.encoder_ffn,
        decoder_ffn_dim=dims.decoder_ffn,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=1,
        begin_suppress_tokens=None,
        tie_word_embeddings=dims.is_tied,
    )


def hf_random_model(dims: ModelDims, seed: int) -> Any:
    """transformers' model with the weights of `random_whisper(dims, seed)`."""
    from transformers import WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration(hf_config(dims)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(random_weight(name.removeprefix("model."), dims, seed))
    return model


class Pair:
    """One checkpoint, loaded by transformers and by us, and two windows encoded by both."""

    def __init__(self, folder: Path, dims: ModelDims, reference: Any) -> None:
        self.folder = folder
        self.dims = dims
        self.whisper = load_weights(folder, dims, CPU, torch.float32)
        self.mel = two_windows(dims.n_mels)
        self.audio = self.whisper.encode(self.mel)
        self.reference = reference
        with torch.no_grad():
            self.reference_audio: torch.Tensor = reference.model.encoder(self.mel).last_hidden_state

    @torch.no_grad()
    def reference_logits(self, token_ids: torch.Tensor, windows: list[int]) -> torch.Tensor:
        """transformers' logits [B, T, V] for the texts [B, T] of the windows."""
        logits: torch.Tensor = self.reference(
            encoder_outputs=(self.reference_audio[windows],), decoder_input_ids=token_ids
        ).logits
        return logits


def make_pair(folder: Path, dims: ModelDims, seed: int = 0) -> Pair:
    reference = hf_random_model(dims, seed)
    reference.save_pretrained(folder)
    return Pair(folder, dims, reference)


def two_windows(n_mels: int) -> torch.Tensor:
    """Log-mel of chirps in noise, loud and quiet parts in each: [2, n_mels, 3000]."""
    generator = torch.Generator().manual_seed(7)
    seconds = torch.arange(480_000) / 16_000
    noise = torch.randn(2, 480_000, generator=generator)
    pitch = torch.tensor([[150.0], [400.0]])
    chirp = torch.sin(2 * torch.pi * (pitch + 8 * seconds) * seconds) * (torch.sin(pitch / 50 * seconds) > 0)
    return log_mel(n_mels, CPU)(0.3 * chirp + 0.02 * noise)


def new_caches(whisper: Whisper, n_rows: int, fill: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Self and cross cache for `n_rows` slots."""
    dims = whisper.dims
    shape = (dims.n_decoder_layers, 2, n_rows, dims.n_heads)
    self_cache = torch.full((*shape, dims.n_text_positions, dims.head_dim), fill, dtype=whisper.dtype)
    cross_cache = torch.full((*shape, dims.n_positions, dims.head_dim), fill, dtype=whisper.dtype)
    return self_cache, cross_cache


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference over the largest expected magnitude."""
    assert found.shape == expected.shape
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max())
