"""A checkpoint of ours in openai-whisper's own model class, and its tokenizer's interface around ours."""

from __future__ import annotations

import types
from unittest import mock

import torch
import whisper
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.tokenizer import Tokenizer as OpenaiTokenizer

from ifw.model.checkpoint import Checkpoint
from ifw.model.tokenizer import WhisperTokenizer

_RENAMED = (
    ("model.", ""),
    ("layers.", "blocks."),
    ("self_attn_layer_norm", "attn_ln"),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("self_attn", "attn"),
    ("encoder_attn", "cross_attn"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
    ("decoder.embed_tokens", "decoder.token_embedding"),
    ("embed_positions.weight", "positional_embedding"),
    ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
)


def load_model(checkpoint: Checkpoint, state: dict[str, torch.Tensor]) -> whisper.model.Whisper:
    """The same weights, named as in the file of the checkpoint, and the same alignment heads."""
    dims = checkpoint.dims
    model = whisper.model.Whisper(
        whisper.model.ModelDimensions(
            n_mels=dims.n_mels,
            n_audio_ctx=dims.n_positions,
            n_audio_state=dims.d_model,
            n_audio_head=dims.n_heads,
            n_audio_layer=dims.n_encoder_layers,
            n_vocab=dims.n_vocab,
            n_text_ctx=dims.n_text_positions,
            n_text_state=dims.d_model,
            n_text_head=dims.n_heads,
            n_text_layer=dims.n_decoder_layers,
        )
    )
    renamed = {}
    for name, tensor in state.items():
        for old, new in _RENAMED:
            name = name.replace(old, new)  # noqa: PLW2901
        renamed[name] = tensor.float()
    renamed.pop("proj_out.weight", None)
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    assert not unexpected
    assert set(missing) <= {"decoder.mask"}, missing
    heads = torch.zeros(dims.n_decoder_layers, dims.n_heads, dtype=torch.bool)
    for layer, head in checkpoint.generation.alignment_heads:
        heads[layer, head] = True
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return model.eval()


class TokenizerDouble:
    """What `find_alignment` asks of openai-whisper's tokenizer; the rules for words are its own."""

    def __init__(self, tokenizer: WhisperTokenizer, language: str, mode: str = "transcribe") -> None:
        self._tokenizer = tokenizer
        self.language = language
        self.eot = tokenizer.eot
        self.no_timestamps = tokenizer.no_timestamps
        mode_token = tokenizer.translate if mode == "translate" else tokenizer.transcribe
        self.sot_sequence = (tokenizer.sot, tokenizer.language_ids[language], mode_token)
        for name in ("split_to_word_tokens", "split_tokens_on_unicode", "split_tokens_on_spaces"):
            setattr(self, name, types.MethodType(getattr(OpenaiTokenizer, name), self))

    def decode_with_timestamps(self, token_ids) -> str:
        text = self._tokenizer.decode([token for token in token_ids if token < self.eot])
        return text + "<|endoftext|>" * sum(token == self.eot for token in token_ids)


def decode(
    model: whisper.model.Whisper, checkpoint: Checkpoint, mel: torch.Tensor, options: DecodingOptions
) -> DecodingResult:
    """Their `decode` of one window [n_mels, 3000] with the tokens of our checkpoint."""
    ours, generation = checkpoint.tokenizer, checkpoint.generation
    blank = [token for token in generation.begin_suppress_tokens if token != ours.eot]
    sot_sequence = (ours.sot, ours.language_ids[options.language], ours.transcribe)
    theirs = types.SimpleNamespace(
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
