"""The caller's prompt as tokens that fit in front of a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ifw.constants import MAX_PROMPT_TOKENS
from ifw.errors import PromptError
from ifw.types import TranscriptWarning

if TYPE_CHECKING:
    from ifw.model.tokenizer import WhisperTokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    """Prompt tokens without `<|startofprev|>`, and what had to be cut."""

    token_ids: tuple[int, ...] = ()
    warnings: tuple[TranscriptWarning, ...] = ()


def encode_prompt(text: str | None, tokenizer: WhisperTokenizer) -> Prompt:
    """Tokenise a prompt; of one that is too long the end is kept, as it is nearest to the audio.

    Args:
        text: Names, spelling, style; None or blank is no prompt.
        tokenizer: The checkpoint's own.

    Raises:
        PromptError: The text holds half a surrogate pair, as undecodable bytes of a command line become.
    """
    if text is None or not text.strip():
        return Prompt()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"prompt: got U+{ord(text[error.start]):04X} at position {error.start}, allowed: text that UTF-8 can write"
        ) from error
    token_ids = tuple(tokenizer.encode(" " + text.strip()))
    if len(token_ids) <= MAX_PROMPT_TOKENS:
        return Prompt(token_ids)
    message = f"the prompt has {len(token_ids)} tokens; only the last {MAX_PROMPT_TOKENS} are used"
    return Prompt(token_ids[-MAX_PROMPT_TOKENS:], (TranscriptWarning("prompt_truncated", message),))
