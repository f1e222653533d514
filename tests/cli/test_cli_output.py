"""What `ifw transcribe` prints and writes, and how it ends, with a transcriber that needs no model."""

import json
import os
import stat

import pytest


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_text_goes_to_standard_output_and_nothing_else_does(ifw, record):
    result = ifw("transcribe", record("talk.mp3"))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "This is talk.\n", "")


def test_verbose_prints_times(ifw, record):
    result = ifw("transcribe", record("talk.mp3", say=[[0.0, 1.5, "Hi."], [3661.25, 3662.0, "Bye."]]), "-v")
    assert result.stdout == "[00:00.000 --> 00:01.500] Hi.\n[01:01:01.250 --> 01:01:02.000] Bye.\n"


def test_verbose_names_the_language_that_was_detected(ifw, record):
    path = record("talk.mp3", heard={"de": 0.5234, "en": 0.462, "fr": 0.009})
    assert ifw("transcribe", path, "-v").stderr == f"language: {path}: English 46%, German 52%\n"
    assert ifw("transcribe", path).stderr == ifw("transcribe", path, "-vq").stderr == ""
    assert ifw("transcribe", record("given.mp3"), "-v", "--language", "en").stderr == ""


def test_a_format_without_a_folder_writes_beside_the_user(ifw, record, tmp_path):
    result = ifw("transcribe", record("in/talk.mp3"), "-f", "srt", "--output_format", "json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == ["wrote talk.srt", "wrote talk.json"]
    assert (tmp_path / "talk.srt").read_text() == "1\n00:00:00,000 --> 00:00:01,500\nThis is talk.\n\n"
    assert json.loads((tmp_path / "talk.json").read_text())["segments"][0]["end_s"] == 1.5


def test_a_folder_without_a_format_gets_every_format(ifw, record, tmp_path):
    assert ifw("transcribe", record("talk.mp3"), "--output_dir", "new/out").exit_code == 0
    assert files_in(tmp_path / "new/out") == ["talk.json", "talk.srt", "talk.tsv", "talk.txt", "talk.vtt"]


def test_files_written_and_text_printed(ifw, record, tmp_path):
    result = ifw("transcribe", record("talk.mp3"), "-f", "vtt", "-o", tmp_path / "out", "--verbose")
    assert result.stdout == "[00:00.000 --> 00:01.500] This is talk.\n"
    assert files_in(tmp_path / "out") == ["talk.vtt"]


def test_one_format_to_standard_output(ifw, record):
    assert ifw("transcribe", record("talk.mp3"), "-f", "vtt", "-o", "-").stdout.startswith("WEBVTT\n")
    result = ifw("transcribe", record("a.mp3"), record("b.mp3"), "-f", "json", "-o", "-")
    read = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(item["file"].rsplit(os.sep, 1)[1], item["text"]) for item in read] == [
        ("a.mp3", "This is a."),
        ("b.mp3", "This is b."),
    ]


def test_subtitle_flags(ifw, record, tmp_path):
    talk = record("talk.mp3", say=[[0.0, 0.5, "One two three four."]])
    flags = ["--max_line_width", "10", "--max-line-count", "none", "--min-cue-s", "none"]
    assert ifw("transcribe", talk, "-f", "vtt", "-o", "out", *flags).exit_code == 0
    written = "WEBVTT\n\n00:00.000 --> 00:00.500\nOne two\nthree\nfour.\n\n"
    assert (tmp_path / "out/talk.vtt").read_text() == written
    assert ifw("transcribe", talk, "-f", "vtt", "-o", "-", *flags).stdout == written


def test_highlighting_words_finds_their_times(ifw, record, transcribers):
    ifw("transcribe", record("talk.mp3"), "-f", "srt", "--highlight-words")
    assert transcribers[0].options[0].decode.word_timestamps


@pytest.mark.parametrize("formats", [["-f", "all"], ["-f", "srt", "-f", "vtt"], ["-f", "srt"]])
def test_what_standard_output_cannot_take_is_a_usage_error(ifw, record, transcribers, formats):
    result = ifw("transcribe", record("a.mp3"), record("b.mp3"), "-o", "-", *formats)
    assert (result.exit_code, result.stdout, transcribers) == (2, "", [])
    assert result.stderr.startswith("error: --output-format: got ")
    assert "[config_invalid]" in result.stderr


