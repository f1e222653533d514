"""Floors, lengths, sizes, tables: what is computed and not measured."""

from pathlib import Path

import numpy as np
import pytest

from ifw.audio.whole import decode
from ifw.benchmark.bench import Bench, Running, windows
from ifw.benchmark.decoding_scenarios import (
    Entrant,
    check_counts,
    engine_scenario,
    most_exact,
    n_windows_of_pass,
    skewed_lengths,
)
from ifw.benchmark.engines import EXACTNESS, Setup, own_compute_types, setups
from ifw.benchmark.floors import decoder_weights, encoder_flop, floor_s, step_bytes
from ifw.benchmark.options import BenchmarkOptions, default_flags, options_of, parse_batches, parse_names
from ifw.benchmark.random_checkpoint import prompt_ids, random_checkpoint, special_ids
from ifw.benchmark.recordings import long_recording, short_recordings
from ifw.benchmark.sizes import SIZES
from ifw.benchmark.tables import best_rows, lone_rows, summary
from ifw.benchmark.tuning import Tuned, Tuning
from ifw.config import VadOptions
from ifw.constants import SAMPLE_RATE
from ifw.errors import BenchmarkError, ConfigError
from ifw.kernels.library import load
from ifw.model.checkpoint import load_checkpoint
from ifw.speech.packer import WindowPacker


def row(engine, setup, batch, ms, *, is_disturbed=False):
    return {"engine": engine, "setup": setup, "batch": batch, "ms_a_window": ms, "times_real_time": 30_000 / ms} | {
        "is_disturbed": is_disturbed
    }


ROWS = [
    row("ifw", "float32", 1, 200.0),
    row("ifw", "float32", 8, 100.0),
    row("ifw", "int8", 1, 80.0),
    row("ifw", "int8", 16, 50.0),
    row("other", "int8", 1, 160.0),
    row("other", "int8", 4, 150.0),
    row("other", "float32", 1, 300.0, is_disturbed=True),
]


def test_the_published_sizes_come_to_the_known_work():
    # performance of large-v3 as others count it: 2.27 TFLOP in the encoder, 315 GFLOP for the keys and values
    assert encoder_flop(SIZES["large-v3"]) == pytest.approx(2.274e12 + 0.3146e12, rel=0.01)
    assert encoder_flop(SIZES["turbo"]) == pytest.approx(2.274e12 + 0.0393e12, rel=0.01)
    assert 2 * decoder_weights(SIZES["large-v3"]) == pytest.approx(1.60e9, rel=0.02)
    one, two = (step_bytes(SIZES["large-v3"], "float16", batch, 110) for batch in (1, 2))
    assert two - one == pytest.approx(245.8e6 + 9.8e6, rel=0.01)
    assert SIZES["large-v3"].n_vocab == SIZES["turbo"].n_vocab == 51_866
    assert SIZES["base"].n_vocab == 51_865


def test_the_floor_is_products_and_reading():
    ceilings = {"gemm_gflops": {"bfloat16": 100.0}, "read_gb_s": 10.0}
    dims = SIZES["base"]
    expected = encoder_flop(dims) / 100e9 + 50 * step_bytes(dims, "bfloat16", 4, 50) / 4 / 10e9
    assert floor_s(dims, "bfloat16", 4, 50, ceilings) == pytest.approx(expected)
    assert floor_s(dims, "int8", 4, 50, ceilings) is None


def test_skewed_lengths_have_the_mean_and_the_tail_of_speech():
    lengths = np.array(skewed_lengths(5_000, 100, 0))
    assert abs(lengths.mean() - 100) < 4
    assert 170 < np.percentile(lengths, 95) <= 200
    assert lengths.min() >= 1
    assert skewed_lengths(32, 100, 0) == skewed_lengths(32, 100, 0) != skewed_lengths(32, 100, 1)


