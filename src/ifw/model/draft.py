"""A small decoder that proposes tokens to a large one: the decoder of a distilled checkpoint, on the same encoder."""

from __future__ import annotations

import logging
from typing import Final

import torch

from ifw.errors import ConfigError
from ifw.model.checkpoint import Checkpoint
from ifw.model.compute_type import ops_for
from ifw.model.dims import ModelDims
from ifw.model.tokenizer import WhisperTokenizer
from ifw.model.weights import load_weights, open_weights
from ifw.model.whisper import Whisper

_LOG = logging.getLogger(__name__)
_ENCODER_SIZES: Final = ("n_mels", "d_model", "n_heads", "n_encoder_layers", "encoder_ffn", "n_positions")
_SPECIAL: Final = (
    "eot", "sot", "translate", "transcribe", "sot_lm", "sot_prev", "no_speech", "timestamp_begin"
)  # fmt: skip
_COMPARED: Final = ("encoder.conv1.bias", "encoder.layer_norm.weight", "encoder.layer_norm.bias")
_TOLERANCE: Final = 1e-3  # the files may be of different dtypes


def load_draft(draft: Checkpoint, main: Checkpoint, model: Whisper) -> Whisper:
    """Load the decoder of a checkpoint that proposes tokens to another one.

    Args:
        draft: What proposes, such as distil-large-v3.
        main: What decides, such as large-v3.
        model: The weights of `main`, whose device, compute type and encoder the draft takes over.

    Returns:
        The draft; of its own weights only those of the decoder are read.

    Raises:
        ConfigError: The two have different vocabularies, or encoders of different shapes.
        ModelError: The weights cannot be read; the subclass and the message say why.
    """
    check_draft(draft, main)
    if not _is_same_encoder(draft, main):
        _LOG.warning(
            "draft_model: the encoder of %s is not that of %s, so the model will accept fewer of its tokens, and there "
            "may be nothing gained; the text stays the same",
            draft.name,
            main.name,
        )
    ops = ops_for(model.device, model.compute_type)
    return load_weights(draft.path, draft.dims, model.device, model.dtype, ops, encoder_of=model)


def check_draft(draft: Checkpoint, main: Checkpoint) -> None:
    """Refuse a checkpoint whose tokens or whose audio mean something else to the other one.

    Raises:
        ConfigError: The two have different vocabularies, or encoders of different shapes.
    """
    wrong = _first_difference(draft.dims, main.dims, _ENCODER_SIZES)
    if wrong is not None:
        name, got, allowed = wrong
        raise ConfigError(
            f"draft_model: got {draft.name!r}, whose encoder has another shape ({name} {got}), allowed: one with that "
            f"of {main.name!r} ({allowed}), such as a checkpoint that was distilled from it"
        )
    if draft.dims.n_vocab != main.dims.n_vocab or _vocabulary(draft.tokenizer) != _vocabulary(main.tokenizer):
        raise ConfigError(
            f"draft_model: got {draft.name!r}, which has another vocabulary ({draft.dims.n_vocab} tokens), allowed: "
            f"one with that of {main.name!r} ({main.dims.n_vocab} tokens), such as a checkpoint that was distilled "
            "from it"
        )
    if draft.dims.n_text_positions < main.dims.n_text_positions:
        raise ConfigError(
            f"draft_model: got {draft.name!r}, whose context is {draft.dims.n_text_positions} tokens, allowed: at "
            f"least the {main.dims.n_text_positions} of {main.name!r}"
        )


def _first_difference(one: ModelDims, other: ModelDims, names: tuple[str, ...]) -> tuple[str, int, int] | None:
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in names)
    return next((pair for pair in pairs if pair[1] != pair[2]), None)


def _vocabulary(tokenizer: WhisperTokenizer) -> tuple[object, ...]:
    """What its tokens mean."""
    special = tuple(getattr(tokenizer, name) for name in _SPECIAL)
    text = b"\0".join(tokenizer.decode_bytes([token_id]) for token_id in range(tokenizer.eot))
    return (special, dict(tokenizer.language_ids), text)


def _is_same_encoder(draft: Checkpoint, main: Checkpoint) -> bool:
    """Whether some small tensors at both of its ends are equal; fine-tuning changes all of them."""
    cpu = torch.device("cpu")
    with (
        open_weights(draft.path, draft.dims, cpu) as read_draft,
        open_weights(main.path, main.dims, cpu) as read_main,
    ):
        return all(
            torch.allclose(read_draft(name).float(), read_main(name).float(), rtol=_TOLERANCE, atol=_TOLERANCE)
            for name in _COMPARED
        )
