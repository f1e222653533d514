"""The tokens that the decoder is given before it samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ifw.constants import MAX_PROMPT_TOKENS

if TYPE_CHECKING:
    from ifw.model.tokenizer import WhisperTokenizer
    from ifw.types import Mode


@dataclass(frozen=True, slots=True)
class Prefix:
    """What precedes the sampled tokens.

    Attributes:
        token_ids: All of it.
        sot_index: Where `<|startoftranscript|>` is: its logits hold the no-speech probability.
        given_ids: The end of it that belongs to the text of the window already.
    """

    token_ids: tuple[int, ...]
    sot_index: int
    given_ids: tuple[int, ...] = ()


def build_prefix(
    tokenizer: WhisperTokenizer,
    language: str,
    mode: Mode,
    prompt_ids: Sequence[int] = (),
    prefix_ids: Sequence[int] = (),
    *,
    timestamps: bool = True,
    max_prompt: int = MAX_PROMPT_TOKENS,
) -> Prefix:
    """Put prompt, language and mode into the order that Whisper was trained on.

    Args:
        tokenizer: Of the checkpoint; one that knows English only has no language and mode tokens.
        language: ISO code that the checkpoint knows.
        mode: Transcribe or translate.
        prompt_ids: Text tokens before the window.
        prefix_ids: Text tokens at the start of the window; with timestamps, 0.00 s precedes them.
        timestamps: False adds `<|notimestamps|>`.
        max_prompt: As many of the last prompt tokens are used.

    Returns:
        The prefix.
    """
    token_ids: list[int] = []
    if prompt_ids:
        token_ids += [tokenizer.sot_prev, *prompt_ids[-max_prompt:]]
    sot_index = len(token_ids)
    token_ids.append(tokenizer.sot)
    if tokenizer.is_multilingual:
        token_ids += [
            tokenizer.language_ids[language],
            tokenizer.translate if mode == "translate" else tokenizer.transcribe,
        ]
    if not timestamps:
        token_ids.append(tokenizer.no_timestamps)
    given_ids: tuple[int, ...] = ()
    if prefix_ids:
        given_ids = (tokenizer.timestamp_begin, *prefix_ids) if timestamps else tuple(prefix_ids)
    return Prefix((*token_ids, *given_ids), sot_index, given_ids)
