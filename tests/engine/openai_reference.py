"""Our checkpoints in openai-whisper's classes: its model with the same weights, its decoding with the same tokens."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import torch
import whisper
from whisper.decoding import DecodingOptions, DecodingResult

from ifw.model.checkpoint import Checkpoint
from ifw.model.dims import ModelDims

_PARTS = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "encoder.layer_norm.": "encoder.ln_post.",
    "decoder.layer_norm.": "decoder.ln.",
    ".layers.": ".blocks.",
    ".self_attn_layer_norm.": ".attn_ln.",
    ".encoder_attn_layer_norm.": ".cross_attn_ln.",
    ".final_layer_norm.": ".mlp_ln.",
    ".self_attn.": ".attn.",
    ".encoder_attn.": ".cross_attn.",
    ".q_proj.": ".query.",
    ".k_proj.": ".key.",
    ".v_proj.": ".value.",
    ".out_proj.": ".out.",
    ".fc1.": ".mlp.0.",
    ".fc2.": ".mlp.2.",
}


def openai_model(sizes: ModelDims, state: dict[str, torch.Tensor]) -> whisper.model.Whisper:
    """Their model with weights under Hugging Face's names, without `model.` in front."""
    model = whisper.model.Whisper(
        whisper.model.ModelDimensions(
            n_mels=sizes.n_mels,
            n_audio_ctx=sizes.n_positions,
            n_audio_state=sizes.d_model,
            n_audio_head=sizes.n_heads,
            n_audio_layer=sizes.n_encoder_layers,
            n_vocab=sizes.n_vocab,
            n_text_ctx=sizes.n_text_positions,
            n_text_state=sizes.d_model,
            n_text_head=sizes.n_heads,
            n_text_layer=sizes.n_decoder_layers,
        )
    )
    model.load_state_dict({_their_name(name): tensor.float() for name, tensor in state.items()})
    return model.eval()


def _their_name(name: str) -> str:
    for ours, theirs in _PARTS.items():
        name = name.replace(ours, theirs)
    return name


def openai_decode(
    model: whisper.model.Whisper, checkpoint: Checkpoint, mel: torch.Tensor, options: DecodingOptions
) -> DecodingResult:
    """Their `decode` of one window [n_mels, 3000] with the tokens of our checkpoint."""
    ours, generation = checkpoint.tokenizer, checkpoint.generation
    blank = [token for token in generation.begin_suppress_tokens if token != ours.eot]
    sot_sequence = (ours.sot, ours.language_ids[options.language], ours.transcribe)
    theirs = SimpleNamespace(
        sot_sequence=sot_sequence,
        sot_sequence_including_notimestamps=(*sot_sequence, ours.no_timestamps),
        encode=lambda text: blank,  # only asked for " "
        decode=lambda token_ids: ours.decode([token for token in token_ids if token < ours.eot]),
        **{
            name: getattr(ours, name)
            for name in ("eot", "sot", "sot_prev", "sot_lm", "transcribe", "translate", "no_speech")
        },
        no_timestamps=ours.no_timestamps,
        timestamp_begin=ours.timestamp_begin,
    )
    with mock.patch("whisper.decoding.get_tokenizer", return_value=theirs):
        return whisper.decode(model, mel, options)
