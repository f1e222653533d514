"""Times as files and people see them: whole milliseconds, and the clock of `.srt` and `.vtt`."""

from __future__ import annotations


def to_ms(time_s: float) -> int:
    """Round seconds to whole milliseconds; nothing lies before the start of the audio."""
    return max(round(time_s * 1000), 0)


def clock(time_ms: int, decimal_point: str, *, always_hours: bool = True) -> str:
    """Write hours (two digits or more), minutes, seconds, milliseconds: `01:02:03,456`.

    Args:
        time_ms: Milliseconds from the start of the audio.
        decimal_point: Stands before the milliseconds.
        always_hours: False leaves out the hours where there are none: `02:03.456`.
    """
    seconds, milliseconds = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    written_hours = f"{hours:02d}:" if hours or always_hours else ""
    return f"{written_hours}{minutes:02d}:{seconds:02d}{decimal_point}{milliseconds:03d}"
