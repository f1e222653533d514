"""A driver's process that does not live as long as it should."""

import sys
from pathlib import Path

import pytest

from ifw.benchmark.driver_process import DriverCommand, DriverProcess, Job
from ifw.errors import BenchmarkError

JOB = Job(setup={}, device="cpu", n_threads=1)


def test_a_process_that_has_ended_is_an_error_and_can_be_closed(tmp_path):
    driver = tmp_path / "mortal.py"
    driver.write_text("import os\n\nclass Driver:\n    def __init__(self, job):\n        os._exit(1)\n")
    process = DriverProcess(DriverCommand("mortal", Path(sys.executable), str(driver)), (), 1, tmp_path / "log")
    for _ in range(2):
        with pytest.raises(BenchmarkError, match="mortal ended"):
            process.load(JOB)
        process._process.wait()
    process.close()
