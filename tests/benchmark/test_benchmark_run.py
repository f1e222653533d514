"""A whole run, of our engine and of one that pretends."""

import json
import math
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from ifw.benchmark import file_scenarios, own_driver
from ifw.benchmark.bench import Bench
from ifw.benchmark.engines import SWITCHED, Setup
from ifw.benchmark.options import SWITCHES, BenchmarkOptions
from ifw.benchmark.random_checkpoint import random_checkpoint
from ifw.benchmark.recordings import Recording
from ifw.benchmark.results import read_results, write_results
from ifw.benchmark.rounds import Pass
from ifw.benchmark.sizes import SIZES
from ifw.benchmark.switches import damped
from ifw.benchmark.tables import page, summary
from ifw.errors import BenchmarkError, ConfigError
from ifw.model.weights import tensor_shapes


def test_a_run_measures_all_and_its_tables_say_so(run, tmp_path):
    results, noted = run(scenarios=("engine", "skewed", "long", "clients", "latency", "front-end", "diarization"))
    assert results["options"]["device"] == "cpu"
    assert set(results["ceilings"]["gemm_gflops"]) == {"float32", "bfloat16", "int8"}
    assert results["versions"]["transformers"] == {"pretender": "1.0"}
    rows = results["scenarios"]["engine"]["toy"]["rows"]
    assert {row["engine"] for row in rows} == {"ifw", "transformers"}
    for row in rows:
        assert len(row["passes"]) == row["n_passes"] == 2
        assert row["low_ms"] <= row["ms_a_window"] <= row["high_ms"]
        assert row["times_real_time"] == pytest.approx(30_000 / row["ms_a_window"])
        assert (row["agreement"] == 1.0) == (row["engine"] == "ifw")
    lazy, broken = (next(note for note in results["notes"] if name in note) for name in ("openai", "openvino"))
    assert "left out" in lazy
    assert "got windows of" in lazy
    assert "OSError: no such library" in broken
    assert set(results["notes"]) <= set(noted)
    found = results["scenarios"]
    assert found["skewed"]["toy"]["rows"][0]["n_windows"] == 4
    for scenario, n_files, audio_s in (
        ("long", 1, 59.0),
        ("latency", 1, 29.25),
        ("clients", 4, None),
    ):
        assert {row["engine"] for row in found[scenario]["toy"]["rows"]} == {"ifw", "transformers"}
        for row in found[scenario]["toy"]["rows"]:
            assert row["n_files"] == n_files
            assert audio_s in (None, row["audio_s"])
            assert row["p50_s"] > 0
            assert row["p95_s"] is None  # of so few files nobody knows it
    assert not any("front end" in note for note in noted if note != "front-end")
    tuned = found["engine"]["toy"]["sweep_ms"]
    assert set(found["long"]["toy"]["tuning"]) == set(tuned)
    for row in found["clients"]["toy"]["rows"]:
        assert row["batch"] == found["clients"]["toy"]["tuning"][f"{row['engine']} {row['setup']}"]["batch"]
    stages = [(row["stage"], row["engine"]) for row in found["front-end"]["any model"]["rows"]]
    assert stages == [
        ("decode", "ifw"),
        ("vad", "ifw"),
        ("mel", "ifw"),
        ("mel", "transformers"),
        ("mel", "openai-whisper"),
    ]
    voices = found["diarization"]["any model"]
    assert [(row["engine"], row["n_passes"]) for row in voices["rows"]] == [("ifw", 2), ("pyannote-audio", 2)]
    assert voices["ratio"] == pytest.approx(voices["rows"][1]["wall_s"] / voices["rows"][0]["wall_s"])
    assert results["versions"]["pyannote-audio"] == {"pyannote.audio": "4.0"}

    data, text = write_results(results, page(results), tmp_path / "new", "here")
    assert read_results(data) == json.loads(json.dumps(results))
    written = text.read_text()
    titles = ("Engine, toy", "Skewed lengths, toy", "One long mp3", "at once, toy", "One clip alone", "Front end")
    for expected in ("ifw bench --quick", *titles, "A/A, ifw", "GFLOP/s", "pretender 1.0", "goal is 2.5"):
        assert expected in written
    assert summary(results).count("\n| toy |") == 2


