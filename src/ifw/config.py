"""Options, checked when they are made. Nothing here reads the environment, and nothing changes after construction."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from ifw.constants import MAX_SAMPLED_TOKENS, MAX_TEXT_TOKENS, WINDOW_S
from ifw.errors import ConfigError
from ifw.types import Mode

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

DEFAULT_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def _require(condition: bool, name: str, got: Any, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"{name}: got {got!r}, allowed: {allowed}")


def _require_finite(options: Any) -> None:
    for option in fields(options):
        value = getattr(options, option.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{option.name}: got {value!r}, allowed: a finite number")


@dataclass(frozen=True, slots=True)
class AudioOptions:
    """How audio is decoded.

    Attributes:
        max_duration_s: Decoding stops with `AudioTooLongError` past this many seconds of audio.
        n_workers: Decoder processes; a long file that can seek is cut into this many time slices.
        block_s: Seconds of audio delivered at a time.
    """

    max_duration_s: float = 24 * 3600.0
    n_workers: int = 2
    block_s: float = 30.0

    def __post_init__(self) -> None:
        """Check every field."""
        _require_finite(self)
        _require(self.max_duration_s > 0, "max_duration_s", self.max_duration_s, "above 0")
        _require(1 <= self.n_workers <= 64, "n_workers", self.n_workers, "1 to 64")
        _require(0.1 <= self.block_s <= 600, "block_s", self.block_s, "0.1 to 600")


@dataclass(frozen=True, slots=True)
class VadOptions:
    """How speech is found. The names follow silero-vad and whisperX.

    Attributes:
        enabled: False packs the whole audio into windows, speech or not.
        onset: Speech starts where the probability reaches this.
        offset: Speech ends where the probability falls below this; None is `onset - 0.15`, at least 0.01.
        min_speech_ms: Shorter speech is dropped.
        min_silence_ms: Shorter silence does not end a span.
        pad_ms: Added on both sides of a span.
        max_window_s: Spans are packed into windows of at most this length.
    """

    enabled: bool = True
    onset: float = 0.5
    offset: float | None = None
    min_speech_ms: int = 250
    min_silence_ms: int = 100
    pad_ms: int = 200
    max_window_s: float = float(WINDOW_S)

    def __post_init__(self) -> None:
        """Check every field."""
        _require_finite(self)
        _require(0 < self.onset < 1, "onset", self.onset, "between 0 and 1")
        _require(self.offset is None or 0 < self.offset <= self.onset, "offset", self.offset, "above 0, at most onset")
        _require(0 <= self.min_speech_ms <= 60_000, "min_speech_ms", self.min_speech_ms, "0 to 60000")
        _require(0 <= self.min_silence_ms <= 60_000, "min_silence_ms", self.min_silence_ms, "0 to 60000")
        _require(0 <= self.pad_ms <= 5_000, "pad_ms", self.pad_ms, "0 to 5000")
        _require(1 <= self.max_window_s <= WINDOW_S, "max_window_s", self.max_window_s, f"1 to {WINDOW_S}")

    @property
    def offset_or_default(self) -> float:
        """The probability below which speech ends."""
        return max(self.onset - 0.15, 0.01) if self.offset is None else self.offset


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How one window becomes text. The thresholds are those of openai-whisper.

    Attributes:
        language: ISO code, English name or BCP-47 tag; None detects it.
        mode: Write in the spoken language, or translate into English.
        prompt: Text that precedes the audio: names, spelling, style. Given to every window.
        temperatures: Tried in order while a guard finds the text suspect; 0 is greedy.
        timestamps: Let the model predict timestamps; without them a window is one segment.
        suppress_tokens: Token ids never produced; None is the checkpoint's own list.
        max_tokens: New tokens a window.
        max_initial_timestamp_s: The first timestamp is at most this far into the window.
        compression_ratio_threshold: Above this the text repeats itself; None turns the guard off.
        logprob_threshold: Below this mean log-probability the text is suspect; None turns the guard off.
        no_speech_threshold: Above this (and below `logprob_threshold`) the window is silent; None turns it off.
        seed: Seed of the sampler for temperatures above 0.
    """

    language: str | None = None
    mode: Mode = "transcribe"
    prompt: str | None = None
    temperatures: tuple[float, ...] = DEFAULT_TEMPERATURES
    timestamps: bool = True
    suppress_tokens: tuple[int, ...] | None = None
    max_tokens: int = MAX_SAMPLED_TOKENS
    max_initial_timestamp_s: float | None = 1.0
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        _require_finite(self)
        _require(self.mode in get_args(Mode), "mode", self.mode, " or ".join(get_args(Mode)))
        _require(len(self.temperatures) > 0, "temperatures", self.temperatures, "one or more numbers")
        for temperature in self.temperatures:
            _require(0 <= temperature <= 2, "temperatures", temperature, "0 to 2")
        _require(1 <= self.max_tokens < MAX_TEXT_TOKENS, "max_tokens", self.max_tokens, f"1 to {MAX_TEXT_TOKENS - 1}")
        first = self.max_initial_timestamp_s
        _require(first is None or 0 <= first <= WINDOW_S, "max_initial_timestamp_s", first, f"0 to {WINDOW_S}")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How the engine uses its device.

    Attributes:
        device: `auto` takes CUDA where there is one.
        dtype: `auto` is float16 on CUDA and float32 on CPU.
        n_slots: Windows decoded together; None chooses by device and free memory.
        encode_batch: Windows encoded together; None is 1 on CPU and 8 on CUDA.
        n_threads: Threads of torch on CPU; None leaves torch's own choice.
    """

    device: Device = "auto"
    dtype: Dtype = "auto"
    n_slots: int | None = None
    encode_batch: int | None = None
    n_threads: int | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        _require(self.device in get_args(Device), "device", self.device, ", ".join(get_args(Device)))
        _require(self.dtype in get_args(Dtype), "dtype", self.dtype, ", ".join(get_args(Dtype)))
        for name in ("n_slots", "encode_batch", "n_threads"):
            value = getattr(self, name)
            _require(value is None or 1 <= value <= 4096, name, value, "1 to 4096")


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """Everything a caller may say about one transcription."""

    decode: DecodeOptions = DecodeOptions()
    vad: VadOptions = VadOptions()
    audio: AudioOptions = AudioOptions()
