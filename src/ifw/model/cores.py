"""How many cores torch computes on in the calling thread, and who goes first.

torch's number is one of the thread, but a thread that has never asked for it has none: when it first asks, it takes
what any thread has set last, and forgets what it has set itself.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import torch

_NICENESS: Final = 10  # above that of the process: about a tenth of a core that two threads want
_SLICE_S: Final = 0.05  # others have 3 ms: from Linux 6.12 on, whoever wakes up and has a shorter one goes first
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
_KEEP_POLICY: Final = 0x08  # SCHED_FLAG_KEEP_POLICY: who runs the program as a batch or an idle job still does


def use_cores(n_cores: int) -> None:
    """Have torch compute on so many cores in this thread, from now on.

    Args:
        n_cores: Threads of torch.
    """
    torch.get_num_threads()
    torch.set_num_threads(n_cores)


@contextmanager
def cores(n_cores: int) -> Iterator[None]:
    """Have torch compute on so many cores in this thread, until the block or the function ends.

    Args:
        n_cores: Threads of torch.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n_cores)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def give_way() -> None:
    """Have the other threads of the process go first from now on, where threads have priorities: on Linux."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(PermissionError):  # it is slower then, and works
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
        _take_long_turns(os.getpriority(os.PRIO_PROCESS, thread))


def _take_long_turns(niceness: int) -> None:
    """Ask for turns on a core that are longer than those of others; a kernel that does not know them leaves them."""
    call = _SCHED_SETATTR.get(platform.machine())
    if call is not None:
        # struct sched_attr: size, policy (kept), flags, nice value, no priority, slice in ns, no deadline, no period
        attributes = struct.pack("IIQiIQQQ", 48, 0, _KEEP_POLICY, niceness, 0, round(_SLICE_S * 1e9), 0, 0)
        ctypes.CDLL(None).syscall(call, 0, attributes, 0)
