from __future__ import annotations

from typing import Any

import pytest

from ifw.errors import ModelFormatError
from ifw.model.dims import ModelDims

LARGE_V3 = {
    "model_type": "whisper",
    "num_mel_bins": 128,
    "vocab_size": 51866,
    "d_model": 1280,
    "encoder_attention_heads": 20,
    "decoder_attention_heads": 20,
    "encoder_layers": 32,
    "decoder_layers": 32,
    "encoder_ffn_dim": 5120,
    "decoder_ffn_dim": 5120,
    "max_source_positions": 1500,
    "max_target_positions": 448,
    "activation_function": "gelu",
}


def test_reads_a_config() -> None:
    dims = ModelDims.from_config(LARGE_V3)
    assert dims == ModelDims(128, 51866, 1280, 20, 32, 32, 5120, 5120, 1500, 448, is_tied=True)
    assert dims.head_dim == 64


def test_untied_output() -> None:
    assert not ModelDims.from_config({**LARGE_V3, "tie_word_embeddings": False}).is_tied


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "wav2vec2"}, "model_type is 'wav2vec2'"),
        ({"model_type": None}, "model_type is None"),
        ({"d_model": 0}, "d_model: got 0"),
        ({"encoder_layers": "32"}, "n_encoder_layers: got '32'"),
        ({"vocab_size": True}, "n_vocab: got True"),
        ({"vocab_size": 10**9}, "n_vocab: got 1000000000, allowed: an integer, 1 to 1048576"),
        ({"encoder_layers": 100_000_000}, "n_encoder_layers: got 100000000, allowed: an integer, 1 to 512"),
        ({"decoder_layers": 513}, "n_decoder_layers: got 513"),
        ({"d_model": 1281}, "multiple of n_heads"),
        ({"decoder_attention_heads": 16}, "decoder_attention_heads is 16"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
    ],
)
def test_refuses(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFormatError, match=message):
        ModelDims.from_config({**LARGE_V3, **change})


def test_names_what_is_missing() -> None:
    config = {key: value for key, value in LARGE_V3.items() if key not in {"d_model", "vocab_size"}}
    with pytest.raises(ModelFormatError, match="lacks vocab_size, d_model"):
        ModelDims.from_config(config)
