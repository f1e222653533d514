"""The machine that figures come from."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import ifw

_FLAGS: Final = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "sve")


def environment() -> dict[str, Any]:
    """Processor, memory, system, versions and the time."""
    processor = _cpuinfo()
    flags = set(processor.get("flags", processor.get("Features", "")).split())
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor.get("model name") or platform.processor() or platform.machine(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "n_processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(memory_bytes() / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "ifw": ifw.__version__,
        "commit": _commit(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def memory_bytes(line: str = "MemTotal") -> int:
    """A line of `/proc/meminfo`; 0 where there is none."""
    try:
        content = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 0
    found = [one.split()[1] for one in content.splitlines() if one.startswith(f"{line}:")]
    return int(found[0]) * 1024 if found else 0


def _cpuinfo() -> dict[str, str]:
    try:
        content = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = content.partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _commit() -> str | None:
    """That of the source tree which is measured; None outside of one."""
    source = Path(ifw.__file__).parent
    try:
        asked = subprocess.run(  # noqa: S603 - a fixed command
            ["git", "-C", str(source), "rev-parse", "--short", "HEAD"],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except OSError:
        return None
    return asked.stdout.strip() or None
