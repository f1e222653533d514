"""Stretches of audio as people write them: `1:30-2:45`, `90-165`, `1:02:03-`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ifw.errors import ConfigError

_CLOCK: Final = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)")


def parse_clips(texts: Sequence[str]) -> tuple[tuple[float, float | None], ...]:
    """Read all stretches, each flag holding one or several between commas.

    Raises:
        ConfigError: One is no stretch; order and overlap are for `AudioOptions` to judge.
    """
    return tuple(_parse(part.strip()) for text in texts for part in text.split(","))


def _parse(text: str) -> tuple[float, float | None]:
    start, dash, end = text.partition("-")
    if not dash or not start.strip():
        raise _wrong(text)
    return _seconds(start, text), _seconds(end, text) if end.strip() else None


def _seconds(clock: str, text: str) -> float:
    match = _CLOCK.fullmatch(clock.strip())
    if match is None:
        raise _wrong(text)
    hours, minutes, seconds = match.groups()
    if (minutes is not None and float(seconds) >= 60) or (hours is not None and int(minutes) >= 60):
        raise _wrong(text)
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)


def _wrong(text: str) -> ConfigError:
    return ConfigError(f"--clip: got {text!r}, allowed: START-END in seconds, m:ss or h:mm:ss; END may be left out")
