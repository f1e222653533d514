"""SubRip and WebVTT.

Source: the WebVTT recommendation of the W3C, sections 4 and 6; SubRip has no written standard.
"""

from __future__ import annotations

import html

from ifw.formats.cues import to_cues
from ifw.formats.times import clock
from ifw.types import Transcript


def to_srt(transcript: Transcript) -> str:
    """Write SubRip: numbered cues, a comma before the milliseconds, speakers as `[label]: ` before the text."""
    blocks = [
        f"{number}\n{clock(cue.start_ms, ',')} --> {clock(cue.end_ms, ',')}\n{_bracketed(cue.speaker)}{cue.text}\n"
        for number, cue in enumerate(to_cues(transcript.segments), start=1)
    ]
    return "\n".join(blocks)


def to_vtt(transcript: Transcript) -> str:
    """Write WebVTT: a point before the milliseconds, `&`, `<` and `>` escaped, speakers as voice spans."""
    blocks = [
        f"{clock(cue.start_ms, '.')} --> {clock(cue.end_ms, '.')}\n"
        f"{_voice(cue.speaker)}{html.escape(cue.text, quote=False)}\n"
        for cue in to_cues(transcript.segments)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _bracketed(speaker: str | None) -> str:
    return "" if speaker is None else f"[{speaker}]: "


def _voice(speaker: str | None) -> str:
    return "" if speaker is None else f"<v {html.escape(speaker, quote=False)}>"
