"""Numbers that may be given as `none`, which switches off what they bound."""

from __future__ import annotations

import typer


def parse_optional(text: str | float) -> float | None:
    """Read a number, or `none` for no number at all, as openai-whisper does."""
    if isinstance(text, str) and text.strip().lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor 'none'") from None


def parse_optional_count(text: str | int) -> int | None:
    """Read a whole number, or `none` for no limit, as openai-whisper does."""
    if isinstance(text, str) and text.strip().lower() == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a whole number nor 'none'") from None
