"""The sizes of one Whisper checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from ifw.constants import MAX_TEXT_TOKENS, N_POSITIONS
from ifw.errors import ModelFormatError

_MAX_SIZE: Final = 1 << 20  # ten times that of any Whisper, and little enough to be counted through
_MAX_LAYERS: Final = 1 << 9
_CONFIG_KEYS = {
    "n_mels": "num_mel_bins",
    "n_vocab": "vocab_size",
    "d_model": "d_model",
    "n_heads": "encoder_attention_heads",
    "n_encoder_layers": "encoder_layers",
    "n_decoder_layers": "decoder_layers",
    "encoder_ffn": "encoder_ffn_dim",
    "decoder_ffn": "decoder_ffn_dim",
    "n_positions": "max_source_positions",
    "n_text_positions": "max_target_positions",
}


@dataclass(frozen=True, slots=True)
class ModelDims:
    """The sizes that fix every tensor's shape.

    Attributes:
        n_mels: Mel bands: 80, or 128 since large-v3.
        n_vocab: Rows of the token embedding.
        d_model: Width of the residual stream, `D` in shapes.
        n_heads: Attention heads of every layer, `H`.
        n_encoder_layers: Layers of the encoder.
        n_decoder_layers: Layers of the decoder, `L`.
        encoder_ffn: Width of the encoder's feed-forward layers.
        decoder_ffn: Width of the decoder's feed-forward layers.
        n_positions: Encoder outputs a window: 1,500.
        n_text_positions: Decoder context in tokens: 448.
        is_tied: The output projection is the token embedding.
    """

    n_mels: int
    n_vocab: int
    d_model: int
    n_heads: int
    n_encoder_layers: int
    n_decoder_layers: int
    encoder_ffn: int
    decoder_ffn: int
    n_positions: int = N_POSITIONS
    n_text_positions: int = MAX_TEXT_TOKENS
    is_tied: bool = True

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ModelFormatError: A size is no positive integer, or absurdly large, or the heads do not divide the width.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            highest = _MAX_LAYERS if field.name.endswith("_layers") else _MAX_SIZE
            is_size = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= highest
            if field.name != "is_tied" and not is_size:
                raise ModelFormatError(f"{field.name}: got {value!r}, allowed: an integer, 1 to {highest}")
        if self.d_model % self.n_heads:
            raise ModelFormatError(f"d_model: got {self.d_model}, allowed: a multiple of n_heads ({self.n_heads})")

    @property
    def head_dim(self) -> int:
        """Width of one attention head, `Dh` in shapes: 64 in every published Whisper."""
        return self.d_model // self.n_heads

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelDims:
        """Read the sizes from the content of a Hugging Face `config.json`.

        Args:
            config: The parsed file.

        Returns:
            The checked sizes.

        Raises:
            ModelFormatError: The file is not about Whisper, lacks a size, or asks for what Whisper never had.
        """
        model_type = config.get("model_type")
        if model_type != "whisper":
            raise ModelFormatError(f"config.json: model_type is {model_type!r}, allowed: 'whisper'")
        missing = [key for key in _CONFIG_KEYS.values() if key not in config]
        if missing:
            raise ModelFormatError(f"config.json lacks {', '.join(missing)}: it is no complete Whisper config")
        encoder_heads = config["encoder_attention_heads"]
        decoder_heads = config.get("decoder_attention_heads", encoder_heads)
        if decoder_heads != encoder_heads:
            raise ModelFormatError(
                f"config.json: decoder_attention_heads is {decoder_heads!r}, allowed: encoder_attention_heads "
                f"({encoder_heads!r})"
            )
        activation = config.get("activation_function", "gelu")
        if activation != "gelu":
            raise ModelFormatError(f"config.json: activation_function is {activation!r}, allowed: 'gelu'")
        sizes = {name: config[key] for name, key in _CONFIG_KEYS.items()}
        return cls(**sizes, is_tied=config.get("tie_word_embeddings", True) is not False)
