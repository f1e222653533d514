"""Options, checked when they are made. Nothing here reads the environment, and nothing changes after construction.

Over 400 lines because it is a list: the options of each part, a line of text for each field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from ifw.constants import MAX_SAMPLED_TOKENS, MAX_TEXT_TOKENS, WINDOW_S
from ifw.errors import ConfigError
from ifw.types import Mode

Device = Literal["auto", "cpu", "cuda"]
Channels = Literal["mix", "split"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
CrossKv = Literal["auto", "same", "int8", "float8"]
EncoderProducts = Literal["same", "int8", "float8"]
Steps = Literal["auto", "plain", "static", "graphs"]
ComputeType = Literal["auto", "float32", "bfloat16", "float16", "int8"]
Preset = Literal["fast", "balanced", "accurate"]
CueLayout = Literal["sentences", "openai"]

DEFAULT_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MAX_HYPOTHESES = 16
MAX_DRAFT_TOKENS = 32
MAX_CLIP_S = 1e7
MAX_SPEAKERS = 100
DEFAULT_PRESET: Final[Preset] = "balanced"
PRESETS: Final[Mapping[Preset, Mapping[str, Any]]] = MappingProxyType(
    {
        "fast": MappingProxyType({"temperatures": (0.0, 0.4)}),
        "balanced": MappingProxyType({}),
        "accurate": MappingProxyType({"beam_size": 5, "best_of": 5, "condition_on_previous_text": True}),
    }
)


def _require(is_allowed: bool, name: str, got: Any, allowed: str) -> None:
    if not is_allowed:
        raise ConfigError(f"{name}: got {got!r}, allowed: {allowed}")


def _require_number(value: Any, name: str, lowest: float, highest: float, *, kind: type = float) -> None:
    """A finite number of the right kind, within bounds that are themselves allowed."""
    is_right_kind = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
    allowed = f"{'an integer' if kind is int else 'a number'}, {_written(lowest)} to {_written(highest)}"
    _require(is_right_kind and lowest <= value <= highest, name, value, allowed)


def _written(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else f"{bound:g}"


def _require_choice(value: Any, name: str, literal: Any) -> None:
    _require(value in get_args(literal), name, value, ", ".join(get_args(literal)))


def _require_clip(clip: Any) -> None:
    """Stretches in order, without overlap, none empty, and only the last one open."""
    is_right_kind = isinstance(clip, tuple) and all(isinstance(one, tuple) and len(one) == 2 for one in clip)
    _require(is_right_kind, "clip", clip, "a tuple of (start_s, end_s), end_s may be None")
    before_s: float | None = 0.0
    for start_s, end_s in clip:
        _require_number(start_s, "clip", 0, MAX_CLIP_S)
        if end_s is not None:
            _require_number(end_s, "clip", 0, MAX_CLIP_S)
        _require(end_s is None or end_s > start_s, "clip", (start_s, end_s), "an end after its start")
        in_order = before_s is not None and start_s >= before_s
        _require(in_order, "clip", (start_s, end_s), "a start that is not before the end of the stretch before it")
        before_s = end_s


@dataclass(frozen=True, slots=True)
class AudioOptions:
    """How audio is decoded.

    Attributes:
        max_duration_s: Decoding stops with `AudioTooLongError` past this many seconds of audio.
        n_workers: Decoder processes that share the time slices of a long file; a short one needs only one.
        block_s: Seconds of audio delivered at a time.
        max_stream_bytes: A file object that is no plain file, such as a pipe, may give this many bytes, all of which
            are copied to the temporary folder first; then it is an `AudioTooLongError`.
        clip: Stretches that are transcribed, from start to end in seconds of the audio, in order and without overlap;
            an end of None is that of the audio. All of it where there are none.
        channels: `mix` hears all channels as one; `split` transcribes each as a speaker of its own.
    """

    max_duration_s: float = 24 * 3600.0
    n_workers: int = 2
    block_s: float = 30.0
    max_stream_bytes: int = 8 << 30
    clip: tuple[tuple[float, float | None], ...] = ()
    channels: Channels = "mix"

    def __post_init__(self) -> None:
        """Check every field."""
        _require_number(self.max_duration_s, "max_duration_s", 0.001, 1e7)
        _require_number(self.n_workers, "n_workers", 1, 64, kind=int)
        _require_number(self.block_s, "block_s", 0.1, 600)
        _require_number(self.max_stream_bytes, "max_stream_bytes", 1, 2**63 - 1, kind=int)
        _require_choice(self.channels, "channels", Channels)
        _require_clip(self.clip)


@dataclass(frozen=True, slots=True)
class VadOptions:
    """How speech is found. The names follow silero-vad and whisperX.

    The defaults lean towards hearing too much, because the engine rejects what is no speech, while nothing brings back
    speech that was cut away. With Silero's own (onset 0.5, at least 250 ms) one in seven isolated short words such as
    "yes" was lost; with these none was, and an hour of noise, tones and music gave 17 s of false speech.

    Attributes:
        enabled: False packs the whole audio into windows, speech or not.
        onset: Speech starts where the probability reaches this.
        offset: Speech ends where the probability falls below this; None is `onset - 0.15`, at least 0.01 and at most
            `onset`.
        min_speech_ms: Speech must last longer than this.
        min_silence_ms: Shorter silence does not end a span. Short, because every pause is a place where a window may
            end; how the silence between spans is kept is the packer's choice, not this one's.
        pad_ms: Added on both sides of a span, at most half of the silence to the next. Below a second, because the
            first timestamp that Whisper writes is at most 1.0 s.
        boost_quiet: Raise quiet audio by up to 30 dB for the voice detector (only for it), which misses speech that
            peaks below -45 dB otherwise.
        min_level_db: Audio is silence where nothing in a window is as loud as this over a tenth of a second (root mean
            square, dB below full scale), whatever the detector says, and also with `enabled=False`; None goes without.
            Whisper invents text for such windows. Dither and what codecs leave of silence lie below -90 dB; speech
            lies 9 to 15 dB below its own peak, so that with the default what peaks at -65 dB is still heard.
        max_window_s: Spans are packed into windows of at most this length.
    """

    enabled: bool = True
    onset: float = 0.4
    offset: float | None = None
    min_speech_ms: int = 100
    min_silence_ms: int = 100
    pad_ms: int = 300
    boost_quiet: bool = True
    min_level_db: float | None = -80.0
    max_window_s: float = float(WINDOW_S)

    def __post_init__(self) -> None:
        """Check every field."""
        _require(isinstance(self.enabled, bool), "enabled", self.enabled, "True or False")
        _require_number(self.onset, "onset", 0.001, 0.999)
        if self.offset is not None:
            _require_number(self.offset, "offset", 0.001, self.onset)
        _require_number(self.min_speech_ms, "min_speech_ms", 0, 60_000, kind=int)
        _require_number(self.min_silence_ms, "min_silence_ms", 0, 60_000, kind=int)
        _require_number(self.pad_ms, "pad_ms", 0, 5_000, kind=int)
        if self.min_level_db is not None:
            _require_number(self.min_level_db, "min_level_db", -200, 0)
        _require_number(self.max_window_s, "max_window_s", 1, WINDOW_S)

    @property
    def offset_or_default(self) -> float:
        """The probability below which speech ends."""
        return min(self.onset, max(self.onset - 0.15, 0.01)) if self.offset is None else self.offset


@dataclass(frozen=True, slots=True)
class DiarizationOptions:
    """How speakers are told apart. The names are those of pyannote.audio and whisperX.

    Attributes:
        num_speakers: How many speakers there are, where that is known; then neither of the others may be given.
        min_speakers: There are at least so many.
        max_speakers: There are at most so many.
    """

    num_speakers: int | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("num_speakers", "min_speakers", "max_speakers"):
            value = getattr(self, name)
            if value is not None:
                _require_number(value, name, 1, MAX_SPEAKERS, kind=int)
        has_bounds = self.min_speakers is not None or self.max_speakers is not None
        alone = "None beside min_speakers or max_speakers"
        _require(self.num_speakers is None or not has_bounds, "num_speakers", self.num_speakers, alone)
        if self.min_speakers is not None and self.max_speakers is not None:
            _require_number(self.min_speakers, "min_speakers", 1, self.max_speakers, kind=int)


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How one window becomes text. The thresholds are those of openai-whisper.

    Attributes:
        language: ISO code, English name or BCP-47 tag; None, `auto` or blank detects it.
        mode: Write in the spoken language, or translate into English.
        initial_prompt: Text that precedes the audio: names, spelling, style. Given to the first window.
        hotwords: Words to expect, given to every window in front of the rest of its prompt.
        prefix: How the text of the first window begins, which the model goes on from.
        condition_on_previous_text: Give each window the text before it, unless that is suspect, was sampled above 0.5
            or is in another language. The windows of a file are then decoded in turn, not together.
        multilingual: Decide on the language of each window by itself. One that is less than 50% sure gets `language`,
            or what the windows before it vote for.
        temperatures: Tried in order while a guard finds the text suspect; 0 is greedy.
        beam_size: Hypotheses of a beam search, tried on a window whose greedy text is suspect; None goes without.
        best_of: Samples drawn at each temperature above 0, of which the likeliest is kept.
        timestamps: Let the model predict timestamps; without them a window is one segment.
        word_timestamps: Find the times of words, from the attention of the decoder.
        token_logprobs: Keep the probability of every token with its segment.
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
    initial_prompt: str | None = None
    hotwords: str | None = None
    prefix: str | None = None
    condition_on_previous_text: bool = False
    multilingual: bool = False
    temperatures: tuple[float, ...] = DEFAULT_TEMPERATURES
    beam_size: int | None = None
    best_of: int = 1
    timestamps: bool = True
    word_timestamps: bool = False
    token_logprobs: bool = False
    suppress_tokens: tuple[int, ...] | None = None
    max_tokens: int = MAX_SAMPLED_TOKENS
    max_initial_timestamp_s: float | None = 1.0
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        _require_choice(self.mode, "mode", Mode)
        for name in ("language", "initial_prompt", "hotwords", "prefix"):
            value = getattr(self, name)
            _require(value is None or isinstance(value, str), name, value, "text or None")
        _require(
            isinstance(self.temperatures, tuple) and len(self.temperatures) > 0,
            "temperatures",
            self.temperatures,
            "a tuple of one or more numbers",
        )
        _require(
            self.suppress_tokens is None
            or (isinstance(self.suppress_tokens, tuple) and all(type(token) is int for token in self.suppress_tokens)),
            "suppress_tokens",
            self.suppress_tokens,
            "a tuple of token ids, or None",
        )
        for name in ("condition_on_previous_text", "multilingual", "timestamps", "word_timestamps", "token_logprobs"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name), "True or False")
        if self.beam_size is not None:
            _require_number(self.beam_size, "beam_size", 1, MAX_HYPOTHESES, kind=int)
        _require_number(self.best_of, "best_of", 1, MAX_HYPOTHESES, kind=int)
        for temperature in self.temperatures:
            _require_number(temperature, "temperatures", 0, 2)
        _require_number(self.max_tokens, "max_tokens", 1, MAX_TEXT_TOKENS - 1, kind=int)
        _require_number(self.seed, "seed", 0, 2**63 - 1, kind=int)
        if self.max_initial_timestamp_s is not None:
            _require_number(self.max_initial_timestamp_s, "max_initial_timestamp_s", 0, WINDOW_S)
        for name, lowest, highest in (
            ("compression_ratio_threshold", 0, 1000),
            ("logprob_threshold", -1000, 0),
            ("no_speech_threshold", 0, 1),
        ):
            if getattr(self, name) is not None:
                _require_number(getattr(self, name), name, lowest, highest)

    @classmethod
    def preset(cls, name: Preset = DEFAULT_PRESET, **overrides: Any) -> DecodeOptions:
        """Options for one of three ways to trade time for trust; they differ in what happens to a suspect window.

        Args:
            name: `fast` tries it once more, `balanced` (the defaults) climbs the ladder of temperatures, `accurate`
                also searches with beams, draws five samples, and gives each window the text before it.
            **overrides: Fields of this class, which win over the preset.

        Raises:
            ConfigError: There is no such preset, or a value is not allowed.
            TypeError: A field has another name.
        """
        _require_choice(name, "preset", Preset)
        return cls(**{**PRESETS[name], **overrides})


@dataclass(frozen=True, slots=True)
class SubtitleOptions:
    """How segments become the cues of srt and vtt.

    Attributes:
        max_line_width: Columns of a line; wide characters, as the Chinese ones, are two (with `layout` `openai` one).
            The label of a speaker is not counted. None never breaks a line.
        max_line_count: Lines of a cue; None keeps a segment in one cue, whatever its length.
        max_words_per_line: Words of a line; None sets no limit.
        highlight_words: Underline each word while it is spoken, where there are word times.
        min_cue_s: A shorter cue stays longer, as far as the next one leaves room; None leaves it. Does not apply to
            highlighted words.
        layout: `sentences` breaks between sentences, clauses and pauses, and never joins segments. `openai` fills line
            after line as openai-whisper does, byte for byte, what the options mean included: with both a line width
            and a line count its cues run on from segment to segment.
    """

    max_line_width: int | None = 42
    max_line_count: int | None = 2
    max_words_per_line: int | None = None
    highlight_words: bool = False
    min_cue_s: float | None = 0.8
    layout: CueLayout = "sentences"

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("max_line_width", "max_line_count", "max_words_per_line"):
            if getattr(self, name) is not None:
                _require_number(getattr(self, name), name, 1, 1000, kind=int)
        _require(isinstance(self.highlight_words, bool), "highlight_words", self.highlight_words, "True or False")
        if self.min_cue_s is not None:
            _require_number(self.min_cue_s, "min_cue_s", 0, 60)
        _require_choice(self.layout, "layout", CueLayout)


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How the engine uses its device.

    Attributes:
        device: `auto` takes CUDA where there is one.
        compute_type: `auto` is float16 on CUDA, and on CPU bfloat16 with native kernels that have it, else float32.
        n_slots: Windows decoded together; None chooses by device and free memory.
        encode_batch: Windows encoded together; None is up to 4 on CPU, as it has threads, and 8 on CUDA.
        n_threads: Threads of torch on CPU; None leaves torch's own choice.
        steps: How decode steps are carried out. `plain` reads each at once; `static` works on buffers that stay where
            they are, and reads a step while the next one runs; `graphs` replays those as CUDA graphs. `auto` is
            `graphs` on CUDA and `plain` on CPU. The texts are the same.
        cross_kv: How keys and values of the audio are kept: `same` as the other numbers, or in 8 bits, which rounds,
            and halves what a decode step reads on CUDA and by the native kernels. `int8` has a scale for each token
            and head; `float8` (e4m3) has one for each head, rounds more, and saves no time on CPU. `auto` is `int8`
            with native kernels that compute in int8, else `same`.
        encoder_products: How the linear layers of the encoder multiply: `same` as the compute type says, or in 8 bits,
            which rounds, with a scale for each row: `int8` for CUDA from compute capability 8.0 on, `float8` (e4m3)
            from 9.0 on. CPUs give the same numbers, slowly.
        draft_tokens: Tokens that a draft model proposes at a time, where there is one.
    """

    device: Device = "auto"
    compute_type: ComputeType = "auto"
    n_slots: int | None = None
    encode_batch: int | None = None
    n_threads: int | None = None
    steps: Steps = "auto"
    cross_kv: CrossKv = "auto"
    encoder_products: EncoderProducts = "same"
    draft_tokens: int = 5

    def __post_init__(self) -> None:
        """Check every field."""
        _require_choice(self.device, "device", Device)
        _require_choice(self.steps, "steps", Steps)
        _require_choice(self.cross_kv, "cross_kv", CrossKv)
        _require_choice(self.encoder_products, "encoder_products", EncoderProducts)
        _require_choice(self.compute_type, "compute_type", ComputeType)
        for name in ("n_slots", "encode_batch", "n_threads"):
            if getattr(self, name) is not None:
                _require_number(getattr(self, name), name, 1, 4096, kind=int)
        _require_number(self.draft_tokens, "draft_tokens", 1, MAX_DRAFT_TOKENS, kind=int)


