"""What each window of a file is given to read before it is decoded.

Source: openai/whisper `transcribe.py`: the text before, forgotten after a window that needed a high temperature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ifw.pipeline.prompt import Prompts, last_of

if TYPE_CHECKING:
    from ifw.engine.request import Hypothesis
    from ifw.model.tokenizer import WhisperTokenizer

MAX_TRUSTED_TEMPERATURE: Final = 0.5  # text sampled above this is not passed on
MAX_PREVIOUS_TOKENS: Final = 40  # the last few sentences; docs/decoding.md says why not more


class TextContext:
    """Composes the prompts of the windows of one file, in their order.

    A prompt is the hot words and then, next to the audio, the text before the window: the initial prompt in front of
    the first window and, where windows are conditioned on the previous text, the end of what they came to since. That
    text is forgotten after a window that is suspect or was sampled above 0.5, as its errors would be repeated, and
    where the language changes, as a prompt in one language makes the model write that one.

    Args:
        prompts: What the caller gave.
        tokenizer: Of the checkpoint.
        is_conditioned: Windows are given the text before them: `add` must have seen it.
    """

    def __init__(self, prompts: Prompts, tokenizer: WhisperTokenizer, *, is_conditioned: bool) -> None:
        self.is_conditioned = is_conditioned
        self._prompts = prompts
        self._eot = tokenizer.eot
        self._n_room = prompts.max_tokens - len(prompts.hotword_ids)
        self._text_ids = prompts.initial_ids
        self._language: str | None = None

    def prompt_ids(self, window_index: int, language: str) -> tuple[int, ...]:
        """The text tokens in front of a window.

        Args:
            window_index: Its position in the file.
            language: ISO code in which it will be decoded.
        """
        is_text_before = (self.is_conditioned or not window_index) and self._language in (None, language)
        return self._prompts.hotword_ids + (self._text_ids if is_text_before else ())

    def plain_ids(self, window_index: int) -> tuple[int, ...]:
        """The same without what earlier windows came to."""
        return self._prompts.hotword_ids + (() if window_index else self._prompts.initial_ids)

    def prefix_ids(self, window_index: int) -> tuple[int, ...]:
        """The text tokens that the text of a window begins with."""
        return () if window_index else self._prompts.prefix_ids

    def add(self, hypothesis: Hypothesis) -> None:
        """Take note of what a window came to."""
        if not self.is_conditioned or hypothesis.is_silent:
            return
        if self._language not in (None, hypothesis.language):
            self._text_ids = ()
        self._language = hypothesis.language
        if hypothesis.suspect is not None or hypothesis.temperature > MAX_TRUSTED_TEMPERATURE:
            self._text_ids = ()
            return
        text_ids = tuple(token for token in hypothesis.token_ids if token < self._eot)
        self._text_ids = last_of(self._text_ids + text_ids, min(self._n_room, MAX_PREVIOUS_TOKENS))