def test_output_keeps_the_order_of_the_inputs(ifw, record):
    """The first file ends last; what the others say waits for it."""
    first = record("a.mp3", say=[[0, 1, "One."], [1, 2, "Two."]], after="c.mp3")
    result = ifw("transcribe", first, record("b.mp3"), record("c.mp3"), "--jobs", "3")
    assert (result.exit_code, result.stdout) == (0, "One.\nTwo.\nThis is b.\nThis is c.\n")


def test_several_files_share_one_transcriber(ifw, record, transcribers):
    paths = [record(f"{number}.mp3") for number in range(9)]
    assert ifw("transcribe", *paths).exit_code == 0
    assert len(transcribers) == 1
    assert len(transcribers[0].options) == 9
    assert transcribers[0].is_closed


def test_a_bad_file_does_not_stop_the_others(ifw, record, tmp_path):
    paths = [record("a.mp3"), record("b.mp3", say=[[0, 1, "x"]], fail="audio_format"), record("c.mp3")]
    result = ifw("transcribe", *paths, tmp_path / "none.mp3", "-f", "txt")
    assert result.exit_code == 1
    assert files_in(tmp_path) == ["a.mp3", "a.txt", "b.ifw-journal", "b.mp3", "c.mp3", "c.txt"]
    errors = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert errors == [
        f"error: {tmp_path}/none.mp3: no such file or folder, or it may not be read [audio_not_found]",
        f"error: {tmp_path}/b.mp3: this recording fails with audio_format [audio_format]",
    ]


def test_nothing_to_do_loads_no_model(ifw, transcribers):
    result = ifw("transcribe", "none.mp3", "none-*.mp3")
    assert (result.exit_code, transcribers) == (1, [])
    assert result.stderr.count("[audio_not_found]") == 2


def test_a_bug_is_shown_whole_and_does_not_stop_the_others(ifw, record):
    result = ifw("transcribe", record("a.mp3", bug=True), record("b.mp3"))
    assert (result.exit_code, result.stdout) == (70, "This is b.\n")
    assert "Traceback" in result.stderr
    assert "a.mp3: KeyError: 'a bug' [internal]" in result.stderr


def test_an_engine_that_fails_has_its_own_status(ifw, record):
    assert ifw("transcribe", record("a.mp3", fail="engine_memory")).exit_code == 4


def test_a_missing_model_is_one_error(ifw, record):
    result = ifw("transcribe", record("a.mp3"), record("b.mp3"), "--model", "missing")
    assert (result.exit_code, result.stderr) == (3, "error: no checkpoint is called 'missing' [model_not_found]\n")


