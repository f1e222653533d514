"""The flags of temperature, and the ladder that they come to. Names and meaning follow openai-whisper."""

from __future__ import annotations

import math
from typing import Annotated, Final

import typer

from ifw.cli.optional_number import parse_optional
from ifw.config import DEFAULT_TEMPERATURES, DecodeOptions
from ifw.errors import ConfigError

MAX_LADDER_TEMPERATURE: Final = 1.0
MIN_INCREMENT: Final = 0.01


def parse_increment(text: str | float) -> float:
    """Read a number; `none` is 0: never try again."""
    return parse_optional(text) or 0.0


Temperature = Annotated[
    float | None,
    typer.Option("--temperature", help="First temperature; 0 is greedy. Left out: 0."),
]
TemperatureIncrement = Annotated[
    float | None,
    typer.Option(
        "--temperature-increment-on-fallback",
        metavar="FLOAT|none",
        parser=parse_increment,
        help="Added, up to 1.0, each time the text looks wrong; none or 0 never tries again. Left out: 0.2, or 0.4 "
        "once with --preset fast.",
    ),
]


def temperature_ladder(first: float | None, increment: float | None) -> tuple[float, ...] | None:
    """The temperatures to try in turn: from `first` in steps of `increment` up to 1.0, as openai-whisper does.

    Args:
        first: None is 0, where an increment is given.
        increment: 0 makes no other step; None is 0.2, where a first temperature is given.

    Returns:
        The ladder; None, which is that of the preset, where nothing is given, or only that the first is 0, as it is in
        every preset.

    Raises:
        ConfigError: The increment is negative or so small that nobody can mean it, or `first` is out of range.
    """
    first = DEFAULT_TEMPERATURES[0] if first is None else first
    if first == DEFAULT_TEMPERATURES[0] and increment is None:
        return None
    increment = DEFAULT_TEMPERATURES[1] - DEFAULT_TEMPERATURES[0] if increment is None else increment
    DecodeOptions(temperatures=(first,))  # its bounds hold before any step is counted
    if not increment:
        return (first,)
    if not increment >= MIN_INCREMENT:
        raise ConfigError(
            f"--temperature-increment-on-fallback: got {increment}, allowed: none, 0, or {MIN_INCREMENT} and more"
        )
    n_steps = max(math.floor((MAX_LADDER_TEMPERATURE - first) / increment + 1e-6), 0)
    return tuple(round(first + step * increment, 6) for step in range(n_steps + 1))
