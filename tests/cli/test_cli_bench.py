"""`ifw bench` from its flags to options, files and exit status; what it measures is replaced."""

import json

import pytest
from typer.testing import CliRunner

from ifw.benchmark.options import BenchmarkOptions
from ifw.cli.app import app
from ifw.errors import BenchmarkError

RESULTS = {
    "format": 1,
    "command": "ifw bench",
    "environment": {"flags": [], "load_before": None}
    | dict.fromkeys(("date", "processor", "n_processors", "system", "python", "ifw", "commit"), "x")
    | {"memory_gb": 1},
    "options": {"device": "cpu", "n_threads": 2},
    "ceilings": {"gemm_gflops": {}, "read_gb_s": 1.0, "device": "cpu"},
    "versions": {},
    "scenarios": {},
    "notes": ["one thing"],
}


@pytest.fixture
def bench(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = []

    def measured(options, note, command):
        asked.append((options, command))
        note("measuring")
        if options.models == ("tiny",):
            raise BenchmarkError("it broke")
        return RESULTS

    monkeypatch.setattr("ifw.benchmark.run.run_benchmark", measured)
    return asked, lambda *arguments: CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_flags_become_options(bench):
    asked, ifw = bench
    flags = [
        "--scenario",
        "engine,long",
        "--models",
        "base, small",
        "--engines",
        "ifw",
        "--threads",
        3,
        "--batches",
        "1,8",
    ]
    flags += [
        "--tokens",
        50,
        "--rounds",
        3,
        "--windows",
        6,
        "--budget-s",
        9,
        "--wait-s",
        1,
        "--device",
        "cpu",
        "--peers-dir",
        "p",
        "--switches",
        "draft, cross-kv-int8",
    ]
    assert ifw(*flags).exit_code == 0
    options, _ = asked[0]
    assert (options.scenarios, options.models, options.engines) == (("engine", "long"), ("base", "small"), ("ifw",))
    assert (options.n_threads, options.batches, options.n_tokens, options.n_rounds) == (3, (1, 8), 50, 3)
    assert options.n_windows == 6
    assert options.switches == ("draft", "cross-kv-int8")
    assert not options.is_passive
    ifw("--passive")
    assert asked[1][0].is_passive
    assert (options.budget_s, options.wait_s, options.device, str(options.peers_dir)) == (9, 1, "cpu", "p")


def test_the_defaults_are_those_of_the_library_with_half_of_the_processors(bench):
    asked, ifw = bench
    ifw()
    assert asked[0][0] == BenchmarkOptions(n_threads=BenchmarkOptions.default_threads())
    ifw("--quick")
    assert asked[1][0] == asked[0][0].quick()


def test_tables_are_printed_and_written(bench, tmp_path):
    _, ifw = bench
    result = ifw("-o", "out", "--name", "here")
    assert result.stdout.startswith("# Speed: cpu")
    assert "measuring" in result.stderr
    assert (tmp_path / "out" / "here.md").read_text() == result.stdout
    assert json.loads((tmp_path / "out" / "here.json").read_text()) == RESULTS
    assert "measuring" not in ifw("--quiet").stderr


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (["--models", "tiny"], 1, "it broke [benchmark_failed]"),
        (["--scenario", "speed"], 2, "[config_invalid]"),
        (["--batches", "1,x"], 2, "[config_invalid]"),
        (["-o", "file/below"], 1, "[output_failed]"),
    ],
)
def test_what_goes_wrong_has_a_status(bench, tmp_path, flags, status, said):
    (tmp_path / "file").write_text("")
    _, ifw = bench
    result = ifw(*flags)
    assert result.exit_code == status
    assert said in result.stderr
