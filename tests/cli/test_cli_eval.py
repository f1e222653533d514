"""`ifw eval` from a manifest to table, results and exit status, with a transcriber that needs no model."""

import json
import sys
from pathlib import Path

import pytest

from ifw.config import EngineConfig
from ifw.evaluation import Evaluation, FileScore, score
from ifw.evaluation.manifest import ManifestEntry
from ifw.types import Segment, Transcript

MANIFEST = Path("set.jsonl")


@pytest.fixture
def manifest(tmp_path, record):
    """Writes a manifest whose recordings say "This is NAME."."""

    def make(*lines):
        for line in lines:
            if "missing" not in line["audio"]:
                record(line["audio"], say=[[0.0, 1.5, line.pop("said", f"This is {Path(line['audio']).stem}.")]])
        text = "".join(json.dumps({"text": "This is a.", **line}) + "\n" for line in lines)
        (tmp_path / MANIFEST).write_text(text)

    return make


def rows(result):
    table = [line for line in result.stdout.splitlines() if line.startswith("|")]
    header, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_each_file_and_all_of_them_are_scored(ifw, manifest):
    manifest({"audio": "in/a.wav"}, {"audio": "b.wav", "text": "That is a b", "said": "It is, a"})
    result = ifw("eval", MANIFEST)
    assert (result.exit_code, result.stderr) == (0, "")
    assert rows(result) == [
        {"file": "in/a.wav", "words": "3", "WER": "0.0%", "sub": "0", "del": "0", "ins": "0", "CER": "0.0%"},
        {"file": "b.wav", "words": "4", "WER": "50.0%", "sub": "1", "del": "1", "ins": "0", "CER": "45.5%"},
        {"file": "all", "words": "7", "WER": "28.6%", "sub": "1", "del": "1", "ins": "0", "CER": "25.0%"},
    ]
    assert "2 files, 20.0 s of audio in " in result.stdout


def test_the_engine_is_warm_before_the_first_file_and_closed_after_the_last(ifw, manifest, transcribers):
    manifest({"audio": "a.wav"})
    flags = "--model small --device cpu --batch-size 3 --compute_type float32"
    engine = "--steps plain --cross-kv int8 --encoder-products int8 --draft-model tiny --draft-tokens 2"
    ifw("eval", MANIFEST, *flags.split(), *engine.split())
    (made,) = transcribers
    assert (made.model, made.draft_model) == ("small", "tiny")
    assert made.config == EngineConfig(
        device="cpu",
        compute_type="float32",
        n_slots=3,
        steps="plain",
        cross_kv="int8",
        encoder_products="int8",
        draft_tokens=2,
    )
    assert made.n_warm_ups == 2
    assert made.is_closed


def test_each_file_has_the_mode_language_and_word_times_of_its_line(ifw, manifest, transcribers):
    words = [{"text": "a", "start_s": 0, "end_s": 1}]
    manifest(
        {"audio": "a.wav", "language": "German", "mode": "translate"},
        {"audio": "b.wav", "words": words},
    )
    assert ifw("eval", MANIFEST, "--jobs", 1, "--preset", "accurate", "--no-vad").exit_code == 0
    first, second = transcribers[0].options
    assert (first.decode.language, first.decode.mode, first.decode.word_timestamps) == ("de", "translate", False)
    assert (second.decode.language, second.decode.mode, second.decode.word_timestamps) == (None, "transcribe", True)
    assert first.decode.beam_size == 5
    assert not first.vad.enabled


@pytest.mark.parametrize(("asked", "used"), [("English", "en"), ("auto", None)])
def test_a_given_language_holds_for_every_file(ifw, manifest, transcribers, asked, used):
    manifest({"audio": "a.wav", "language": "de"}, {"audio": "b.wav"})
    ifw("eval", MANIFEST, "--language", asked)
    assert {options.decode.language for options in transcribers[0].options} == {used}


def test_a_file_that_fails_is_reported_and_counted_and_the_others_go_on(ifw, manifest, record, tmp_path):
    manifest({"audio": "a.wav"}, {"audio": "missing.wav"}, {"audio": "c.wav", "text": "This is c."}, {"audio": "x.wav"})
    record("x.wav", fail="audio_damaged", message="{name}: broken")
    result = ifw("eval", MANIFEST, "-o", "results.json")
    assert result.exit_code == 1
    assert sorted(result.stderr.splitlines()) == [
        "error: missing.wav: no regular file [audio_not_found]",
        "error: x.wav: broken [audio_damaged]",
        "wrote results.json",
    ]
    assert [row["file"] for row in rows(result)] == ["a.wav", "c.wav", "all"]
    assert "2 of 4 files failed and count in no figure" in result.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert [(item["audio"], item["code"]) for item in results["failures"]] == [
        ("missing.wav", "audio_not_found"),
        ("x.wav", "audio_damaged"),
    ]
    assert results["settings"]["model"] == "turbo"


def test_files_keep_the_order_of_the_manifest(ifw, manifest, record):
    """The first file ends last."""
    manifest({"audio": "a.wav"}, {"audio": "b.wav"})
    record("a.wav", say=[[0, 1, "This is a."]], after="b.wav")
    assert [row["file"] for row in rows(ifw("eval", MANIFEST, "--jobs", 2))] == ["a.wav", "b.wav", "all"]


