"""How many cores torch computes on in the calling thread, and who goes first.

torch's number is one of the thread, but a thread that has never asked for it has none: when it first asks, it takes
what any thread has set last, and forgets what it has set itself.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import torch

_NICENESS: Final = int(os.environ.get("NICE", "10"))


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
        with suppress(PermissionError):  # it is slower then, and works
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
