"""Every flag of `ifw transcribe`. Names follow openai-whisper and whisperX; `_` may be written for `-`."""

from __future__ import annotations

import math
from enum import Enum
from typing import Annotated, Literal

import typer

from ifw.config import Device as DeviceName
from ifw.errors import ConfigError
from ifw.types import Mode

MAX_LADDER_TEMPERATURE = 1.0
MIN_INCREMENT = 0.01
ComputeTypeName = Literal["auto", "default", "float32", "float16", "bfloat16"]


class OutputFormat(str, Enum):
    """What `--output-format` takes. An enumeration, because typer takes no list of literals."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"
    JSON = "json"
    ALL = "all"


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
        ConfigError: The increment is negative or so small that nobody can mean it.
    """
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
    typer.Option("--temperature", min=0.0, max=2.0, help="First temperature; 0 is greedy."),
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
        help="Text that compresses better than this repeats itself and looks wrong.",
    ),
]
LogprobThreshold = Annotated[
    float | None,
    typer.Option(
        "--logprob-threshold",
        metavar="FLOAT|none",
        parser=parse_optional,
        help="Text with a mean log-probability below this looks wrong.",
    ),
]
NoSpeechThreshold = Annotated[
    float | None,
    typer.Option(
        "--no-speech-threshold",
        metavar="FLOAT|none",
        parser=parse_optional,
        help="A window that is silent with more than this probability, and whose text looks wrong, gives no text.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed for temperatures above 0.")]

Vad = Annotated[bool, typer.Option("--vad/--no-vad", help="Transcribe only where a voice is heard.")]
VadOnset = Annotated[
    float,
    typer.Option(
        "--vad-onset",
        min=0.0,
        max=1.0,
        help="Speech starts at this probability; lower hears more.",
    ),
]
VadOffset = Annotated[
    float | None,
    typer.Option(
        "--vad-offset",
        min=0.0,
        max=1.0,
        help="Speech ends below this probability. Left out: onset - 0.15.",
    ),
]
VadMinSpeechMs = Annotated[int, typer.Option("--vad-min-speech-ms", min=0, help="Shorter speech is dropped.")]
VadMinSilenceMs = Annotated[int, typer.Option("--vad-min-silence-ms", min=0, help="Shorter silence is no pause.")]
VadPadMs = Annotated[int, typer.Option("--vad-pad-ms", min=0, help="Audio kept on both sides of speech.")]
ChunkSize = Annotated[
    float,
    typer.Option("--chunk-size", min=1.0, max=30.0, help="Seconds of audio decoded at once, at most."),
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
