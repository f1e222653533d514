"""The model and its losses.

The weights live in a `WhisperForConditionalGeneration` of transformers, so that exporting is
saving; the forward pass is written out here, because explicit attention is faster on a CPU
than the fused one at this size, and because training needs the weights of one attention head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from transformers import WhisperConfig, WhisperForConditionalGeneration

from .batches import ENCODER_FRAMES, Batch
from .tokens import MAX_TARGET_POSITIONS, TIMESTAMP_COUNT, TokenIds

WIDTH = 192
HEADS = 3
ENCODER_LAYERS = 4
DECODER_LAYERS = 2
# Decoder layer and head whose attention is guided to the true time of each token.
ALIGNMENT_HEAD = (1, 0)
_LABEL_SMOOTHING = 0.05
_TIMESTAMP_SIGMA = 1.2
_TIMESTAMP_REACH = 4


def build_model(ids: TokenIds) -> WhisperForConditionalGeneration:
    """A freshly initialised model."""
    config = WhisperConfig(
        vocab_size=ids.size,
        num_mel_bins=80,
        d_model=WIDTH,
        encoder_layers=ENCODER_LAYERS,
        decoder_layers=DECODER_LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=4 * WIDTH,
        decoder_ffn_dim=4 * WIDTH,
        max_source_positions=ENCODER_FRAMES,
        max_target_positions=MAX_TARGET_POSITIONS,
        pad_token_id=ids.end,
        bos_token_id=ids.end,
        eos_token_id=ids.end,
        decoder_start_token_id=ids.start,
        begin_suppress_tokens=[ids.space, ids.end],
        suppress_tokens=[],
        median_filter_width=7,
    )
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        embedding = model.model.decoder.embed_tokens.weight
        positions = model.model.encoder.embed_positions.weight
        embedding.normal_(0, 0.05)
        # A timestamp starts out similar to the encoder position that it names.
        first, last = ids.first_timestamp, ids.first_timestamp + TIMESTAMP_COUNT - 1
        embedding[first:last] = embedding[first:last] * 0.3 + 0.06 * positions
        embedding[last] = embedding[last - 1]
        model.model.decoder.embed_positions.weight.normal_(0, 0.02)
    model.model.encoder.embed_positions.weight.requires_grad_(False)
    return model


def _split_heads(states: torch.Tensor) -> torch.Tensor:
    batch, length, width = states.shape
    return states.view(batch, length, HEADS, width // HEADS).transpose(1, 2)


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2))
    if causal:
        length = scores.shape[-1]
        scores = scores + torch.full((length, length), -1e4, dtype=scores.dtype).triu(1)
    with torch.autocast("cpu", enabled=False):
        weights = scores.softmax(-1)
    mixed = torch.matmul(weights, value)
    return mixed.transpose(1, 2).flatten(2), weights


def encode(model: WhisperForConditionalGeneration, features: torch.Tensor, position: int = 0) -> torch.Tensor:
    """Encoder states of features that begin at a given encoder position."""
    encoder = model.model.encoder
    states = functional.gelu(encoder.conv1(features))
    states = functional.gelu(encoder.conv2(states)).transpose(1, 2)
    states = states + encoder.embed_positions.weight[position : position + states.shape[1]]
    for layer in encoder.layers:
        attention = layer.self_attn
        normal = layer.self_attn_layer_norm(states)
        mixed, _ = _attend(
            _split_heads(attention.q_proj(normal)),
            _split_heads(attention.k_proj(normal)),
            _split_heads(attention.v_proj(normal)),
        )
        states = states + attention.out_proj(mixed)
        normal = layer.final_layer_norm(states)
        states = states + layer.fc2(functional.gelu(layer.fc1(normal)))
    encoded: torch.Tensor = encoder.layer_norm(states)
    return encoded


def decode(
    model: WhisperForConditionalGeneration, encoded: torch.Tensor, tokens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decoder states, and the attention of the alignment head."""
    decoder = model.model.decoder
    states = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[: tokens.shape[1]]
    alignment = torch.empty(0)
    for index, layer in enumerate(decoder.layers):
        attention = layer.self_attn
        normal = layer.self_attn_layer_norm(states)
        mixed, _ = _attend(
            _split_heads(attention.q_proj(normal)),
            _split_heads(attention.k_proj(normal)),
            _split_heads(attention.v_proj(normal)),
            causal=True,
        )
        states = states + attention.out_proj(mixed)
        attention = layer.encoder_attn
        normal = layer.encoder_attn_layer_norm(states)
        mixed, weights = _attend(
            _split_heads(attention.q_proj(normal)),
            _split_heads(attention.k_proj(encoded)),
            _split_heads(attention.v_proj(encoded)),
        )
        if index == ALIGNMENT_HEAD[0]:
            alignment = weights[:, ALIGNMENT_HEAD[1]]
        states = states + attention.out_proj(mixed)
        normal = layer.final_layer_norm(states)
        states = states + layer.fc2(functional.gelu(layer.fc1(normal)))
    return decoder.layer_norm(states), alignment


