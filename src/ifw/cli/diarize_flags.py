"""The flags that tell speakers apart. Names follow whisperX and pyannote.audio."""

from __future__ import annotations

from typing import Annotated

import typer

from ifw.config import MAX_SPEAKERS, DiarizationOptions
from ifw.errors import ConfigError

Diarize = Annotated[
    bool,
    typer.Option(
        "--diarize",
        help="Tell speakers apart: every segment and word gets a label, SPEAKER_00 for the one who is heard first.",
    ),
]
DiarizationModel = Annotated[
    str | None,
    typer.Option(
        "--diarization-model",
        help="Hub id or folder of a model for --diarize, or demo, which is bundled and knows synthetic voices only. "
        "Left out: pyannote/speaker-diarization-community-1, for which the hub wants accepted conditions and HF_TOKEN.",
        show_default=False,
    ),
]
NumSpeakers = Annotated[
    int | None,
    typer.Option(
        "--num-speakers", min=1, max=MAX_SPEAKERS, help="How many speakers --diarize finds, if that is known."
    ),
]
MinSpeakers = Annotated[
    int | None,
    typer.Option("--min-speakers", min=1, max=MAX_SPEAKERS, help="--diarize finds at least so many speakers."),
]
MaxSpeakers = Annotated[
    int | None,
    typer.Option("--max-speakers", min=1, max=MAX_SPEAKERS, help="--diarize finds at most so many speakers."),
]


def diarization_options(
    diarize: bool, model: str | None, num_speakers: int | None, min_speakers: int | None, max_speakers: int | None
) -> DiarizationOptions | None:
    """What was asked for; None where nobody is to be told apart.

    Raises:
        ConfigError: Something was said about speakers that are not told apart, or a number is not allowed.
    """
    if diarize:
        return DiarizationOptions(num_speakers, min_speakers, max_speakers)
    for flag, value in (
        ("--diarization-model", model),
        ("--num-speakers", num_speakers),
        ("--min-speakers", min_speakers),
        ("--max-speakers", max_speakers),
    ):
        if value is not None:
            raise ConfigError(f"{flag}: got {value!r} without --diarize, allowed: only with --diarize")
    return None
