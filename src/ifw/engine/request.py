"""What goes into the engine and what comes out. Nothing here imports torch."""

from __future__ import annotations

import uuid
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ifw.config import DecodeOptions
from ifw.constants import WINDOW_SAMPLES
from ifw.errors import AudioError, ConfigError, ShapeError
from ifw.types import SuspectReason

if TYPE_CHECKING:
    import torch


def new_request_id() -> str:
    """An id that no other request has."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, eq=False)
class EncodedWindow:
    """The encoder's output for one window, to be handed back to the engine that made it.

    Attributes:
        audio: [1500, D] on the engine's device, in its dtype.
    """

    audio: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DetectRequest:
    """Ask which language a window is in.

    Attributes:
        samples: [n] float32 mono at 16 kHz, at most 480,000; padded with silence to 30 s.
        group: The transcription that this window belongs to; groups of one priority take turns.
        priority: Higher is served first.
        request_id: Unique among the requests that the engine knows.
    """

    samples: npt.NDArray[np.float32]
    group: Hashable = None
    priority: int = 0
    request_id: str = field(default_factory=new_request_id)

    def __post_init__(self) -> None:
        """Check the samples."""
        _check_samples(self.samples)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DecodeRequest:
    """Ask for the text of one window.

    `language`, `prompt_ids` and `prefix_ids` are what the caller's words came to for this window: `options.language`,
    `options.multilingual`, `options.condition_on_previous_text` and the texts in `options` are not read.

    Attributes:
        samples: [n] float32 mono at 16 kHz, at most 480,000; padded with silence to 30 s. May be None with `encoded`.
        encoded: The window from an earlier `detect_language`, so that it is not encoded again.
        language: ISO code; None detects it from this window.
        prompt_ids: Text tokens that precede the window; the last 223 count.
        prefix_ids: Text tokens that the text of the window begins with; the model goes on from there.
        options: Mode, temperatures, thresholds, limits.
        window_index: Position of the window in its transcription: with the seed it fixes the sampler's noise.
        group: The transcription that this window belongs to; groups of one priority take turns.
        priority: Higher is served first.
        request_id: Unique among the requests that the engine knows.
    """

    samples: npt.NDArray[np.float32] | None = None
    encoded: EncodedWindow | None = None
    language: str | None = None
    prompt_ids: tuple[int, ...] = ()
    prefix_ids: tuple[int, ...] = ()
    options: DecodeOptions = field(default_factory=DecodeOptions)
    window_index: int = 0
    group: Hashable = None
    priority: int = 0
    request_id: str = field(default_factory=new_request_id)

    def __post_init__(self) -> None:
        """Check the input."""
        if self.samples is None and self.encoded is None:
            raise ConfigError("samples, encoded: got neither, allowed: at least one of them")
        if self.samples is not None:
            _check_samples(self.samples)


Request = DecodeRequest | DetectRequest


@dataclass(frozen=True, slots=True)
class LanguageDetection:
    """What `Engine.detect_language` found.

    Attributes:
        language: ISO code of the likeliest language.
        probability: Its probability among all languages of the checkpoint.
        probabilities: ISO code -> probability; they sum to 1.
        no_speech_prob: Probability of `<|nospeech|>` right after `<|startoftranscript|>`.
        encoded: Hand it to a `DecodeRequest` for the same window; None where it was not kept.
    """

    language: str
    probability: float
    probabilities: dict[str, float]
    no_speech_prob: float
    encoded: EncodedWindow | None


@dataclass(frozen=True, slots=True, eq=False)
class TokenAttention:
    """Where the decoder listened while it was given the text of a window, for word times.

    Attributes:
        matrix: [n + 1, positions] float32, larger where the decoder is more likely to have heard the token: a row for
            each of the n text tokens and one for the end, a column for each 0.02 s of the window's content.
        probabilities: [n] of the text tokens, in the order of the text.
    """

    matrix: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The text of one window, and how far it can be trusted.

    Attributes:
        token_ids: Text and timestamps, without what precedes them and without `<|endoftext|>`; they begin with
            `prefix_ids`, which is preceded by 0.00 s where there are timestamps.
        text: The text of `token_ids`, without surrounding space; empty where the window is silent.
        language: ISO code that the prefix named.
        avg_logprob: Mean natural-log probability of the sampled tokens and the end.
        no_speech_prob: Probability of `<|nospeech|>` right after `<|startoftranscript|>`.
        compression_ratio: Bytes of the text over its zlib-compressed bytes.
        temperature: Of the attempt that was kept.
        suspect: The guard that this one failed; see `Segment.suspect`.
        is_silent: The no-speech rule found no speech.
        n_attempts: Attempts made: greedy, beam search, and one a temperature above 0, as far as it came to them.
        attention: Of the text tokens, where `word_timestamps` asked for it and there is text.
        token_logprobs: Natural-log probability of each of `token_ids`, where `token_logprobs` asked for it: under the
            rules, at temperature 1. It is 0 for those that were given, not sampled.
    """

    token_ids: tuple[int, ...]
    text: str
    language: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    suspect: SuspectReason | None
    is_silent: bool
    n_attempts: int
    attention: TokenAttention | None = None
    token_logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What the engine is doing and what it has done since it started.

    Attributes:
        n_slots: Windows that can be decoded together.
        n_occupied: Slots in use.
        n_waiting: Requests without a slot.
        n_encoded: Windows that went through the encoder.
        n_prefills: Prefixes computed.
        n_aligned: Windows whose attention was computed for word times.
        n_steps: Decode steps.
        n_search_steps: Steps of attempts with several hypotheses.
        n_tokens: Tokens sampled, those of every hypothesis.
        n_drafted: Tokens that a draft model proposed.
        n_accepted: Of those, the ones that the model chose too.
        n_retries: Attempts after the first.
        n_completed: Requests that got a result.
        n_failed: Requests that got an error.
        n_cancelled: Requests that were cancelled.
        encode_s: Seconds spent encoding (mel, encoder, cross-attention keys and values). On CUDA, here and
            below, those of the host, beside which the device works.
        prefill_s: Seconds spent on prefixes and language detection.
        decode_s: Seconds spent on decode steps.
        search_s: Seconds spent on attempts with several hypotheses.
        align_s: Seconds spent on attention for word times.
    """

    n_slots: int
    n_occupied: int = 0
    n_waiting: int = 0
    n_encoded: int = 0
    n_prefills: int = 0
    n_aligned: int = 0
    n_steps: int = 0
    n_search_steps: int = 0
    n_tokens: int = 0
    n_drafted: int = 0
    n_accepted: int = 0
    n_retries: int = 0
    n_completed: int = 0
    n_failed: int = 0
    n_cancelled: int = 0
    encode_s: float = 0.0
    prefill_s: float = 0.0
    decode_s: float = 0.0
    search_s: float = 0.0
    align_s: float = 0.0


def _check_samples(samples: npt.NDArray[np.float32]) -> None:
    """At most a window of finite float32 mono samples."""
    if not isinstance(samples, np.ndarray) or samples.ndim != 1 or samples.dtype != np.float32:
        got = f"{samples.dtype} {samples.shape}" if isinstance(samples, np.ndarray) else type(samples).__name__
        raise ShapeError(f"samples: got {got}, allowed: a one-dimensional float32 numpy array")
    if samples.size > WINDOW_SAMPLES:
        raise ShapeError(f"samples: got {samples.size}, allowed: at most {WINDOW_SAMPLES} (one window)")
    if not np.isfinite(samples).all():
        raise AudioError("samples: got values that are not finite, allowed: finite float32")
