"""A whole run, of our engine and of one that pretends."""

import json

import pytest

from ifw.benchmark.results import read_results, write_results
from ifw.benchmark.tables import page, summary
from ifw.errors import BenchmarkError, ConfigError


def test_a_run_measures_all_and_its_tables_say_so(run, tmp_path):
    results, noted = run(scenarios=("engine", "skewed"))
    assert results["options"]["device"] == "cpu"
    assert set(results["ceilings"]["gemm_gflops"]) == {"float32", "bfloat16", "int8"}
    assert results["versions"]["transformers"] == {"pretender": "1.0"}
    rows = results["scenarios"]["engine"]["toy"]["rows"]
    assert {row["engine"] for row in rows} == {"ifw", "transformers"}
    for row in rows:
        assert len(row["passes"]) == row["n_passes"] == 2
        assert row["low_ms"] <= row["ms_a_window"] <= row["high_ms"]
        assert row["times_real_time"] == pytest.approx(30_000 / row["ms_a_window"])
        assert row["agreement"] == 1.0 if (row["engine"], row["setup"]) == ("ifw", "float32") else row["agreement"] < 1
    assert {row["setup"] for row in rows if row["engine"] == "transformers"} == {"float32"}
    lazy, broken = (next(note for note in results["notes"] if name in note) for name in ("bfloat16", "openai"))
    assert "left out" in lazy
    assert "got windows of" in lazy
    assert "OSError: no such library" in broken
    assert set(results["notes"]) <= set(noted)
    assert results["scenarios"]["skewed"]["toy"]["rows"][0]["n_windows"] == 32

    data, text = write_results(results, page(results), tmp_path / "new", "here")
    assert read_results(data) == json.loads(json.dumps(results))
    written = text.read_text()
    for expected in ("ifw bench --quick", "Engine, toy", "Skewed lengths, toy", "A/A, ifw", "GFLOP/s", "pretender 1.0"):
        assert expected in written
    assert summary(results).count("\n| toy |") == 2


def test_without_our_own_engine_there_is_nothing_to_compare(run):
    with pytest.raises(BenchmarkError):
        run("transformers")


def test_an_engine_that_is_not_installed_is_refused(run):
    with pytest.raises(ConfigError, match="make peers"):
        run("openvino")
    with pytest.raises(ConfigError, match="allowed: ifw"):
        run("whisper.cpp")


def test_other_files_are_no_results(tmp_path):
    path = tmp_path / "other.json"
    for content in ("", "[]", '{"format": 0}'):
        path.write_text(content)
        with pytest.raises(BenchmarkError):
            read_results(path)
