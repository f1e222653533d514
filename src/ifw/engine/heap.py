"""What the C library does with memory that was freed: for programs that transcribe, and own their process."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_MMAP_THRESHOLD: Final = -3
_MAX_KEPT_BYTES: Final = 256 << 20
_MAX_HEAP_BLOCK_BYTES: Final = 32 << 20  # the most that glibc allows
_VARIABLES: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Have freed memory used again, up to 256 MB of it, before any of it goes back to the system.

    glibc's own habit is to return every large block. Encoding a window needs some 70 MB of them in turn, which the
    system then clears again, a quarter of the time. It concerns the whole process, so the library leaves it to the
    program; the user's own settings in the environment win.

    Returns:
        Whether it was done: only with glibc.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or any(map(os.environ.get, _VARIABLES)):
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_MMAP_THRESHOLD, _MAX_HEAP_BLOCK_BYTES) and libc.mallopt(_TRIM_THRESHOLD, _MAX_KEPT_BYTES))
