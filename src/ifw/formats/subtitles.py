"""SubRip and WebVTT.

Source: the WebVTT recommendation of the W3C, sections 4 and 6; SubRip has no written standard.
"""

from __future__ import annotations

from collections.abc import Callable

from ifw.config import SubtitleOptions
from ifw.formats.clean_text import without_arrows
from ifw.formats.cues import Cue, to_cues
from ifw.formats.times import clock
from ifw.types import Transcript


def to_srt(transcript: Transcript, options: SubtitleOptions | None = None) -> str:
    """Write SubRip: numbered cues, a comma before the milliseconds, speakers as `[label]: ` before the text.

    Args:
        transcript: What to write.
        options: How cues are made; None stands for the defaults.
    """
    blocks = [
        f"{number}\n{clock(cue.start_ms, ',')} --> {clock(cue.end_ms, ',')}\n{_bracketed(cue)}\n\n"
        for number, cue in enumerate(to_cues(transcript.segments, options), start=1)
    ]
    return "".join(blocks)


def to_vtt(transcript: Transcript, options: SubtitleOptions | None = None) -> str:
    """Write WebVTT: a point before the milliseconds, `&` and `<` escaped, speakers as voice spans.

    Args:
        transcript: What to write.
        options: How cues are made; None stands for the defaults.
    """
    blocks = [
        f"{clock(cue.start_ms, '.', always_hours=False)} --> {clock(cue.end_ms, '.', always_hours=False)}\n"
        f"{_voiced(cue)}\n\n"
        for cue in to_cues(transcript.segments, options)
    ]
    return "".join(["WEBVTT\n\n", *blocks])


def _bracketed(cue: Cue) -> str:
    label = "" if cue.speaker is None else f"[{cue.speaker}]: "
    return without_arrows(label + _underlined(cue, str))


def _voiced(cue: Cue) -> str:
    label = "" if cue.speaker is None else without_arrows(cue.speaker)
    voice = f"<v {_escaped(label).replace('>', '&gt;')}>" if label else ""
    return voice + without_arrows(_underlined(cue, _escaped))


def _underlined(cue: Cue, write: Callable[[str], str]) -> str:
    if cue.highlight is None:
        return write(cue.text)
    start, end = cue.highlight
    return f"{write(cue.text[:start])}<u>{write(cue.text[start:end])}</u>{write(cue.text[end:])}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
