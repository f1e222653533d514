"""Tests of what runs on CUDA. Without it the same code runs on CPU, as far as it can; what cannot is skipped.

`make gpu` runs this folder by itself, on a machine that has only torch with CUDA, triton, transformers, tokenizers,
safetensors, numpy and pytest.
"""

from __future__ import annotations

import os
import platform

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when a kernel is defined: before anything imports one


def pytest_configure(config):
    config.addinivalue_line("markers", "gpu: needs a CUDA device")


def pytest_report_header() -> list[str]:
    lines = [f"torch {torch.__version__}, CUDA {torch.version.cuda}, Python {platform.python_version()}"]
    try:
        import triton

        lines.append(f"triton {triton.__version__}")
    except ImportError:
        lines.append("triton is not installed")
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory = properties.total_memory / 2**30
        lines.append(f"{properties.name}, {properties.multi_processor_count} multiprocessors, {memory:.0f} GiB")
    return lines


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(autouse=True)
def _exact_float32():
    """Products in float32, not in TF32, so that devices can be compared; on CPU, one thread, as in the other tests."""
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


@pytest.fixture(autouse=True)
def _no_pending_fault():
    """A fault of the device shows in the test that made it."""
    yield
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def pytest_terminal_summary(terminalreporter):
    """What the tests measured, errors first of all."""
    lines = [
        f"{report.nodeid.split('::')[-1]}: " + ", ".join(f"{name} {value}" for name, value in report.user_properties)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call" and report.user_properties
    ]
    if lines:
        terminalreporter.section("measured")
        for line in sorted(lines):
            terminalreporter.write_line(line)