def test_a_wrong_option_is_one_error_for_all_files(ifw, record, transcribers):
    result = ifw("transcribe", *(record(f"{number}.mp3") for number in range(6)), "--language", "yue", "-j", "1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: --language: got 'yue', allowed: what this checkpoint knows [language_unknown]\n"
    assert transcribers[0].is_closed


def test_warnings_are_shown_unless_quiet(ifw, record):
    path = record("a.mp3", say=[[0, 1, "Half."]], warn=["The file ends early."])
    result = ifw("transcribe", path, "-f", "txt")
    assert result.stderr == f"warning: {path}: The file ends early. [audio_truncated]\nwrote a.txt\n"
    assert ifw("transcribe", path, "-f", "txt", "--quiet").stderr == ""


def test_errors_are_shown_though_quiet(ifw, record):
    result = ifw("transcribe", record("a.mp3", fail="audio_empty"), "-q")
    assert (result.exit_code, result.stderr.count("[audio_empty]")) == (1, 1)


def test_standard_input(ifw):
    result = ifw("transcribe", "-", "-f", "txt", stdin=json.dumps({"say": [[0, 1, "Piped."]]}))
    assert (result.exit_code, result.stderr) == (0, "wrote stdin.txt\n")


def test_a_message_names_the_file_once(ifw, record):
    path = record("a.mp3", fail="audio_empty", message="{name}: there are no bytes")
    assert ifw("transcribe", path).stderr == f"error: {path}: there are no bytes [audio_empty]\n"


def test_an_output_folder_that_cannot_be_is_one_error_before_anything_is_loaded(ifw, record, transcribers, tmp_path):
    (tmp_path / "taken").write_text("mine")
    for folder in ("taken", "taken/sub"):
        result = ifw("transcribe", record("a.mp3"), record("b.mp3"), "-o", folder)
        assert result.stderr == (
            f"error: cannot write into {folder}: taken is a file, allowed: a folder [output_failed]\n"
        )
        assert (result.exit_code, transcribers) == (1, [])
    assert (tmp_path / "taken").read_text() == "mine"


def test_an_output_folder_is_made_only_when_there_is_something_to_transcribe(ifw, tmp_path):
    ifw("transcribe", "none.mp3", "-o", "out")
    assert not (tmp_path / "out").exists()


def test_names_that_only_case_tells_apart_both_get_a_file(ifw, record, tmp_path):
    paths = [record("talk.wav"), record("TALK.wav"), record("talk.mp3"), record("talk.mp3.wav")]
    assert ifw("transcribe", *paths, "-o", "out", "-f", "txt").exit_code == 0
    written = [path.read_text() for path in (tmp_path / "out").rglob("*.txt")]
    assert sorted(written) == ["This is TALK.\n", "This is talk.\n", "This is talk.\n", "This is talk.mp3.\n"]


def test_a_name_cannot_command_the_terminal(ifw, record, tmp_path):
    name = "\x1b[31mred\n\u202e.mp3"
    shown = "\\x1b[31mred\\n\\u202e"
    path = record(name, say=[[0, 1, "Hi."]], warn=["Odd."])
    assert ifw("transcribe", path, "-f", "txt").stderr == (
        f"warning: {tmp_path}/{shown}.mp3: Odd. [audio_truncated]\nwrote {shown}.txt\n"
    )
    broken = record(name, fail="audio_empty")
    assert ifw("transcribe", broken).stderr.startswith(f"error: {tmp_path}/{shown}.mp3: this recording fails")
    stdout = ifw("transcribe", record(name), record("b.mp3"), "-v").stdout
    assert f"==> {tmp_path}/{shown}.mp3 <==" in stdout


def test_written_files_have_the_usual_permissions(ifw, record, tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    ifw("transcribe", record("a.mp3"), "-f", "txt")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_same_names_do_not_overwrite_one_another(ifw, record, tmp_path):
    paths = [record("mon/a.mp3"), record("tue/a.mp3"), record("b.mp3"), record("b.wav")]
    assert ifw("transcribe", *paths, "-o", "out", "-f", "txt").exit_code == 0
    assert files_in(tmp_path / "out") == ["b.mp3.txt", "b.wav.txt", "mon/a.txt", "tue/a.txt"]


def test_a_folder_keeps_its_shape(ifw, record, tmp_path):
    record("talks/one.mp3")
    record("talks/day 2/two.OPUS")
    record("talks/notes.pdf")
    record("talks/.hidden/three.mp3")
    assert ifw("transcribe", tmp_path / "talks", "-o", "out", "-f", "txt").exit_code == 0
    assert files_in(tmp_path / "out") == ["day 2/two.txt", "one.txt"]


def test_timings(ifw, record):
    path = record("a.mp3")
    result = ifw("transcribe", path, "--print-timings")
    assert result.stdout == "This is a.\n"
    lines = result.stderr.splitlines()
    assert lines[0] == f"timings: {path}: 10.0 s of audio, 5.0 times as fast as speech"
    assert [line.split()[1] for line in lines[1:-1]] == ["import", "load", "total"]
    assert lines[-1].startswith("timings: process: first text after ")


def test_timings_of_silence(ifw, record):
    assert "process: no text, end after" in ifw("transcribe", record("a.mp3", say=[]), "--print-timings").stderr
