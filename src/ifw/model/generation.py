"""What a checkpoint says about decoding: which tokens to suppress, language and mode tokens, alignment heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ifw.errors import ModelFormatError
from ifw.model.dims import ModelDims
from ifw.model.json_file import expect, expect_list, expect_map
from ifw.model.tokenizer import WhisperTokenizer, non_speech_tokens
from ifw.types import Mode

DEFAULT_MAX_INITIAL_TIMESTAMP_INDEX: Final = 50  # 1.00 s


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """The content of `generation_config.json`, completed where it is absent, as in old fine-tunes.

    Attributes:
        suppress_tokens: Never produced.
        begin_suppress_tokens: Not produced as the first text token of a window: a space, or the end of the window.
        lang_to_id: ISO code to language token, of those in the vocabulary that the file lists, or of all where it
            lists none; empty for English-only checkpoints.
        task_to_id: Mode to mode token; empty for English-only checkpoints.
        alignment_heads: (decoder layer, head) pairs whose cross-attention follows the audio.
        is_multilingual: The prefix carries a language and a mode token.
        max_initial_timestamp_index: The first timestamp is at most this many steps of 0.02 s into the window.
    """

    suppress_tokens: tuple[int, ...]
    begin_suppress_tokens: tuple[int, ...]
    lang_to_id: Mapping[str, int]
    task_to_id: Mapping[Mode, int]
    alignment_heads: tuple[tuple[int, int], ...]
    is_multilingual: bool
    max_initial_timestamp_index: int = DEFAULT_MAX_INITIAL_TIMESTAMP_INDEX


def read_generation_config(
    files: Iterable[Mapping[str, Any]], dims: ModelDims, tokenizer: WhisperTokenizer
) -> GenerationConfig:
    """Complete what the files of a checkpoint say about decoding.

    Args:
        files: The parsed `generation_config.json`, where there is one, then `config.json`, which held some of the
            keys before 2023. The first file that has a key decides, also where it says null, which is "none".
        dims: The sizes.
        tokenizer: Of the same checkpoint.

    Returns:
        The completed config: lists that no file has are those of openai-whisper; without alignment heads they are
        all heads of the upper half of the layers.

    Raises:
        ModelFormatError: A key has a value of the wrong kind, or a token id beyond the vocabulary.
    """
    given: dict[str, Any] = {}
    for content in files:
        given = {**content, **given}
    try:
        return _complete(given, dims, tokenizer)
    except ModelFormatError as error:
        raise ModelFormatError(f"generation_config.json or config.json: {error}") from error


def _complete(given: Mapping[str, Any], dims: ModelDims, tokenizer: WhisperTokenizer) -> GenerationConfig:
    first_timestamp = given.get("max_initial_timestamp_index")
    return GenerationConfig(
        suppress_tokens=(
            _token_ids("suppress_tokens", given["suppress_tokens"], dims)
            if "suppress_tokens" in given
            else _default_suppressed(tokenizer)
        ),
        begin_suppress_tokens=(
            _token_ids("begin_suppress_tokens", given["begin_suppress_tokens"], dims)
            if "begin_suppress_tokens" in given
            else (tokenizer.encode(" ")[0], tokenizer.eot)
        ),
        lang_to_id=MappingProxyType(_languages(given.get("lang_to_id"), dims, tokenizer)),
        task_to_id=MappingProxyType(_modes(given.get("task_to_id"), tokenizer)),
        alignment_heads=_alignment_heads(given.get("alignment_heads"), dims),
        is_multilingual=tokenizer.is_multilingual,
        max_initial_timestamp_index=(
            DEFAULT_MAX_INITIAL_TIMESTAMP_INDEX
            if first_timestamp is None
            else expect(first_timestamp, int, "max_initial_timestamp_index")
        ),
    )


def _token_ids(key: str, value: object, dims: ModelDims) -> tuple[int, ...]:
    token_ids = tuple(expect_list([] if value is None else value, int, key))
    beyond = [token_id for token_id in token_ids if not 0 <= token_id < dims.n_vocab]
    if beyond:
        raise ModelFormatError(f"{key}: got {beyond[0]}, allowed: 0 to {dims.n_vocab - 1}, the vocabulary")
    return token_ids


def _default_suppressed(tokenizer: WhisperTokenizer) -> tuple[int, ...]:
    special = (
        tokenizer.sot,
        tokenizer.translate,
        tokenizer.transcribe,
        tokenizer.sot_lm,
        tokenizer.sot_prev,
        tokenizer.no_speech,
    )
    return tuple(sorted({*non_speech_tokens(tokenizer), *special}))


def _languages(value: object, dims: ModelDims, tokenizer: WhisperTokenizer) -> dict[str, int]:
    given = {} if value is None else expect_map(value, int, "lang_to_id")
    _token_ids("lang_to_id", list(given.values()), dims)
    if not tokenizer.is_multilingual or not given:
        return dict(tokenizer.language_ids)
    listed = {name.removeprefix("<|").removesuffix("|>") for name in given}
    known = {code: token_id for code, token_id in tokenizer.language_ids.items() if code in listed}
    if not known:
        raise ModelFormatError(f"lang_to_id: got {', '.join(given)}, allowed: languages of the tokenizer")
    return known


def _modes(value: object, tokenizer: WhisperTokenizer) -> dict[Mode, int]:
    given = {} if value is None else expect_map(value, int, "task_to_id")
    if not tokenizer.is_multilingual:
        return {}
    known: dict[Mode, int] = {"transcribe": tokenizer.transcribe, "translate": tokenizer.translate}
    return {mode: token_id for mode, token_id in known.items() if not given or mode in given}


def _alignment_heads(value: object, dims: ModelDims) -> tuple[tuple[int, int], ...]:
    given = expect_list([] if value is None else value, list, "alignment_heads")
    if any(len(pair) != 2 for pair in given):
        raise ModelFormatError("alignment_heads: got an item that is no pair, allowed: [layer, head]")
    pairs = [(expect(layer, int, "alignment_heads"), expect(head, int, "alignment_heads")) for layer, head in given]
    # A distilled checkpoint may carry the list of its teacher, which had more layers.
    inside = tuple(pair for pair in pairs if pair[0] < dims.n_decoder_layers and pair[1] < dims.n_heads)
    if inside:
        return inside
    upper_half = range(dims.n_decoder_layers // 2, dims.n_decoder_layers)
    return tuple((layer, head) for layer in upper_half for head in range(dims.n_heads))
