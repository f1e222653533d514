"""The other flags of `ifw transcribe`. Names follow openai-whisper and whisperX; `_` may be written for `-`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import typer

from ifw.cli.optional_number import parse_optional
from ifw.config import MAX_HYPOTHESES
from ifw.config import Channels as ChannelsName
from ifw.config import Device as DeviceName
from ifw.config import Preset as PresetName
from ifw.types import Mode

ComputeTypeName = Literal["auto", "default", "float32", "float16", "bfloat16", "int8"]


class OutputFormat(str, Enum):
    """What `--output-format` takes: `FORMATS`, or `all`. An enumeration, because typer takes no list of literals."""

    TXT = "txt"
    SRT = "srt"
    VTT = "vtt"
    TSV = "tsv"
    JSON = "json"
    OPENAI_JSON = "openai-json"
    ALL = "all"


def given(**values: Any) -> dict[str, Any]:
    """Those of the values that the user gave; None is left to the preset."""
    return {name: value for name, value in values.items() if value is not None}


Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        help="Audio or video files, folders (with their sub-folders), patterns such as 'talks/**/*.mp3', "
        "http and https URLs, or - for standard input.",
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
        help="May be given several times. all is every one but openai-json. Left out: txt when printing, all when "
        "writing files.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with files that an earlier run was interrupted in, and leave out those that it finished.",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Print the text with its times, also when files are written, and the language that was detected.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, warnings or notes; only errors.")]
PrintTimings = Annotated[
    bool,
    typer.Option("--print-timings", help="Print how long each stage took to standard error."),
]

Language = Annotated[
    str | None,
    typer.Option(
        "--language", help="Spoken language: code, tag such as en-US, or English name. Left out or auto: detected."
    ),
]
Preset = Annotated[
    PresetName,
    typer.Option(
        "--preset",
        help="What happens to text that looks wrong: fast tries once more, balanced climbs all temperatures, accurate "
        "also searches with beams and gives each window the text before it. Other options win over it.",
    ),
]
Multilingual = Annotated[
    bool, typer.Option("--multilingual", help="Several languages in one file: decide on each window by itself.")
]
Task = Annotated[Mode, typer.Option("--task", help="Write in the spoken language, or translate into English.")]
InitialPrompt = Annotated[
    str | None,
    typer.Option("--initial-prompt", help="Names, spelling and style to expect; given to the first window of a file."),
]
Hotwords = Annotated[
    str | None,
    typer.Option("--hotwords", help="Words to expect, such as names; given to every window."),
]
ConditionOnPreviousText = Annotated[
    bool | None,
    typer.Option(
        "--condition-on-previous-text/--no-condition-on-previous-text",
        help="Give each window the text before it; the windows of a file are then decoded in turn. Left out: only "
        "with --preset accurate.",
        show_default=False,
    ),
]
BeamSize = Annotated[
    int | None,
    typer.Option(
        "--beam-size",
        min=1,
        max=MAX_HYPOTHESES,
        help="Beams searched where greedy text looks wrong; 1 searches none. Left out: 5 with --preset accurate.",
    ),
]
BestOf = Annotated[
    int | None,
    typer.Option(
        "--best-of",
        min=1,
        max=MAX_HYPOTHESES,
        help="Samples drawn at each temperature above 0. Left out: 5 with --preset accurate, else 1.",
    ),
]
WordTimestamps = Annotated[
    bool, typer.Option("--word-timestamps", help="Find when each word is spoken; JSON holds it.")
]
TokenLogprobs = Annotated[
    bool, typer.Option("--token-logprobs", help="Keep the probability of every token; JSON holds it.")
]
Timestamps = Annotated[
    bool,
    typer.Option(
        "--timestamps/--no-timestamps",
        help="Let the model find times; without them a window of up to 30 s is one segment.",
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

Clip = Annotated[
    list[str] | None,
    typer.Option(
        "--clip",
        metavar="START-END",
        help="Transcribe only these stretches, such as 1:30-2:45,1:02:00-; may be given several times. Times stay "
        "those of the whole audio.",
    ),
]
Channels = Annotated[
    ChannelsName,
    typer.Option("--channels", help="mix hears all channels as one; split transcribes each as its own speaker."),
]

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
    typer.Option(
        "--compute-type",
        help="auto (or default) is float16 on CUDA, and on CPU bfloat16 with native kernels that have it, "
        "else float32. On CPU int8 is the fastest.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Windows decoded together. Left out: by device and memory."),
]
Threads = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 leaves torch's own choice.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Files in flight at the same time.")]
