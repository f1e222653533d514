"""How old this process is, so that a cold start is measured whole, imports included."""

from __future__ import annotations

import os
import time
from pathlib import Path

_LOADED_AT = time.perf_counter()


def process_age_s() -> float:
    """Wall seconds since this process started; where the system does not say, since this module was loaded."""
    try:
        after_name = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        started_ticks = int(after_name.split()[19])  # field 22 of stat, `starttime`
        uptime_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return time.perf_counter() - _LOADED_AT
    return uptime_s - started_ticks / os.sysconf("SC_CLK_TCK")
