"""benchmarks/gpu.py runs: on a toy, on whatever device there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "benchmarks" / "gpu.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def toy(device, tmp_path_factory) -> tuple[str, dict]:
    folder = tmp_path_factory.mktemp("gpu")
    done = run(
        *("--models", "toy,nosuch", "--device", device.type, "--dtype", "float32", "--windows", "3", "--tokens", "5"),
        *("--slots", "2", "--batches", "2", "--rounds", "1", "--budget-s", "200"),
        *("--work-dir", str(folder), "--output", str(folder / "out.json")),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "out.json").read_text())


def test_every_row_is_measured_and_one_table_is_printed(toy):
    printed, record = toy
    rows = {row["what"]: row for row in record["rows"] if row["model"] == "toy"}
    assert not [row["remark"] for row in rows.values() if "FAILED" in row["remark"] or "not measured" in row["remark"]]
    expected = (
        "encoding 8",
        "step of 2 rows",
        "3 windows x 5, transformers batch 2",
        "skewed",
        "one window",
        "keys and values in int8",
        "keys and values in float8",
        "round of 2 rows",
        "encoding 8, products in int8",
        "encoding 8, products in float8",
    )
    for what in expected:
        row = next(row for name, row in rows.items() if name.startswith(what))
        assert row["ours"] > 0
        assert row["theirs"] > 0
        assert row["what"] in printed


def test_what_fails_is_named_and_the_others_go_on(toy):
    printed, record = toy
    failed = [row for row in record["rows"] if row["model"] == "nosuch"]
    assert len(failed) == 1
    assert "FAILED: KeyError" in failed[0]["remark"]
    assert "FAILED" in printed


def test_without_a_gpu_nothing_is_claimed(device):
    if device.type == "cuda":
        pytest.skip("there is a GPU")
    done = run()
    assert done.returncode == 0
    assert done.stdout.strip() == "not measured: torch sees no CUDA device here"
