"""Freed memory stays with a process that asked for that."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CHURN = """
import resource
import numpy as np
from ifw.engine.heap import keep_freed_memory
if KEPT:
    assert keep_freed_memory()
def churn():
    for _ in range(4):
        blocks = [np.ones(2_000_000) for _ in range(8)]
        del blocks
churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
churn()
churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def n_faults(monkeypatch, *, kept):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    code = CHURN.replace("KEPT", str(kept))
    return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_freed_blocks_are_used_again(monkeypatch):
    assert n_faults(monkeypatch, kept=True) < 100 < n_faults(monkeypatch, kept=False)


def test_what_the_user_has_set_stays(monkeypatch):
    from ifw.engine.heap import keep_freed_memory

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()
