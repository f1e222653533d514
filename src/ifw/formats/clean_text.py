"""Text as lines of a file: nothing in it that a program takes for a line end, a command or the arrow of a cue."""

from __future__ import annotations

import re

_ARROW = re.compile(r"-{2,}>")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def flat(text: str) -> str:
    """Write line ends of any kind, tabs and commands to a terminal as a space; other kinds of space stay."""
    return _CONTROLS.sub(" ", text)


def one_line(text: str) -> str:
    """Write as `flat` does, without space around it."""
    return flat(text).strip()


def clean_lines(text: str) -> str:
    """Drop blank lines, which would end a cue; lines are otherwise as `one_line` writes them."""
    lines = (one_line(line) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def without_arrows(text: str) -> str:
    """Shorten `-->`, which would start a cue, to `->`."""
    return _ARROW.sub("->", text)
