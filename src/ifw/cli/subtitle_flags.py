"""The flags of subtitles, which `ifw transcribe` and `ifw convert` share. Names follow openai-whisper."""

from __future__ import annotations

from typing import Annotated

import typer

from ifw.cli.optional_number import parse_optional, parse_optional_count
from ifw.config import CueLayout as CueLayoutName

MaxLineWidth = Annotated[
    int | None,
    typer.Option(
        "--max-line-width",
        metavar="INTEGER|none",
        parser=parse_optional_count,
        help="Columns of a line of srt and vtt; none breaks no lines.",
    ),
]
MaxLineCount = Annotated[
    int | None,
    typer.Option(
        "--max-line-count",
        metavar="INTEGER|none",
        parser=parse_optional_count,
        help="Lines of a cue of srt and vtt; none keeps a segment in one cue.",
    ),
]
MaxWordsPerLine = Annotated[
    int | None,
    typer.Option(
        "--max-words-per-line",
        metavar="INTEGER|none",
        parser=parse_optional_count,
        help="Words of a line of srt and vtt. Left out: no limit.",
    ),
]
HighlightWords = Annotated[
    bool,
    typer.Option("--highlight-words", help="Underline each word of srt and vtt while it is spoken; needs word times."),
]
MinCue = Annotated[
    float | None,
    typer.Option(
        "--min-cue-s",
        metavar="FLOAT|none",
        parser=parse_optional,
        help="A cue of srt and vtt stays this many seconds, if the next one leaves room; none changes no time.",
    ),
]
CueLayout = Annotated[
    CueLayoutName,
    typer.Option(
        "--cue-layout",
        help="sentences ends cues where sentences, clauses and pauses do; openai fills lines as openai-whisper does.",
    ),
]
