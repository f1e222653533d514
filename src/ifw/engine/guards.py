"""When a hypothesis is believed, when the window is decoded again, and which attempt is kept.

Source: openai/whisper `transcribe.py`, `decode_with_fallback` and the no-speech rule below it.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ifw.config import DecodeOptions
from ifw.types import SuspectReason

LOOP_TOKENS = 64
_MAX_LOOP_PERIOD = 16


class Verdict(enum.Enum):
    """What the guards say about an attempt."""

    ACCEPTED = "accepted"
    SILENT = "silent"
    REPETITIVE = "repetitive"
    UNLIKELY = "unlikely"
    DOUBTFUL = "doubtful"

    @property
    def suspect(self) -> SuspectReason | None:
        """Why the attempt is not believed; None where it is."""
        return _REASONS.get(self)

    @property
    def is_retried(self) -> bool:
        """Whether the window is decoded again, where an attempt is left."""
        return self in _RETRIED


_REASONS: Final[Mapping[Verdict, SuspectReason]] = MappingProxyType(
    {Verdict.REPETITIVE: "repetition", Verdict.UNLIKELY: "low_probability", Verdict.DOUBTFUL: "no_speech"}
)
_RETRIED: Final = frozenset({Verdict.REPETITIVE, Verdict.UNLIKELY})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One decoding of a window: greedy, a beam search, or samples at one temperature.

    Attributes:
        token_ids: Sampled tokens with timestamps, without `<|endoftext|>`.
        text: Their text, without surrounding space.
        avg_logprob: Mean natural-log probability of the tokens and the end.
        no_speech_prob: Probability of `<|nospeech|>` at the start.
        temperature: Of the sampler; 0 of a beam search.
        is_cut: It was given up because it had fallen into a loop.
        token_logprobs: Natural-log probability of each of `token_ids`; 0 of those that were given, not sampled.
    """

    token_ids: tuple[int, ...]
    text: str
    avg_logprob: float
    no_speech_prob: float
    temperature: float
    is_cut: bool = False
    token_logprobs: tuple[float, ...] = ()

    @property
    def compression_ratio(self) -> float:
        """See the function of this name."""
        return compression_ratio(self.text)


def compression_ratio(text: str) -> float:
    """Bytes of `text` over its zlib-compressed bytes: high where the text repeats itself, 0 where it is empty."""
    data = text.encode()
    return len(data) / len(zlib.compress(data))


def judge(attempt: Attempt, options: DecodeOptions) -> Verdict:
    """Apply the guards of `options` to an attempt.

    openai-whisper believes text that is likely enough, whatever the probability that nobody speaks: so "Thank you."
    gets into transcripts of applause. Here such text is kept, for speech in noise looks the same, and not tried again,
    for it would come again; but it is marked, unless its mean log-probability is above half of the threshold (with the
    default 61 % a token).
    """
    floor = options.logprob_threshold
    is_unlikely = floor is None or not attempt.avg_logprob > floor
    if _is_no_speech(attempt, options) and is_unlikely:
        return Verdict.SILENT
    if attempt.is_cut or _is_repetitive(attempt, options):
        return Verdict.REPETITIVE
    if floor is not None and attempt.avg_logprob < floor:
        return Verdict.UNLIKELY
    if floor is not None and _is_no_speech(attempt, options) and attempt.avg_logprob < floor / 2:
        return Verdict.DOUBTFUL
    return Verdict.ACCEPTED


def best_attempt(attempts: Sequence[Attempt], options: DecodeOptions) -> Attempt:
    """The attempt to keep where every one is suspect.

    openai-whisper keeps the last, which is the most random one. Here the likeliest of those that do not repeat
    themselves is kept; where all do, the one that does it least.
    """
    calm = [attempt for attempt in attempts if not attempt.is_cut and not _is_repetitive(attempt, options)]
    if calm:
        return max(calm, key=lambda attempt: attempt.avg_logprob)
    return min(attempts, key=lambda attempt: attempt.compression_ratio)


def is_looping(text_ids: Sequence[int]) -> bool:
    """Whether the last 64 text tokens are one short phrase over and over.

    Args:
        text_ids: Text tokens, without timestamps: in a loop they grow while the phrase stays.
    """
    tail = text_ids[-LOOP_TOKENS:]
    if len(tail) < LOOP_TOKENS:
        return False
    return any(tail[period:] == tail[:-period] for period in range(1, _MAX_LOOP_PERIOD + 1))


def _is_no_speech(attempt: Attempt, options: DecodeOptions) -> bool:
    threshold = options.no_speech_threshold
    return threshold is not None and attempt.no_speech_prob > threshold


def _is_repetitive(attempt: Attempt, options: DecodeOptions) -> bool:
    threshold = options.compression_ratio_threshold
    return threshold is not None and attempt.compression_ratio > threshold