def test_half_of_the_tokens_are_no_feat():
    check_counts("one", [5, 6], [5, 6])
    with pytest.raises(BenchmarkError, match=r"one: got windows of \[56\] tokens, allowed: \[110\]"):
        check_counts("one", [56, 56], [110, 110])


def test_windows_differ_and_are_the_same_every_time():
    first, second = windows(2, 0)
    assert np.abs(first - second).max() > 0.1
    assert np.abs(first).max() <= 1.3
    assert np.array_equal(windows(2, 0)[1], second)


def test_every_engine_finds_its_tokens_in_the_checkpoint(kept):
    folder = random_checkpoint("toy", 3, kept)
    assert random_checkpoint("toy", 3, kept) == folder
    checkpoint = load_checkpoint(folder)
    tokenizer, dims = checkpoint.tokenizer, SIZES["toy"]
    assert checkpoint.dims == dims
    assert prompt_ids(dims) == [50_258, 50_259, 50_359, 50_363] == [
        tokenizer.sot, tokenizer.language_ids["en"], tokenizer.transcribe, tokenizer.no_timestamps
    ]  # fmt: skip
    assert (tokenizer.eot, tokenizer.timestamp_begin) == (50_257, 50_364)
    assert list(special_ids(dims).values()) == list(range(50_257, dims.n_vocab))
    assert tokenizer.decode([1_000, 2_000]) == " w1000 w2000"
    assert tokenizer.decode(tokenizer.encode("Grüße")) == "Grüße"


def test_set_ups_are_ours_first_and_peers_have_their_best():
    found = setups("cpu", 2)
    own = [one for one in found if one.engine == "ifw"]
    assert [one.name for one in own if not one.options.get("is_plain")] == own_compute_types("cpu")[::-1]
    assert bool(load().kernels) == any("torch alone" in one.name for one in own)
    assert found[0].label == f"ifw {own_compute_types('cpu')[-1]}"
    assert any("2 workers" in one.name and one.env for one in found if one.engine == "faster-whisper")
    assert not any("workers" in one.name for one in setups("cpu", 1))
    assert {one.engine for one in setups("cuda", 1)} == {"ifw", "transformers", "faster-whisper", "openai-whisper"} - (
        set() if own_compute_types("cuda") else {"ifw"}
    )


def test_rows_of_the_summary():
    assert [one["ms_a_window"] for one in best_rows(ROWS)] == [100.0, 50.0, 150.0, 300.0]
    assert [one["ms_a_window"] for one in lone_rows(ROWS)] == [200.0, 80.0, 160.0, 300.0]
    text = summary({"scenarios": {"engine": {"base": {"rows": ROWS}}}})
    assert "| base | 16 (int8) | 50 | 600 | 3.00x |" in text
    assert "| base | 1 (int8) | 80 | 375 | 2.00x |" in text
    shaky = [row("ifw", "int8", 1, 80.0, is_disturbed=True), row("other", "int8", 1, 160.0)]
    assert "2.00x ? |" in summary({"scenarios": {"engine": {"base": {"rows": shaky}}}})


def test_names_and_batches_with_commas():
    assert parse_names(" base,small,,base ") == ("base", "small")
    assert parse_batches("1, 8") == (1, 8)
    with pytest.raises(ConfigError, match="batches"):
        parse_batches("1,x")


