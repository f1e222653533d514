"""`--resume`, from what lies in the output folder to what is left out, continued, replaced and said."""

import json

import pytest

from ifw.pipeline.journal_file import JournalFile

SAID = {"say": [[0.0, 1.5, "One."], [1.5, 3.0, "Two."]]}


@pytest.fixture
def half_done(record, tmp_path):
    """A recording whose transcript was interrupted after its first sentence."""
    path = record("talk.mp3", **SAID)
    (tmp_path / "out").mkdir()
    journal = JournalFile(tmp_path / "out" / "talk.ifw-journal", is_resuming=False)
    journal.begin({"recording": SAID})
    journal.append({"said": "One."})
    journal.close()
    (tmp_path / "out" / "talk.txt").write_text("One.\n")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_finished_files_are_left_out_and_no_model_is_loaded(ifw, record, transcribers, tmp_path):
    paths = [record("a.mp3"), record("b.mp3")]
    ifw("transcribe", *paths, "-o", "out", "-f", "txt")
    result = ifw("transcribe", *paths, "-o", "out", "-f", "txt", "--resume")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [f"already done: {path}" for path in paths]
    assert len(transcribers) == 1


def test_a_file_that_lacks_a_format_is_not_finished(ifw, record, tmp_path):
    path = record("a.mp3")
    ifw("transcribe", path, "-o", "out", "-f", "txt")
    result = ifw("transcribe", path, "-o", "out", "-f", "txt", "-f", "srt", "--resume")
    assert result.stderr.splitlines() == ["wrote out/a.txt", "wrote out/a.srt"]


def test_a_journal_means_half_done_though_the_files_are_there(ifw, half_done, tmp_path):
    result = ifw("transcribe", half_done, "-o", "out", "-f", "txt", "--resume")
    assert result.exit_code == 0
    assert "already done" not in result.stderr
    assert (tmp_path / "out" / "talk.txt").read_text() == "One.\nTwo.\n"
    assert names(tmp_path / "out") == ["talk.txt"]


def test_finished_and_unfinished_together_keep_their_names_and_order(ifw, record, half_done, tmp_path):
    done, fresh = record("a.mp3"), record("z.mp3")
    ifw("transcribe", done, "-o", "out", "-f", "txt")
    result = ifw("transcribe", done, half_done, fresh, "-o", "out", "-f", "txt", "--resume", "-v")
    assert result.stdout.splitlines() == [
        f"==> {half_done} <==",
        "[00:00.000 --> 00:01.500] One.",
        "[00:01.500 --> 00:03.000] Two.",
        f"==> {fresh} <==",
        "[00:00.000 --> 00:01.500] This is z.",
    ]
    assert (tmp_path / "out" / "a.txt").read_text() == "This is a.\n"


def test_without_resuming_it_starts_over_and_says_so(ifw, half_done, tmp_path):
    result = ifw("transcribe", half_done, "-o", "out", "-f", "txt")
    assert f"starting over: {half_done} is half done; --resume would continue it" in result.stderr
    assert names(tmp_path / "out") == ["talk.txt"]


def test_another_recording_is_one_error_and_the_others_go_on(ifw, record, half_done, tmp_path):
    half_done.write_text(json.dumps({"say": [[0.0, 1.5, "Other."]]}))
    before = (tmp_path / "out" / "talk.ifw-journal").read_bytes()
    result = ifw("transcribe", half_done, record("b.mp3"), "-o", "out", "-f", "txt", "--resume")
    assert result.exit_code == 1
    assert "[resume_mismatch]" in result.stderr
    assert "recording was" in result.stderr
    assert (tmp_path / "out" / "talk.ifw-journal").read_bytes() == before
    assert names(tmp_path / "out") == ["b.txt", "talk.ifw-journal", "talk.txt"]


def test_printed_text_cannot_be_resumed(ifw, record, transcribers):
    result = ifw("transcribe", record("a.mp3"), "--resume")
    assert (result.exit_code, transcribers) == (2, [])
    assert result.stderr.startswith("error: --resume: got no files")


def test_a_file_that_cannot_be_written_fails_alone_and_keeps_its_text(ifw, record, tmp_path):
    (tmp_path / "out" / "a.txt").mkdir(parents=True)
    result = ifw("transcribe", record("a.mp3"), record("b.mp3"), "-o", "out", "-f", "txt")
    assert result.exit_code == 1
    assert "cannot write out/a.txt" in result.stderr
    assert "[output_failed]" in result.stderr
    assert f"what is final of {tmp_path}/a.mp3 is kept; --resume continues" in result.stderr
    assert names(tmp_path / "out") == ["a.ifw-journal", "a.txt", "b.txt"]


def test_standard_input_is_never_taken_for_what_was_transcribed_before(ifw, tmp_path):
    for text in ("One.", "Two."):
        recording = json.dumps({"say": [[0.0, 1.5, text]]})
        result = ifw("transcribe", "-", "-o", "out", "-f", "txt", "--resume", stdin=recording)
        assert (result.exit_code, result.stderr) == (0, "wrote out/stdin.txt\n")
        assert (tmp_path / "out" / "stdin.txt").read_text() == f"{text}\n"


def test_a_file_whose_speakers_could_not_be_told_apart_can_be_resumed(ifw, record, tmp_path):
    recording = {"say": [[0.0, 1.5, "Hello."]], "warn": ["no room"], "warn_code": "diarization_failed"}
    path = record("a.mp3", **recording)
    result = ifw("transcribe", path, "--diarize", "-o", "out", "-f", "txt")
    assert result.exit_code == 0
    assert "no room [diarization_failed]" in result.stderr
    assert "the text is kept; --resume tries again to tell the speakers apart" in result.stderr
    assert (tmp_path / "out" / "a.txt").read_text() == "Hello.\n"
    assert (tmp_path / "out" / "a.ifw-journal").exists()
    again = ifw("transcribe", path, "--diarize", "-o", "out", "-f", "txt", "--resume")
    assert "already done" not in again.stderr
