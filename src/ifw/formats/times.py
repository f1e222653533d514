"""Times as files and people see them: whole milliseconds, and the clock of `.srt` and `.vtt`."""

from __future__ import annotations


def to_ms(time_s: float) -> int:
    """Round seconds to whole milliseconds; nothing lies before the start of the audio."""
    return max(round(time_s * 1000), 0)


def clock(time_ms: int, decimal_point: str) -> str:
    """Write hours (two digits or more), minutes, seconds, milliseconds: `01:02:03,456`.

    Args:
        time_ms: Milliseconds from the start of the audio.
        decimal_point: Stands before the milliseconds.
    """
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{decimal_point}{milliseconds:03d}"
