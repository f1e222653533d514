"""Text as lines of a file: nothing in it that a program takes for a line end, a blank line or the arrow of a cue."""

from __future__ import annotations

import re

_ARROW = re.compile(r"-{2,}>")
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")


def flat(text: str) -> str:
    """Write tabs and whatever some program takes for a line end as a space; other kinds of space stay."""
    return _BREAKS.sub(" ", text)


def one_line(text: str) -> str:
    """Write as `flat` does, without space around it."""
    return flat(text.strip())


def clean_lines(text: str) -> str:
    """Drop blank lines, which would end a cue."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def without_arrows(text: str) -> str:
    """Shorten `-->`, which would start a cue, to `->`."""
    return _ARROW.sub("->", text)
