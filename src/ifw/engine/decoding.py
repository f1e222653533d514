"""One window on its way through its attempts: tokens in, a hypothesis out. No tensors here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ifw.engine.fallback import LOOP_TOKENS, Attempt, Verdict, best_attempt, compression_ratio, is_looping, judge
from ifw.engine.request import Hypothesis
from ifw.errors import EngineError

if TYPE_CHECKING:
    from ifw.engine.prefix import Prefix
    from ifw.engine.request import DecodeRequest
    from ifw.model.tokenizer import WhisperTokenizer

_LOOP_CHECK_TOKENS = 16


class WindowDecoding:
    """Collects the sampled tokens of a window, attempt by attempt, and decides when it is done.

    Args:
        request: The window.
        prefix: What the decoder is given before it samples.
        language: ISO code in the prefix.
        tokenizer: Of the checkpoint.
        n_text_positions: Context of the decoder in tokens.
    """

    def __init__(
        self,
        request: DecodeRequest,
        prefix: Prefix,
        *,
        language: str,
        tokenizer: WhisperTokenizer,
        n_text_positions: int,
    ) -> None:
        self.request = request
        self.prefix = prefix
        self.no_speech_prob = 0.0
        self._options = request.options
        self._language = language
        self._tokenizer = tokenizer
        self._max_tokens = min(request.options.max_tokens, n_text_positions - len(prefix.token_ids) + 1)
        self._attempts: list[Attempt] = []
        self._token_ids: list[int] = []
        self._sum_logprob = 0.0

    @property
    def attempt_index(self) -> int:
        """How many attempts came before the one that is running."""
        return len(self._attempts)

    @property
    def temperature(self) -> float:
        """Of the attempt that is running."""
        return self._options.temperatures[self.attempt_index]

    def add(self, token: int, logprob: float) -> bool:
        """Take a sampled token.

        Args:
            token: As sampled.
            logprob: Its natural-log probability.

        Returns:
            Whether the attempt has come to its end.

        Raises:
            EngineError: The model gave numbers that are not finite.
        """
        if not math.isfinite(logprob):
            raise EngineError(
                f"the model gave a log-probability of {logprob} for token {token}; "
                "the weights or the dtype do not suit the model"
            )
        self._sum_logprob += logprob
        if token == self._tokenizer.eot:
            self._end_attempt()
            return True
        self._token_ids.append(token)
        n_sampled = len(self._token_ids)
        is_cut = n_sampled % _LOOP_CHECK_TOKENS == 0 and self._is_hopeless()
        if is_cut or n_sampled >= self._max_tokens:
            self._end_attempt(is_cut=is_cut)
            return True
        return False

    def conclude(self) -> Hypothesis | None:
        """Judge the attempt that has just ended.

        Returns:
            The result, or None where the window has to be decoded again at the next temperature.
        """
        attempt = self._attempts[-1]
        verdict = judge(attempt, self._options)
        if verdict.suspect:
            if len(self._attempts) < len(self._options.temperatures):
                return None
            attempt = best_attempt(self._attempts, self._options)
            verdict = judge(attempt, self._options)
        is_silent = verdict is Verdict.SILENT
        return Hypothesis(
            token_ids=attempt.token_ids,
            text="" if is_silent else attempt.text,
            language=self._language,
            avg_logprob=attempt.avg_logprob,
            no_speech_prob=attempt.no_speech_prob,
            compression_ratio=attempt.compression_ratio,
            temperature=attempt.temperature,
            suspect=verdict.suspect,
            is_silent=is_silent,
            n_attempts=len(self._attempts),
        )

    def _end_attempt(self, *, is_cut: bool = False) -> None:
        attempt = Attempt(
            token_ids=(*self.prefix.given_ids, *self._token_ids),
            text=self._tokenizer.decode([*self.prefix.given_ids, *self._token_ids]).strip(),
            avg_logprob=self._sum_logprob / (len(self._token_ids) + 1),
            no_speech_prob=self.no_speech_prob,
            temperature=self.temperature,
            is_cut=is_cut,
        )
        self._attempts.append(attempt)
        self._token_ids = []
        self._sum_logprob = 0.0

    def _text_ids(self) -> Sequence[int]:
        eot = self._tokenizer.eot
        return [token for token in self._token_ids if token < eot]

    def _is_hopeless(self) -> bool:
        """Whether the attempt repeats one phrase and its text fails the guard, with another attempt to come."""
        threshold = self._options.compression_ratio_threshold
        if threshold is None or self.attempt_index + 1 == len(self._options.temperatures):
            return False
        if len(self._token_ids) < LOOP_TOKENS:
            return False
        text_ids = self._text_ids()
        return is_looping(text_ids) and compression_ratio(self._tokenizer.decode(text_ids).strip()) > threshold