def test_times_are_told_where_the_manifest_has_them(ifw, manifest):
    segments = [{"text": "This is a.", "start_s": 0.25, "end_s": 1.0}]
    manifest({"audio": "a.wav", "segments": segments})
    (line,) = [line for line in ifw("eval", MANIFEST).stdout.splitlines() if line.startswith("times")]
    assert line == (
        "times of segments: 1 starts off by 0.250 s mean, 0.250 s median; "
        "1 ends off by 0.500 s mean, 0.500 s median; of 1 in the manifest"
    )


def test_two_runs_are_compared(ifw, manifest):
    manifest({"audio": "a.wav"}, {"audio": "b.wav"}, {"audio": "c.wav", "text": "This is c."})
    assert ifw("eval", MANIFEST, "-o", "old.json", "-q").stderr == ""
    manifest({"audio": "a.wav"}, {"audio": "b.wav", "said": "This is a."}, {"audio": "d.wav"})
    result = ifw("eval", MANIFEST, "--compare", "old.json", "--output", "new.json")
    assert [(row["file"], row["WER"], row["WER before"], row["difference"]) for row in rows(result)] == [
        ("a.wav", "0.0%", "0.0%", "+0.0"),
        ("b.wav", "0.0%", "33.3%", "-33.3"),
        ("d.wav", "33.3%", "-", "-"),
        ("all", "11.1%", "16.7%", "-16.7"),
    ]
    last = (
        "compared with old.json, 2 files: WER 16.7% -> 0.0%; difference -16.7 points; 95% interval -33.3 to +0.0, "
        "no clear difference (left out: 1 files only there, 1 only here)"
    )
    assert result.stdout.splitlines()[-1] == last
    again = ifw("eval", "new.json", "--compare", "old.json")
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (0, last)


def test_results_of_an_earlier_run_need_no_model(ifw, manifest, transcribers):
    manifest({"audio": "a.wav"})
    first = ifw("eval", MANIFEST, "-o", "old.json")
    assert rows(ifw("eval", "old.json")) == rows(first)
    assert len(transcribers) == 1


def test_results_on_standard_output_stand_alone(ifw, manifest):
    manifest({"audio": "a.wav"})
    assert json.loads(ifw("eval", MANIFEST, "-o", "-").stdout)["total"]["words"]["rate"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl"], "error: none.jsonl: cannot be read: No such file or directory [evaluation_invalid]"),
        ([MANIFEST, "--compare", "none.json"], "error: none.json: cannot be read: No such"),
        ([MANIFEST, "--compare", MANIFEST], "error: set.jsonl: got ifw_evaluation None"),
        ([MANIFEST, "-o", "."], "error: --output: got '.', allowed: a file, or - for standard output"),
        ([MANIFEST, "-o", MANIFEST], "error: --output: got set.jsonl, which is an input"),
        ([MANIFEST, "-o", "./a.wav"], "error: --output: got a.wav, which is an input"),
        ([MANIFEST, "-o", ""], "error: --output: got ''"),
        ([MANIFEST, "--language", "klingonisch"], "error: --language: got 'klingonisch'"),
    ],
)
def test_a_mistake_ends_the_command_before_a_model_is_loaded(ifw, manifest, transcribers, arguments, message):
    manifest({"audio": "a.wav"})
    result = ifw("eval", *arguments)
    assert (result.exit_code, transcribers) == (2, [])
    assert result.stderr.startswith(message)


def test_a_folder_that_cannot_be_written_ends_the_command_before_a_model_is_loaded(ifw, manifest, transcribers):
    manifest({"audio": "a.wav"})
    result = ifw("eval", MANIFEST, "-o", "set.jsonl/results.json")
    assert (result.exit_code, transcribers) == (1, [])
    assert "[output_failed]" in result.stderr


def test_a_bad_line_is_named(ifw, manifest, tmp_path):
    manifest({"audio": "a.wav"})
    with (tmp_path / MANIFEST).open("a") as file:
        file.write("{}\n")
    result = ifw("eval", MANIFEST)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: set.jsonl, line 2: audio: got None, allowed: text [evaluation_invalid]\n",
    )


def test_a_missing_extra_is_named_before_a_model_is_loaded(ifw, manifest, transcribers, monkeypatch):
    manifest({"audio": "a.wav"})
    monkeypatch.setitem(sys.modules, "jiwer", None)
    result = ifw("eval", MANIFEST)
    assert (result.exit_code, transcribers) == (2, [])
    assert "pip install 'insanely-fast-whisper-api[eval]' [extra_missing]" in result.stderr


def test_a_model_that_is_missing_has_its_status(ifw, manifest):
    manifest({"audio": "a.wav"})
    assert ifw("eval", MANIFEST, "--model", "missing").exit_code == 3


def test_a_terminal_is_safe_from_names(ifw, manifest):
    manifest({"audio": "a\x1b[31m[b]|.wav"})
    assert r"a\x1b[31m[b]|.wav" in ifw("eval", MANIFEST).stdout


def test_the_table_is_that_of_the_library(ifw, manifest, tmp_path):
    manifest({"audio": "a.wav", "text": "This is what?"})
    ifw("eval", MANIFEST, "-o", "results.json")
    segment = Segment(0, 0.0, 1.5, "This is a.", (1,), "en", 0.0, -0.1, 1.0, 0.0)
    expected: FileScore = score(
        ManifestEntry("a.wav", tmp_path / "a.wav", "This is what?"),
        Transcript("This is a.", (segment,), "en", 1.0, 10.0, timings={"total": 2.0}),
    )
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["files"][0]["words"]["rate"] == Evaluation((expected,)).words.rate
