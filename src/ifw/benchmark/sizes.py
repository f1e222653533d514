"""The sizes of the published architectures."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ifw.model.dims import ModelDims

_N_TIMESTAMPS: Final = 1_501
N_TEXT: Final = 50_257
SPECIAL_AFTER_LANGUAGES: Final = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")


def n_languages(n_mels: int) -> int:
    """Languages in the vocabulary: Cantonese came with the models of 128 mel bands."""
    return 100 if n_mels == 128 else 99


def _dims(n_mels: int, d_model: int, n_encoder_layers: int, n_decoder_layers: int) -> ModelDims:
    return ModelDims(
        n_mels=n_mels,
        n_vocab=N_TEXT + 2 + n_languages(n_mels) + len(SPECIAL_AFTER_LANGUAGES) + _N_TIMESTAMPS,
        d_model=d_model,
        n_heads=d_model // 64,
        n_encoder_layers=n_encoder_layers,
        n_decoder_layers=n_decoder_layers,
        encoder_ffn=4 * d_model,
        decoder_ffn=4 * d_model,
    )


SIZES: Final[Mapping[str, ModelDims]] = MappingProxyType(
    {
        "toy": _dims(80, 64, 1, 1),  # of no checkpoint: shows that everything works, in seconds
        "tiny": _dims(80, 384, 4, 4),
        "base": _dims(80, 512, 6, 6),
        "small": _dims(80, 768, 12, 12),
        "medium": _dims(80, 1024, 24, 24),
        "large-v3": _dims(128, 1280, 32, 32),
        "turbo": _dims(128, 1280, 32, 4),
    }
)