def test_a_switch_has_a_row_of_its_own_that_is_not_ours(run):
    names = tuple(name for name in SWITCHES if name != "cross-kv-float8")
    results, _ = run("ifw", scenarios=("engine", "skewed", "latency"), switches=names)
    rows = {row["setup"]: row for row in results["scenarios"]["engine"]["toy"]["rows"] if row["engine"] == SWITCHED}
    precision = next(iter(rows)).partition(",")[0]
    assert set(rows) == {f"{precision}, {name}" for name in names}
    draft = rows.pop(f"{precision}, draft")
    assert draft["accepted"] >= 0.5  # one layer, of a model of one; what is proposed behind the end is not taken
    assert all(row["accepted"] is None for row in rows.values())
    assert rows[f"{precision}, cross-kv-int8"]["agreement"] > 0.5
    assert {row["engine"] for row in results["scenarios"]["latency"]["toy"]["rows"]} == {"ifw"}
    assert SWITCHED not in summary(results)
    written = page(results)
    assert f"| {SWITCHED} | {precision}, encoder-int8 |" in written
    assert f"| {SWITCHED} | {precision}, draft, {draft['accepted']:.0%} accepted |" in written


def test_a_switch_is_on_in_the_engine_that_is_measured(tmp_path):
    np.save(tmp_path / "samples.npy", np.zeros((1, 16_000), np.float32))
    job = {
        "device": "cpu",
        "n_threads": 1,
        "checkpoint": str(random_checkpoint("toy", 0, tmp_path)),
        "samples": str(tmp_path / "samples.npy"),
    }
    for name, arithmetic in (("cross-kv-int8", "keys and values int8"), ("encoder-float8", "encoder float8")):
        driver = own_driver.Driver(job | {"setup": {"compute_type": "float32", **SWITCHES[name]}})
        assert driver._engine(1).arithmetic == f"cpu float32, {arithmetic}"


def test_a_switch_that_does_not_exist_is_refused(run):
    with pytest.raises(ConfigError, match="switches: got 'turbo', allowed: cross-kv-int8, "):
        run("ifw", switches=("turbo",))


def test_a_draft_is_right_now_and_then():
    """The layers behind those of the draft add little, and all others are as they were."""
    dims = SIZES["base"]

    def read(name):
        return torch.ones(1)

    weights = damped(read, 2)
    changed = {name for name in tensor_shapes(dims) if weights(name) != 1}
    ends = ("self_attn.out_proj", "encoder_attn.out_proj", "fc2")
    assert changed == {
        f"decoder.layers.{layer}.{end}.{part}" for layer in range(2, 6) for end in ends for part in ("weight", "bias")
    }


def test_a_cold_start_is_a_new_process_each_time(run):
    results, _ = run("transformers", "openai-whisper", "openvino", scenarios=("cold",))
    (row,) = results["scenarios"]["cold"]["toy"]["rows"]
    assert (row["engine"], row["n_passes"]) == ("transformers", 2)
    assert all(one["wall_s"] > 0.005 for one in row["passes"])  # an interpreter starts in it
    assert len(results["notes"]) == 1
    assert "openai" in results["notes"][0]
    assert (row["p50_s"], row["p95_s"]) == (None, None)
    assert results["scenarios"]["cold"]["toy"]["tuning"] == {}
    assert "`engine` was not part" in page(results)
    assert "| - | - |" in page(results)


def test_a_cold_start_waits_for_idle_processors_before_its_clock(run, monkeypatch):
    began, ended = [], []

    def wait(cpus, limit_s):
        began.append(time.perf_counter())
        threading.Event().wait(0.5)
        ended.append(time.perf_counter())
        return False

    monkeypatch.setattr("ifw.benchmark.file_scenarios.wait_until_idle", wait)
    monkeypatch.setattr("ifw.benchmark.driver_process.wait_until_idle", wait)
    results, _ = run("transformers", scenarios=("cold",))
    (row,) = results["scenarios"]["cold"]["toy"]["rows"]
    began.append(time.perf_counter())
    assert len(ended) == 3  # to see that the engine works, there, and back
    for one, begin, end in zip(row["passes"], ended[1:], began[2:], strict=True):
        assert one["wall_s"] < end - begin
        assert not one["began_idle"]
        assert one["cpu_s"] > 0.005  # starting the interpreter is part of it


