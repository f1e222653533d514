"""What a client of OpenAI's audio API asks for, from the fields of its form. `docs/api.md` has them all.

Source: OpenAI's OpenAPI document, `CreateTranscriptionRequest`, `CreateTranslationRequest`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ifw.config import (
    DEFAULT_TEMPERATURES,
    MAX_SPEAKERS,
    DecodeOptions,
    DiarizationOptions,
    TranscribeOptions,
    VadOptions,
)
from ifw.errors import ConfigError, LanguageError, RequestError
from ifw.formats.openai_wire import Granularity
from ifw.model.languages import language_code
from ifw.server.multipart import Form
from ifw.server.openai.form_encoding import FormFields, as_number, clipped, shown
from ifw.server.openai.known_speakers import NAMES, REFERENCES, KnownSpeakers, read_known_speakers
from ifw.types import Mode

DIARIZED: Final = "diarized_json"
RESPONSE_FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt", DIARIZED)
STREAMED_FORMATS: Final = ("json", "text", DIARIZED)
DIARIZING_MODEL: Final = "gpt-4o-transcribe-diarize"
"""The name of OpenAI's model that tells speakers apart; here it is the loaded one."""
_OF_DIARIZING_MODEL: Final = ("json", "text", DIARIZED)
GRANULARITIES: Final[tuple[Granularity, ...]] = ("word", "segment")
MAX_TEMPERATURE: Final = 1.0

SPEAKER_COUNTS: Final = ("num_speakers", "min_speakers", "max_speakers")
_FIELDS: Final = (
    "model",
    "language",
    "languages",
    "prompt",
    "keywords",
    "hotwords",
    "response_format",
    "temperature",
    "include",
    "timestamp_granularities",
    "stream",
    "chunking_strategy",
    "vad_filter",
    *SPEAKER_COUNTS,
    NAMES,
    REFERENCES,
    "url",
)
_STRATEGY: Final = ("type", "threshold", "prefix_padding_ms", "silence_duration_ms")


@dataclass(frozen=True, slots=True)
class AudioForm:
    """What is asked for.

    Attributes:
        model: Name of a checkpoint; None leaves it to the server.
        options: How to transcribe.
        response_format: One of `RESPONSE_FORMATS`.
        granularities: Of `verbose_json`.
        has_logprobs: The probabilities of tokens are wanted.
        is_streamed: Events are wanted.
        url: Where the audio is, in place of a file.
        known_speakers: Whose voices are known.
    """

    model: str | None
    options: TranscribeOptions
    response_format: str
    granularities: frozenset[Granularity]
    has_logprobs: bool
    is_streamed: bool
    url: str | None
    known_speakers: KnownSpeakers


def read_audio_form(form: Form, mode: Mode) -> AudioForm:
    """Check the fields of a form.

    Args:
        form: As it came.
        mode: Of the route.

    Raises:
        RequestError: A value is not allowed; its `param` is the field.
    """
    fields = FormFields(form.fields, _FIELDS)
    response_format = _response_format(fields, mode)
    granularities = _granularities(fields)
    has_logprobs = _has_logprobs(fields, response_format)
    is_streamed = bool(fields.boolean("stream"))
    if is_streamed and response_format not in STREAMED_FORMATS:
        allowed = _listed(STREAMED_FORMATS)
        raise RequestError(
            f"stream: a stream of events has no {response_format}, allowed: response_format {allowed}", param="stream"
        )
    has_words = "word" in granularities and response_format in ("verbose_json", "srt", "vtt")
    decode = DecodeOptions(
        language=_language(fields),
        mode=mode,
        initial_prompt=fields.text("prompt"),
        hotwords=_hotwords(fields),
        temperatures=_temperatures(fields),
        word_timestamps=has_words,
        token_logprobs=has_logprobs,
    )
    return AudioForm(
        model=fields.text("model"),
        options=TranscribeOptions(decode=decode, vad=_vad(fields), diarize=_speakers(fields, response_format)),
        response_format=response_format,
        granularities=granularities,
        has_logprobs=has_logprobs,
        is_streamed=is_streamed,
        url=fields.text("url"),
        known_speakers=_known_speakers(fields, form, response_format),
    )


def _response_format(fields: FormFields, mode: Mode) -> str:
    allowed: tuple[str, ...] = RESPONSE_FORMATS
    if (fields.text("model") or "").strip().lower() == DIARIZING_MODEL:
        allowed = _OF_DIARIZING_MODEL
    if mode == "translate":
        allowed = tuple(name for name in allowed if name != DIARIZED)
    return fields.choice("response_format", allowed, "json")