@dataclass
class Losses:
    """The three losses of a batch and the numbers worth logging."""

    tokens: torch.Tensor
    phonemes: torch.Tensor
    alignment: torch.Tensor
    metrics: dict[str, float]


def losses(
    model: WhisperForConditionalGeneration,
    phoneme_head: nn.Linear,
    ids: TokenIds,
    batch: Batch,
) -> Losses:
    """Forward pass and losses of one batch."""
    targets, weights = batch.tokens[:, 1:], batch.weights[:, 1:]
    wanted = weights > 0
    with torch.autocast("cpu", torch.bfloat16):
        encoded = encode(model, batch.features, batch.position)
        phoneme_logits = phoneme_head(encoded)
        states, alignment = decode(model, encoded, batch.inputs[:, :-1])
        embedding = model.model.decoder.embed_tokens.weight
        logits = functional.linear(states[wanted], embedding)
    log_probabilities = logits.float().log_softmax(-1)
    target = targets[wanted]
    phoneme_loss = functional.cross_entropy(
        phoneme_logits.float().flatten(0, 1),
        batch.phonemes.flatten(),
        label_smoothing=_LABEL_SMOOTHING,
    )
    return Losses(
        _token_loss(log_probabilities, target, ids),
        phoneme_loss,
        _alignment_loss(alignment.float(), batch.spans[:, 1:]),
        _metrics(log_probabilities, target, ids),
    )


def _token_loss(log_probabilities: torch.Tensor, target: torch.Tensor, ids: TokenIds) -> torch.Tensor:
    """Cross-entropy; a timestamp counts as nearly right when it is off by a step or two."""
    first = ids.first_timestamp
    is_time = target >= first
    text = log_probabilities[~is_time]
    right = text.gather(1, target[~is_time][:, None])[:, 0]
    smooth = text[:, :first].mean(1)
    total = (-(1 - _LABEL_SMOOTHING) * right - _LABEL_SMOOTHING * smooth).sum()
    if is_time.any():
        steps = torch.arange(-_TIMESTAMP_REACH, _TIMESTAMP_REACH + 1)
        near = target[is_time][:, None] + steps
        share = torch.exp(-(steps**2) / (2 * _TIMESTAMP_SIGMA**2))
        share = share * ((near >= first) & (near < first + TIMESTAMP_COUNT))
        share = share / share.sum(1, keepdim=True)
        near = near.clamp(first, first + TIMESTAMP_COUNT - 1)
        total = total - (log_probabilities[is_time].gather(1, near) * share).sum()
    return total / len(target)


def _alignment_loss(attention: torch.Tensor, spans: torch.Tensor) -> torch.Tensor:
    """Minus the logarithm of the attention that falls into the span of the next token."""
    known = spans[..., 1] > spans[..., 0]
    cumulated = functional.pad(attention.cumsum(-1), (1, 0))
    inside = cumulated.gather(2, spans[..., 1:]) - cumulated.gather(2, spans[..., :1])
    return -((inside[..., 0].clamp_min(0) + 1e-4).log() * known).sum() / (known.sum() + 1)


@torch.no_grad()
def _metrics(log_probabilities: torch.Tensor, target: torch.Tensor, ids: TokenIds) -> dict[str, float]:
    first = ids.first_timestamp
    is_time = target >= first
    metrics = {}
    text_right = log_probabilities[~is_time].argmax(1) == target[~is_time]
    metrics["text"] = float(text_right.float().mean())
    if is_time.any():
        guess = log_probabilities[is_time][:, first:].argmax(1) + first
        metrics["time"] = float(((guess - target[is_time]).abs() <= 2).float().mean())
    return metrics
