"""What a task is told to do, as the JSON that is kept with it: which audio, how, and in whose words to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from ifw.config import AudioOptions, DecodeOptions, DiarizationOptions, TranscribeOptions, VadOptions
from ifw.errors import ConfigError
from ifw.model.languages import language_code

Dialect = Literal["native", "legacy", "baseten"]

UPLOAD: Final = "upload"
"""The file in a task's folder that a client sent."""

_AUDIO_NAMES: Final = ("channels", "clip")
_SPEAKER_NAMES: Final = tuple(field.name for field in fields(DiarizationOptions))
_OWN_NAMES: Final = ("preset", "vad", "diarize", *_SPEAKER_NAMES, *_AUDIO_NAMES)
_DECODE_NAMES: Final = tuple(field.name for field in fields(DecodeOptions) if field.name != "suppress_tokens")
OPTION_NAMES: Final = (*_DECODE_NAMES, *_OWN_NAMES)
"""What `options` of a payload may have: fields of `DecodeOptions`, `preset`, `vad` (an object of fields of
`VadOptions`), `channels` and `clip` of `AudioOptions`, `diarize`, and beside it the fields of `DiarizationOptions`."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the audio of a task comes from: either a URL, or a file that was sent along.

    Attributes:
        url: Where it is fetched; may hold a secret, so it is never shown whole.
        name: What the client calls the file that it sent; only ever shown.
        n_bytes: Size of that file.
        sha256: Of that file, in hexadecimal.
    """

    url: str | None = None
    name: str | None = None
    n_bytes: int | None = None
    sha256: str | None = None


def make_payload(source: Source, options: Mapping[str, Any], *, dialect: Dialect = "native") -> dict[str, Any]:
    """Write a payload, after making sure that it can be worked.

    Args:
        source: Which audio.
        options: Names of `OPTION_NAMES` and values that JSON knows. A value of None counts as left out.
        dialect: In whose words webhooks and results are.

    Raises:
        ConfigError: An option is unknown or has a value that is not allowed.
        LanguageError: Whisper does not know the language.
    """
    given = {name: value for name, value in options.items() if value is not None}
    decode = options_in(given).decode
    language_code(decode.language)
    written = {field.name: value for field in fields(source) if (value := getattr(source, field.name)) is not None}
    return {"source": written, "options": given, "dialect": dialect}


def source_of(payload: Mapping[str, Any]) -> Source:
    """The audio of a payload."""
    return Source(**payload["source"])


def dialect_of(payload: Mapping[str, Any]) -> Dialect:
    """In whose words to answer."""
    dialect: Dialect = payload["dialect"]
    return dialect


def options_of(payload: Mapping[str, Any]) -> TranscribeOptions:
    """The options of a payload.

    Raises:
        ConfigError: See `make_payload`; a payload of an older version may have what is no longer allowed.
    """
    return options_in(payload["options"])


def options_in(options: Mapping[str, Any]) -> TranscribeOptions:
    """Turn the options of a payload into those of a transcription.

    Raises:
        ConfigError: See `make_payload`.
    """
    unknown = sorted(set(options) - set(OPTION_NAMES))
    if unknown:
        raise ConfigError(f"{unknown[0][:80]}: there is no such option, allowed: {', '.join(OPTION_NAMES)}")
    decode = {name: _tupled(value) for name, value in options.items() if name in _DECODE_NAMES}
    audio = {name: _tupled(options[name]) for name in _AUDIO_NAMES if name in options}
    preset = {"name": options["preset"]} if "preset" in options else {}
    return TranscribeOptions.preset(
        **preset,
        **decode,
        vad=_vad(options.get("vad", {})),
        audio=AudioOptions(**audio),
        diarize=_speakers(options),
    )


def _speakers(options: Mapping[str, Any]) -> DiarizationOptions | None:
    numbers = {name: options[name] for name in _SPEAKER_NAMES if options.get(name) is not None}
    if options.get("diarize"):
        return DiarizationOptions(**numbers)
    for name, number in numbers.items():
        raise ConfigError(f"{name}: got {number!r:.80}, allowed: beside diarize true")
    return None


def _vad(given: Any) -> VadOptions:
    names = [field.name for field in fields(VadOptions)]
    if not isinstance(given, Mapping):
        raise ConfigError(f"vad: got {str(given)[:80]!r}, allowed: an object with {', '.join(names)}")
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ConfigError(f"vad.{unknown[0][:80]}: there is no such option, allowed: {', '.join(names)}")
    return VadOptions(**{name: value for name, value in given.items() if value is not None})


def _tupled(value: Any) -> Any:
    """JSON knows lists only, options are tuples."""
    return tuple(_tupled(one) for one in value) if isinstance(value, list) else value
