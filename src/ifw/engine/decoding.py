"""One window on its way through its attempts: tokens in, a hypothesis out. No tensors here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ifw.engine.attempts import AttemptOptions, attempt_ladder
from ifw.engine.guards import LOOP_TOKENS, Attempt, Verdict, best_attempt, compression_ratio, is_looping, judge
from ifw.engine.request import Hypothesis
from ifw.engine.search import BeamSearch, Candidates, Move, SampleSearch, Search, SearchLimits

if TYPE_CHECKING:
    from ifw.config import DecodeOptions
    from ifw.engine.prefix import Prefix
    from ifw.engine.request import DecodeRequest
    from ifw.model.tokenizer import WhisperTokenizer


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
        self._ladder = attempt_ladder(request.options)
        self._attempts: list[Attempt] = []
        self._search = self._new_search()

    @property
    def attempt_index(self) -> int:
        """How many attempts came before the one that is running."""
        return len(self._attempts)

    @property
    def attempt_options(self) -> AttemptOptions:
        """Of the attempt that is running."""
        return self._ladder[self.attempt_index]

    @property
    def moves(self) -> Sequence[Move]:
        """How the rows of the attempt go on; empty before its first token."""
        return self._search.moves

    def advance(self, candidates: Candidates) -> bool:
        """Take what the rows of the attempt gave.

        Args:
            candidates: For each row tokens and their natural-log probabilities: one for a sample, for a beam search
                the likeliest.

        Returns:
            Whether the attempt has come to its end; `conclude` says what follows.

        Raises:
            EngineError: The model gave numbers that are not finite.
        """
        return self._search.advance(candidates)

    def conclude(self) -> Hypothesis | None:
        """Judge the attempt that has just ended.

        Returns:
            The result, or None where the next attempt has begun.
        """
        attempt = self._end_attempt()
        verdict = judge(attempt, self._options)
        if verdict.is_retried:
            if len(self._attempts) < len(self._ladder):
                self._search = self._new_search()
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
            token_logprobs=attempt.token_logprobs if self._options.token_logprobs else None,
        )

    def _new_search(self) -> Search:
        options = self.attempt_options
        is_last = self.attempt_index + 1 == len(self._ladder)
        limits = SearchLimits(
            eot=self._tokenizer.eot,
            max_tokens=self._max_tokens,
            # without a way back to this object: in a circle, the samples of the window would outlive its text
            is_hopeless=_never if is_last else partial(_is_hopeless, self._tokenizer, self._options),
        )
        return (BeamSearch if options.kind == "beam" else SampleSearch)(options.n_hypotheses, limits)

    def _end_attempt(self) -> Attempt:
        best, given_ids = self._search.best(), self.prefix.given_ids
        attempt = Attempt(
            token_ids=(*given_ids, *best.token_ids),
            text=self._tokenizer.decode([*given_ids, *best.token_ids]).strip(),
            avg_logprob=best.sum_logprob / (len(best.token_ids) + 1),
            no_speech_prob=self.no_speech_prob,
            temperature=self.attempt_options.temperature,
            is_cut=best.is_cut,
            token_logprobs=(*(0.0 for _ in given_ids), *best.token_logprobs),
        )
        self._attempts.append(attempt)
        return attempt


def _is_hopeless(tokenizer: WhisperTokenizer, options: DecodeOptions, token_ids: Sequence[int]) -> bool:
    """Whether tokens repeat one phrase and their text fails the guard."""
    threshold = options.compression_ratio_threshold
    if threshold is None or len(token_ids) < LOOP_TOKENS:
        return False
    text_ids = [token for token in token_ids if token < tokenizer.eot]
    return is_looping(text_ids) and compression_ratio(tokenizer.decode(text_ids).strip()) > threshold


def _never(token_ids: Sequence[int]) -> bool:
    return False
