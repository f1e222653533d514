"""Every flag of `ifw transcribe`. Names follow openai-whisper and whisperX; `_` may be written for `-`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Final, Literal

import typer

from ifw.config import DecodeOptions
from ifw.config import Device as DeviceName
from ifw.errors import ConfigError
from ifw.types import Mode

MAX_LADDER_TEMPERATURE = 1.0
MIN_INCREMENT = 0.01
AUTO_LANGUAGE = "auto"
ComputeTypeName = Literal["auto", "default", "float32", "float16", "bfloat16"]


class OutputFormat(str, Enum):
    """What `--output-format` takes: `FORMATS`, or all. An enumeration, because typer takes no list of literals."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"
    JSON = "json"
    ALL = "all"


_FLAG_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model": "--model",
        "language": "--language",
        "mode": "--task",
        "initial_prompt": "--initial-prompt",
        "temperatures": "--temperature",
        "compression_ratio_threshold": "--compression-ratio-threshold",
        "logprob_threshold": "--logprob-threshold",
        "no_speech_threshold": "--no-speech-threshold",
        "seed": "--seed",
        "onset": "--vad-onset",
        "offset": "--vad-offset",
        "min_speech_ms": "--vad-min-speech-ms",
        "min_silence_ms": "--vad-min-silence-ms",
        "pad_ms": "--vad-pad-ms",
        "max_window_s": "--chunk-size",
        "device": "--device",
        "dtype": "--compute-type",
        "n_slots": "--batch-size",
        "n_threads": "--threads",
    }
)


def in_flags(message: str) -> str:
    """Put the flag for the name of the library's parameter with which a message begins."""
    name, colon, rest = message.partition(": ")
    return f"{_FLAG_OF.get(name, name)}{colon}{rest}"


def language_code(language: str | None) -> str | None:
    """The code of a language, or None where it has to be detected.

    Raises:
        LanguageError: Whisper knows no such language.
    """
    if language is None or language.strip().lower() == AUTO_LANGUAGE:
        return None
    from ifw.model.languages import normalise_language

    return normalise_language(language)


def parse_optional(text: str | float) -> float | None:
    """Read a number, or `none` for no number at all, as openai-whisper does."""
    if isinstance(text, str) and text.strip().lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor 'none'") from None


def temperature_ladder(first: float, increment: float | None) -> tuple[float, ...]:
    """The temperatures to try in turn: from `first` in steps of `increment` up to 1.0, as openai-whisper does.

    Raises:
        ConfigError: The increment is negative or so small that nobody can mean it, or `first` is out of range.
    """
    DecodeOptions(temperatures=(first,))  # its bounds hold before any step is counted
    if not increment:
        return (first,)
    if not increment >= MIN_INCREMENT:
        raise ConfigError(
            f"--temperature-increment-on-fallback: got {increment}, allowed: none, 0, or {MIN_INCREMENT} and more"
        )
    n_steps = max(math.floor((MAX_LADDER_TEMPERATURE - first) / increment + 1e-6), 0)
    return tuple(round(first + step * increment, 6) for step in range(n_steps + 1))


Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        help="Audio or video files, folders (with their sub-folders), patterns such as 'talks/**/*.mp3', "
        "or - for standard input.",
        show_default=False,
    ),
]

Model = Annotated[
    str, typer.Option("--model", help="Short name (see 'ifw models'), Hugging Face hub id, or checkpoint folder.")
]

OutputDir = Annotated[
    str | None,
    typer.Option(
        "--output-dir",
        "-o",
        metavar="DIR",
        help="Write files into this folder; - prints to standard output. Left out: the text is printed, or with "
        "--output-format files are written into the current folder.",
    ),
]
OutputFormats = Annotated[
    list[OutputFormat] | None,
    typer.Option(
        "--output-format",
        "-f",
        help="May be given several times. Left out: txt when printing, all when writing files.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Print the text with its times, also when files are written."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, warnings or notes; only errors.")]
PrintTimings = Annotated[
    bool,
    typer.Option("--print-timings", help="Print how long each stage took to standard error."),
]

Language = Annotated[
    str | None,
    typer.Option("--language", help="Spoken language: code or English name. Left out or auto: detected."),
]
Task = Annotated[Mode, typer.Option("--task", help="Write in the spoken language, or translate into English.")]
InitialPrompt = Annotated[
    str | None,
    typer.Option("--initial-prompt", help="Names, spelling and style to expect; given to every window."),
]
Timestamps = Annotated[
    bool,
    typer.Option(
        "--timestamps/--no-timestamps",
        help="Let the model find times; without them a window of up to 30 s is one segment.",
    ),
]
Temperature = Annotated[
    float,
    typer.Option("--temperature", help="First temperature; 0 is greedy."),
]
TemperatureIncrement = Annotated[
    float | None,
    typer.Option(
        "--temperature-increment-on-fallback",
        metavar="FLOAT|none",
        parser=parse_optional,
        help="Added, up to 1.0, each time the text looks wrong; none or 0 never tries again.",
    ),
]
CompressionRatioThreshold = Annotated[
    float | None,
    typer.Option(
        "--compression-ratio-threshold",
        metavar="FLOAT|none",
        parser=parse_optional,
        help="Text that compresses better than this repeats itself and looks wrong; none turns this off.",
    ),
]
LogprobThreshold = Annotated[
    float | None,
    typer.Option(
        "--logprob-threshold",
        metavar="FLOAT|none",
        parser=parse_optional,
        help="Text with a mean log-probability below this looks wrong; none turns this off.",
    ),
]
NoSpeechThreshold = Annotated[
    float | None,
    typer.Option(
        "--no-speech-threshold",
        metavar="FLOAT|none",
        parser=parse_optional,
        help="A window that is silent with more than this probability, and whose text looks wrong, gives no text; "
        "none turns this off.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed for temperatures above 0.")]

Vad = Annotated[bool, typer.Option("--vad/--no-vad", help="Transcribe only where a voice is heard.")]
VadOnset = Annotated[
    float,
    typer.Option(
        "--vad-onset",
        help="Speech starts at this probability; lower hears more.",
    ),
]
VadOffset = Annotated[
    float | None,
    typer.Option(
        "--vad-offset",
        help="Speech ends below this probability. Left out: onset - 0.15.",
    ),
]
VadMinSpeechMs = Annotated[int, typer.Option("--vad-min-speech-ms", min=0, help="Shorter speech is dropped.")]
VadMinSilenceMs = Annotated[int, typer.Option("--vad-min-silence-ms", min=0, help="Shorter silence is no pause.")]
VadPadMs = Annotated[int, typer.Option("--vad-pad-ms", min=0, help="Audio kept on both sides of speech.")]
ChunkSize = Annotated[
    float,
    typer.Option("--chunk-size", help="Seconds of audio decoded at once, at most."),
]

Device = Annotated[DeviceName, typer.Option("--device", help="auto takes CUDA where there is one.")]
ComputeType = Annotated[
    ComputeTypeName,
    typer.Option("--compute-type", help="auto (or default) is float16 on CUDA and float32 on CPU."),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Windows decoded together. Left out: by device and memory."),
]
Threads = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 leaves torch's own choice.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Files in flight at the same time.")]
