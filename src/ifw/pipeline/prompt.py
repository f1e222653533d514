"""What the caller gives the windows of a file to read first, as tokens that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ifw.errors import PromptError
from ifw.types import TranscriptWarning

if TYPE_CHECKING:
    from ifw.config import DecodeOptions
    from ifw.model.tokenizer import WhisperTokenizer


@dataclass(frozen=True, slots=True)
class Prompts:
    """Tokens without `<|startofprev|>`, and what had to be cut.

    Attributes:
        hotword_ids: In front of every window.
        initial_ids: After them in front of the first window: at most what they leave of `max_tokens`.
        prefix_ids: How the text of the first window begins.
        max_tokens: As many tokens may precede a window.
        warnings: One for each text that was cut.
    """

    hotword_ids: tuple[int, ...]
    initial_ids: tuple[int, ...]
    prefix_ids: tuple[int, ...]
    max_tokens: int
    warnings: tuple[TranscriptWarning, ...]


def encode_prompts(options: DecodeOptions, tokenizer: WhisperTokenizer, n_text_positions: int) -> Prompts:
    """Tokenise the three texts.

    Hot words come first, as they hold for every window; where they are too long their beginning is kept. The initial
    prompt is next to the audio and gets the rest of the room; its end is kept, which is nearest. A prefix is never cut,
    as the text would not begin with it.

    Args:
        options: `hotwords`, `initial_prompt` and `prefix` are read; None or blank is none.
        tokenizer: The checkpoint's own.
        n_text_positions: Context of its decoder in tokens. Half of it, less one, may be prompt, a quarter prefix.

    Raises:
        PromptError: A text holds half a surrogate pair, as undecodable bytes of a command line become; or the prefix
            is too long.
    """
    max_tokens, max_prefix = n_text_positions // 2 - 1, n_text_positions // 4
    hotword_ids = _encode("hotwords", options.hotwords, tokenizer)
    initial_ids = _encode("initial_prompt", options.initial_prompt, tokenizer)
    prefix_ids = _encode("prefix", options.prefix, tokenizer)
    if len(prefix_ids) > max_prefix:
        raise PromptError(f"prefix: got {len(prefix_ids)} tokens, allowed: at most {max_prefix}")
    warnings = []
    if len(hotword_ids) > max_tokens:
        message = f"the hot words have {len(hotword_ids)} tokens; only the first {max_tokens} are used"
        warnings.append(TranscriptWarning("hotwords_truncated", message))
        hotword_ids = hotword_ids[:max_tokens]
    n_left = max_tokens - len(hotword_ids)
    if len(initial_ids) > n_left:
        used = f"only the last {n_left} are used" if n_left else "none is used"
        because = f", as the hot words take {len(hotword_ids)} of {max_tokens}" if hotword_ids else ""
        warnings.append(
            TranscriptWarning("prompt_truncated", f"the prompt has {len(initial_ids)} tokens; {used}{because}")
        )
        initial_ids = last_of(initial_ids, n_left)
    return Prompts(hotword_ids, initial_ids, prefix_ids, max_tokens, tuple(warnings))


def last_of(token_ids: tuple[int, ...], n_tokens: int) -> tuple[int, ...]:
    """At most the last `n_tokens` of some tokens."""
    return token_ids[max(len(token_ids) - n_tokens, 0) :]


def _encode(name: str, text: str | None, tokenizer: WhisperTokenizer) -> tuple[int, ...]:
    if text is None or not text.strip():
        return ()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"{name}: got U+{ord(text[error.start]):04X} at position {error.start}, allowed: text that UTF-8 can write"
        ) from error
    return tuple(tokenizer.encode(" " + text.strip()))