@dataclass(frozen=True, slots=True)
class TranscribeOptions:
    """Everything a caller may say about one transcription.

    Attributes:
        decode: How windows become text.
        vad: How speech is found.
        audio: How audio is decoded.
        diarize: How speakers are told apart; None does not tell them apart. Not beside `channels="split"`, where each
            channel is a speaker already.
    """

    decode: DecodeOptions = DecodeOptions()
    vad: VadOptions = VadOptions()
    audio: AudioOptions = AudioOptions()
    diarize: DiarizationOptions | None = None

    def __post_init__(self) -> None:
        """Check that each part is of its own class; the parts have checked themselves."""
        for name, kind in _PARTS:
            value = getattr(self, name)
            is_off = name == "diarize" and value is None
            _require(is_off or isinstance(value, kind), name, value, f"{kind.__name__}(...)")
        if self.diarize is not None and self.audio.channels == "split":
            raise ConfigError(
                "diarize: got it beside channels='split', allowed: one of the two; "
                "split channels are a speaker each, without a model"
            )

    @classmethod
    def preset(
        cls,
        name: Preset = DEFAULT_PRESET,
        *,
        vad: VadOptions = VadOptions(),
        audio: AudioOptions = AudioOptions(),
        diarize: DiarizationOptions | None = None,
        **overrides: Any,
    ) -> TranscribeOptions:
        """The same as `DecodeOptions.preset`, with the parts that no preset touches.

        Args:
            name: `fast`, `balanced` or `accurate`.
            vad: How speech is found.
            audio: How audio is decoded.
            diarize: How speakers are told apart; None does not.
            **overrides: Fields of `DecodeOptions`, which win over the preset.

        Raises:
            ConfigError: There is no such preset, or a value is not allowed.
            TypeError: A field has another name.

        Example:
            >>> TranscribeOptions.preset("accurate", language="en").decode.beam_size
            5
        """
        return cls(DecodeOptions.preset(name, **overrides), vad, audio, diarize)


_PARTS: Final = (
    ("decode", DecodeOptions),
    ("vad", VadOptions),
    ("audio", AudioOptions),
    ("diarize", DiarizationOptions),
)


def checked_options(options: object) -> TranscribeOptions:
    """The options of a caller, who may have passed a part of them, or something else.

    Args:
        options: As the caller gave them; None stands for the defaults.

    Raises:
        ConfigError: They are something else; the message says what to pass.
    """
    if options is None:
        return TranscribeOptions()
    if not isinstance(options, TranscribeOptions):
        name, kind = next((part for part in _PARTS if isinstance(options, part[1])), _PARTS[0])
        raise ConfigError(
            f"options: got {options!r}, allowed: TranscribeOptions or None; "
            f"pass TranscribeOptions({name}={kind.__name__}(...))"
        )
    return options
