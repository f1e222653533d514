"""The hypotheses of one attempt at a window: which go on, which have ended, which is the best. No tensors here.

Source: openai/whisper `decoding.py`, `BeamSearchDecoder` with patience 1, `GreedyDecoder`, `MaximumLikelihoodRanker`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ifw.errors import EngineError

_LOOP_CHECK_TOKENS = 16


class Sampled(NamedTuple):
    """A token that a row gave, and its natural-log probability."""

    token: int
    logprob: float


Candidates = Sequence[Sequence[Sampled]]  # for each row its tokens, likeliest first


class Move(NamedTuple):
    """How a row goes on: it takes over the row `source` of the step before and adds `token`."""

    source: int
    token: int


class SearchHypothesis(NamedTuple):
    """The tokens of one hypothesis so far.

    Attributes:
        token_ids: Sampled tokens, without `<|endoftext|>`.
        sum_logprob: Sum of their natural-log probabilities, and of that of the end where it came by itself.
        is_cut: It was given up because it had fallen into a loop.
        token_logprobs: Natural-log probability of each of `token_ids`.
    """

    token_ids: tuple[int, ...] = ()
    sum_logprob: float = 0.0
    is_cut: bool = False
    token_logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchLimits:
    """Where a hypothesis ends.

    Attributes:
        eot: `<|endoftext|>`.
        max_tokens: As many tokens before it.
        is_hopeless: Whether tokens repeat one phrase and another attempt should be made instead; asked at every
            sixteenth token.
    """

    eot: int
    max_tokens: int
    is_hopeless: Callable[[Sequence[int]], bool]


class Search(Protocol):
    """Grows the hypotheses of one attempt, a token a step."""

    @property
    def moves(self) -> Sequence[Move]:
        """How the rows go on, one a live hypothesis; empty before the first step."""
        ...

    def advance(self, candidates: Candidates) -> bool:
        """Take what the rows gave.

        Args:
            candidates: One list a row, in the order of `moves`.

        Returns:
            Whether the attempt has come to its end.

        Raises:
            EngineError: The model gave numbers that are not finite.
        """
        ...

    def best(self) -> SearchHypothesis:
        """The best hypothesis; there after the end."""
        ...


@dataclass(slots=True, eq=False)
class _Sample:
    """A sample that is growing, and its row in the step before."""

    row: int
    token_ids: list[int]
    sum_logprob: float
    token_logprobs: list[float]


class SampleSearch:
    """Independent samples, one token each a step. One sample at temperature 0 is greedy decoding."""

    def __init__(self, n_samples: int, limits: SearchLimits) -> None:
        self._limits = limits
        self._live = [_Sample(row, [], 0.0, []) for row in range(n_samples)]
        self._ended: list[SearchHypothesis] = []

    @property
    def moves(self) -> Sequence[Move]:
        """See `Search.moves`."""
        return [Move(sample.row, sample.token_ids[-1]) for sample in self._live if sample.token_ids]

    def advance(self, candidates: Candidates) -> bool:
        """See `Search.advance`; each row gives one candidate."""
        limits, rows = self._limits, self._live
        for row, (sample, ((token, logprob),)) in enumerate(zip(rows, candidates, strict=True)):
            if not math.isfinite(logprob):
                raise _not_finite(token, logprob)
            sample.row = row
            sample.sum_logprob += logprob
            if token == limits.eot:
                self._end(sample)
                continue
            sample.token_ids.append(token)
            sample.token_logprobs.append(logprob)
            n_tokens = len(sample.token_ids)
            is_cut = n_tokens % _LOOP_CHECK_TOKENS == 0 and limits.is_hopeless(sample.token_ids)
            if is_cut or n_tokens >= limits.max_tokens:
                self._end(sample, is_cut=is_cut)
        return not self._live

    def best(self) -> SearchHypothesis:
        """See `Search.best`."""
        return _likeliest(self._ended)

    def _end(self, sample: _Sample, *, is_cut: bool = False) -> None:
        self._live = [other for other in self._live if other is not sample]
        token_ids, token_logprobs = tuple(sample.token_ids), tuple(sample.token_logprobs)
        self._ended.append(SearchHypothesis(token_ids, sample.sum_logprob, is_cut, token_logprobs))


class BeamSearch:
    """The likeliest hypotheses of each length, until as many have ended.

    It differs from openai-whisper's in two points. A continuation of probability 0 is none, where theirs fills the beam
    with such. A hypothesis that has fallen into a loop has ended, and counts only where nothing better has.

    Args:
        beam_size: Hypotheses kept, and hypotheses that have to end.
        limits: Where one ends.
    """

    def __init__(self, beam_size: int, limits: SearchLimits) -> None:
        self._beam_size = beam_size
        self._limits = limits
        self._live = [SearchHypothesis()]
        self._ended: list[SearchHypothesis] = []
        self._moves: list[Move] = []

    @property
    def moves(self) -> Sequence[Move]:
        """See `Search.moves`."""
        return self._moves

    def advance(self, candidates: Candidates) -> bool:
        """See `Search.advance`; each row gives one candidate more than there are hypotheses, so that one may end."""
        for (token, logprob), *_ in candidates:
            if not math.isfinite(logprob):
                raise _not_finite(token, logprob)
        ranked = sorted(
            (
                (hypothesis.sum_logprob + logprob, row, token, logprob)
                for row, (hypothesis, tokens) in enumerate(zip(self._live, candidates, strict=True))
                for token, logprob in tokens
                if logprob > -math.inf
            ),
            key=lambda candidate: candidate[0],
            reverse=True,
        )
        rows, self._live, self._moves = self._live, [], []
        for sum_logprob, row, token, logprob in ranked:
            before = rows[row]
            if token == self._limits.eot:
                self._end(before._replace(sum_logprob=sum_logprob))
                continue
            logprobs = (*before.token_logprobs, logprob)
            hypothesis = SearchHypothesis((*before.token_ids, token), sum_logprob, token_logprobs=logprobs)
            if len(hypothesis.token_ids) % _LOOP_CHECK_TOKENS == 0 and self._limits.is_hopeless(hypothesis.token_ids):
                self._end(hypothesis._replace(is_cut=True))
                continue
            self._live.append(hypothesis)
            self._moves.append(Move(row, token))
            if len(self._live) == self._beam_size:
                break
        if self._live and len(self._live[0].token_ids) < self._limits.max_tokens:
            return len(self._ended) == self._beam_size
        return True

    def best(self) -> SearchHypothesis:
        """See `Search.best`."""
        return _likeliest(self.hypotheses)

    @property
    def hypotheses(self) -> Sequence[SearchHypothesis]:
        """Those that have ended and, where these are too few, the likeliest of the others."""
        n_missing = self._beam_size - len(self._ended)
        return [*self._ended, *self._live[:n_missing]]

    def _end(self, hypothesis: SearchHypothesis) -> None:
        if len(self._ended) < self._beam_size:
            self._ended.append(hypothesis)


def _likeliest(hypotheses: Sequence[SearchHypothesis]) -> SearchHypothesis:
    """The one of the highest log-probability a token; one that was cut only where there is no other."""
    return max(hypotheses, key=lambda one: (not one.is_cut, one.sum_logprob / max(1, len(one.token_ids))))


def _not_finite(token: int, logprob: float) -> EngineError:
    return EngineError(
        f"the model gave a log-probability of {logprob} for token {token}: its weights are damaged, or the compute "
        "type does not suit it; try float32"
    )