@pytest.mark.parametrize(("disturbed", "p50_s", "p95_s"), [((), 26.5, 68.0), ((1,), 21.5, 30.0), ((0, 1), 26.5, 68.0)])
def test_percentiles_are_of_the_passes_that_count(disturbed, p50_s, p95_s):
    ends = ([float(end_s) for end_s in range(first, first + 20)] for first in (12, 52, 12))
    passes = [
        Pass(end[-1], 1.0, is_disturbed=index in disturbed, detail={"ends_s": end}) for index, end in enumerate(ends)
    ]
    row = file_scenarios._row(Setup("ifw", "one", "float32", {}), 8, passes, [Recording("a.mp3", (5.0,), 10)])
    assert (row["p50_s"], row["p95_s"]) == (p50_s, p95_s)


def test_voices_are_embedded_by_ours_alone_where_pyannote_is_not_asked_for(run):
    results, notes = run("ifw", scenarios=("diarization",))
    assert results["scenarios"]["diarization"]["any model"]["rows"] == []  # here the driver expects both
    assert any("pyannote.audio takes no part" in note for note in notes)
    assert "Not measured" in page(results)


def test_without_our_own_engine_there_is_nothing_to_compare(run):
    with pytest.raises(BenchmarkError):
        run("transformers")


def test_an_engine_that_is_not_installed_is_refused(run):
    with pytest.raises(ConfigError, match="make peers"):
        run("faster-whisper")
    with pytest.raises(ConfigError, match="allowed: ifw"):
        run("whisper.cpp")


def test_other_files_are_no_results(tmp_path):
    path = tmp_path / "other.json"
    for content in ("", "[]", '{"format": 0}'):
        path.write_text(content)
        with pytest.raises(BenchmarkError):
            read_results(path)


def test_engines_are_measured_where_little_is_installed():
    absent = ["av", "yaml", "typer", "rich", "huggingface_hub", "httpx2", "silero_vad", "scipy", "psutil"]
    modules = [f"ifw.benchmark.{name}" for name in ("__main__", "own_driver", "ceilings")]
    program = f"import sys; sys.modules.update(dict.fromkeys({absent})); import {', '.join(modules)}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [(("--models", "base,giant"), "models: got 'giant'"), (("--batches", "1,x"), "batches: got '1,x'")],
)
def test_flags_are_written_as_those_of_the_command(flags, complaint):
    command = [sys.executable, "-m", "ifw.benchmark", "--quick", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {complaint}")
    assert ended.stderr.count("\n") == 1


def test_who_is_far_behind_is_measured_less_and_on_further_models_not_at_all(run, peers, monkeypatch):
    monkeypatch.setattr("ifw.benchmark.interference.MAX_FOREIGN", math.inf)
    driver, calls = peers / "transformers_driver.py", peers / "calls"
    slow = f"        open({str(calls)!r}, 'a').write('.')\n        import time; time.sleep(1)\n        return {{"
    driver.write_text(driver.read_text().replace("        return {", slow, 1))
    results, noted = run("ifw", "transformers", scenarios=("engine",))
    rows = [row for row in results["scenarios"]["engine"]["toy"]["rows"] if row["engine"] == "transformers"]
    assert {row["n_passes"] for row in rows} == {1}  # a quick run has no time for a second one
    n_setups = len({row["setup"] for row in rows})
    assert len(calls.read_text()) == 3 * n_setups  # to warm up, and each batch
    assert any(note.endswith(" times as long as ifw on toy: further models are measured without it") for note in noted)


def test_an_engine_that_was_left_out_has_no_set_ups_any_more():
    noted = []
    commands = dict.fromkeys(("ifw", "transformers"))
    bench = Bench(BenchmarkOptions(device="cpu"), commands, (), {}, noted.append)
    assert {setup.engine for setup in bench.setups()} == {"ifw", "transformers"}
    for _ in range(2):
        bench.leave_out("transformers", "it is slow")
    assert {setup.engine for setup in bench.setups()} == {"ifw"}
    assert noted == bench.notes == ["it is slow: further models are measured without it"]