@pytest.mark.parametrize(
    "values",
    [
        {"scenarios": ("speed",)},
        {"models": ()},
        {"models": ("huge",)},
        {"device": "tpu"},
        {"batches": (0,)},
        {"n_threads": 0},
        {"n_tokens": 225},
        {"n_rounds": 0},
        {"n_clips": 0},
        {"n_long_windows": 2.5},
        {"batches": (True,)},
        {"seed": -1},
        {"budget_s": float("nan")},
        {"wait_s": -1.0},
        {"ceiling_s": float("inf")},
    ],
)
def test_options_are_checked(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        BenchmarkOptions(**values)


def test_flags_that_nobody_gave_are_the_options_that_nobody_gave():
    threads = BenchmarkOptions.default_threads()
    assert options_of(default_flags()) == BenchmarkOptions(n_threads=threads)
    flags = default_flags() | {"quick": True, "passive": True, "threads": 3}
    assert options_of(flags) == BenchmarkOptions(n_threads=3, is_passive=True).quick()


def test_what_the_engine_scenario_found_chooses_set_ups_and_batches():
    every = setups("cpu", 2)
    assert Tuning().fastest(every) == every
    slow, fast = (one for one in every if one.engine == "faster-whisper")
    tuning = Tuning({slow.label: Tuned(0.4, 4), fast.label: Tuned(0.3, 8)})
    chosen = tuning.fastest(every)
    assert {one.label for one in every} - {one.label for one in chosen} == {slow.label}
    assert (tuning.batch(fast, 1), Tuning().batch(fast, 1)) == (8, 1)
    assert (tuning.window_s(slow), Tuning().window_s(slow)) == (0.4, float("inf"))
    assert tuning.record()[fast.label] == {"ms_a_window": 300.0, "batch": 8}


def test_tokens_are_compared_with_the_most_exact_of_ours():
    def entrant(precision, batch):
        return Entrant(Running(Setup("ifw", precision, precision, {}), None), batch, ())

    cuda = [entrant("bfloat16", 1), entrant("float16", 8), entrant("float16", 1), entrant("int8", 1)]
    assert most_exact(cuda) is cuda[2]
    assert most_exact([*cuda, entrant("float32", 16)]).batch == 16


def test_precisions_are_not_read_from_names():
    found = {one.label: one.precision for one in setups("cuda", 1)}
    assert found["faster-whisper int8_float16"] == "int8"
    assert {one.precision for one in setups("cpu", 2)} <= set(EXACTNESS)


def test_where_our_own_engine_failed_an_error_says_so():
    class Nobody(Bench):
        def loaded(self, model, chosen):
            return []

    bench = Nobody(BenchmarkOptions(), {}, (), {}, lambda text: None)
    with pytest.raises(BenchmarkError, match="toy: our own engine failed"):
        engine_scenario(bench, "toy")


def test_long_recordings_are_cut_where_they_are_said_to_be(tmp_path):
    recording = long_recording(tmp_path, 6, 10, 0)
    assert recording.ends_s == (29.75, 59.5, 89.25, 119.0, 148.75, 178.0)
    samples = decode(recording.path).samples
    assert len(samples) / SAMPLE_RATE == pytest.approx(178.0, abs=0.2)
    packer = WindowPacker(VadOptions(enabled=False), None)
    found = [*packer.feed(samples), *packer.finish()]
    assert len(found) == 6
    assert long_recording(tmp_path, 6, 10, 0) == recording


def test_short_recordings_have_tokens_for_their_length(tmp_path):
    found = short_recordings(tmp_path, 3, 100, 0)
    assert [Path(one.path).parent for one in found] == [tmp_path] * 3
    fewer = short_recordings(tmp_path, 2, 100, 0)
    assert {one.path for one in fewer}.isdisjoint(one.path for one in found)  # they are other cuts of the sample
    assert short_recordings(tmp_path, 3, 100, 0) == found
    for one in found:
        assert 5 <= one.ends_s[0] <= 29
        assert one.n_tokens == round(100 * one.ends_s[0] / 30)
        assert len(decode(one.path).samples) / SAMPLE_RATE == pytest.approx(one.ends_s[0], abs=0.2)


@pytest.mark.parametrize(
    ("n_least", "batch", "n_workers", "expected"), [(4, 1, 1, 4), (4, 8, 1, 8), (2, 8, 2, 16), (5, 2, 2, 8)]
)
def test_no_worker_is_without_a_batch(n_least, batch, n_workers, expected):
    assert n_windows_of_pass(n_least, batch, n_workers) == expected
    assert {setup.n_workers for setup in setups("cpu", 3)} == {1, 3}