def _speakers(fields: FormFields, response_format: str) -> DiarizationOptions | None:
    """How speakers are told apart: where the reply shows them."""
    counts = {name: fields.number(name, 1, MAX_SPEAKERS) for name in SPEAKER_COUNTS}
    given = {name: count for name, count in counts.items() if count is not None}
    if response_format != DIARIZED:
        for name in given:
            raise _only_diarized(name)
        return None
    for name, count in given.items():
        if count != int(count):
            raise RequestError(f"{name}: got {count:g}, allowed: a whole number", param=name)
    try:
        return DiarizationOptions(**{name: int(count) for name, count in given.items()})
    except ConfigError as error:
        raise RequestError(str(error), param=next(iter(given))) from None


def _known_speakers(fields: FormFields, form: Form, response_format: str) -> KnownSpeakers:
    known = read_known_speakers(fields, form.long_fields)
    if known.names and response_format != DIARIZED:
        raise _only_diarized(NAMES)
    return known


def _only_diarized(name: str) -> RequestError:
    return RequestError(f"{name}: only {DIARIZED} shows speakers, allowed: response_format {DIARIZED}", param=name)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _granularities(fields: FormFields) -> frozenset[Granularity]:
    asked = fields.items("timestamp_granularities") or ["segment"]
    for item in asked:
        if item not in GRANULARITIES:
            raise RequestError(
                f"timestamp_granularities: got {shown(item)}, allowed: {', '.join(GRANULARITIES)}",
                param="timestamp_granularities",
            )
    return frozenset(granularity for granularity in GRANULARITIES if granularity in asked)


def _has_logprobs(fields: FormFields, response_format: str) -> bool:
    asked = fields.items("include")
    for item in asked:
        if item != "logprobs":
            raise RequestError(f"include: got {shown(item)}, allowed: logprobs", param="include")
    if asked and response_format != "json":
        raise RequestError(
            f"include: {response_format} has no logprobs, allowed: response_format json", param="include"
        )
    return bool(asked)


def _language(fields: FormFields) -> str | None:
    """The language, or the only one of those that it may be."""
    candidates = fields.items("languages")
    if len(candidates) > 1:
        raise RequestError(
            f"languages: got {len(candidates)}, allowed: one; leave it out to have the language detected",
            param="languages",
        )
    asked = fields.text("language")
    try:
        found = {language_code(name) for name in (asked, *candidates) if name is not None}
    except LanguageError as error:
        raise RequestError(clipped(str(error)), param="language") from None
    if len(found) > 1:
        raise RequestError(
            "languages: got another one than language, allowed: one of the two fields", param="languages"
        )
    return found.pop() if found else None


def _hotwords(fields: FormFields) -> str | None:
    more = fields.text("hotwords")
    return ", ".join([*fields.items("keywords"), *([more] if more else [])]) or None


def _temperatures(fields: FormFields) -> tuple[float, ...]:
    """The one that was asked for; 0 stands for the ladder, as with OpenAI."""
    temperature = fields.number("temperature", 0, MAX_TEMPERATURE)
    return (temperature,) if temperature else DEFAULT_TEMPERATURES


def _vad(fields: FormFields) -> VadOptions:
    is_enabled = fields.boolean("vad_filter")
    options = VadOptions(enabled=is_enabled is not False)
    strategy = fields.structure("chunking_strategy")
    if strategy is None or strategy == "auto":
        return options
    if isinstance(strategy, str):
        raise RequestError(
            f"chunking_strategy: got {shown(strategy)}, allowed: auto, or an object of the type server_vad",
            param="chunking_strategy",
        )
    if strategy.get("type") == "auto" and len(strategy) == 1:
        return options
    return _server_vad(strategy, options)


def _server_vad(strategy: Mapping[str, Any], options: VadOptions) -> VadOptions:
    """OpenAI's three numbers; those that are missing keep our defaults."""
    for key, value in strategy.items():
        if key not in _STRATEGY or (key == "type" and value != "server_vad"):
            allowed = f"server_vad for type, and {', '.join(_STRATEGY[1:])}"
            got = f"{shown(str(value))} for {shown(key)}"
            raise RequestError(f"chunking_strategy: got {got}, allowed: {allowed}", param="chunking_strategy")

    def number(key: str, highest: float) -> float | None:
        value = strategy.get(key)
        return None if value is None else as_number(f"chunking_strategy[{key}]", value, 0, highest)

    threshold = number("threshold", 1)
    silence_ms, pad_ms = number("silence_duration_ms", 60_000), number("prefix_padding_ms", 5_000)
    try:
        return replace(
            options,
            onset=options.onset if threshold is None else min(max(threshold, 0.001), 0.999),
            min_silence_ms=options.min_silence_ms if silence_ms is None else round(silence_ms),
            pad_ms=options.pad_ms if pad_ms is None else round(pad_ms),
        )
    except ConfigError as error:
        raise RequestError(f"chunking_strategy: {error}", param="chunking_strategy") from None
