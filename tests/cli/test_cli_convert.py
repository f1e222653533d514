"""`ifw convert` from saved transcripts to files, output and exit status."""

import json
import os

import pytest

from ifw.formats import from_json, to_json, to_openai_json, write
from ifw.types import Segment, Transcript, Word


def said(*sentences, words=None):
    segments = tuple(
        Segment(index, float(index), index + 1.0, text, (1,), "en", 0.0, -0.1, 1.0, 0.0, words=words)
        for index, text in enumerate(sentences)
    )
    return Transcript(" ".join(sentences), segments, "en", 1.0, float(len(sentences)))


LONG = "The first sentence is short. The second sentence goes on and on until it is very much longer."


@pytest.fixture
def save(tmp_path):
    def make(name, transcript=None, content=None):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json(transcript or said(f"This is {path.stem}.")) if content is None else content)
        return path

    return make


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_text_goes_to_standard_output(ifw, save):
    result = ifw("convert", save("talk.json", said("One.", "Two.")))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "One.\nTwo.\n", "")


def test_a_format_is_written_into_the_current_folder(ifw, save, tmp_path):
    result = ifw("convert", save("in/talk.json"), "-f", "srt", "-f", "vtt")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == ["wrote talk.srt", "wrote talk.vtt"]
    assert (tmp_path / "talk.srt").read_text() == "1\n00:00:00,000 --> 00:00:01,000\nThis is talk.\n\n"


@pytest.mark.parametrize("name", ["txt", "srt", "vtt", "tsv", "json", "openai-json"])
def test_every_format_is_what_the_library_writes(ifw, save, tmp_path, name):
    made = said(LONG)
    assert ifw("convert", save("talk.json", made), "-f", name, "-o", "out", "-q").stderr == ""
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == ("talk.openai.json" if name == "openai-json" else f"talk.{name}")
    assert path.read_text() == write(made, name)


def test_a_folder_without_a_format_gets_the_formats_of_openai_whisper(ifw, save, tmp_path):
    assert ifw("convert", save("a.json"), save("b/a.json"), "-o", "out").exit_code == 0
    names = ["a.json", "a.srt", "a.tsv", "a.txt", "a.vtt"]
    assert files_in(tmp_path / "out") == sorted([*names, *(f"b/{name}" for name in names)])


def test_standard_input_to_standard_output(ifw):
    result = ifw("convert", "-", "-f", "srt", "-o", "-", stdin=to_json(said("Hi there.")))
    assert result.stdout == "1\n00:00:00,000 --> 00:00:01,000\nHi there.\n\n"
    result = ifw("convert", "-", "-f", "json", "-o", "-", stdin=to_json(said("Hi there.")))
    assert from_json(result.stdout) == said("Hi there.")
    assert json.loads(result.stdout)["file"] == "<stdin>"


def test_files_of_openai_whisper_are_read(ifw, save):
    path = save("talk.json", content=to_openai_json(said("Hi.", "Bye.")))
    assert ifw("convert", path, "-f", "tsv", "-o", "-").stdout == "start\tend\ttext\n0\t1000\tHi.\n1000\t2000\tBye.\n"


@pytest.mark.parametrize(
    ("flags", "lines"),
    [
        (
            [],
            [
                "The first sentence is short.",
                None,
                "The second sentence goes on and on until",
                "it is very much longer.",
            ],
        ),
        (["--max_line_count", "none"], 3),
        (["--max-line-width", "none"], 1),
        (["--max_words_per_line", "3", "--max-line-count", "1"], 6),
        (["--cue-layout", "openai"], 1),
    ],
)
def test_subtitle_flags(ifw, save, flags, lines):
    result = ifw("convert", save("talk.json", said(LONG)), "-f", "srt", "-o", "-", *flags)
    texts = [line for line in result.stdout.splitlines() if line and "-->" not in line and not line.isdigit()]
    expected = lines if isinstance(lines, int) else len([line for line in lines if line])
    assert len(texts) == expected
    assert " ".join(texts) == LONG


def test_times_and_highlights(ifw, save):
    words = (Word(" Hi", 0.0, 0.2, 0.9), Word(" you", 0.2, 0.4, 0.9))
    path = save("talk.json", said("Hi you", words=words))
    assert "00:00.000 --> 00:00.400" in ifw("convert", path, "-f", "vtt", "-o", "-", "--min-cue-s", "none").stdout
    assert "00:00.000 --> 00:02.000" in ifw("convert", path, "-f", "vtt", "-o", "-", "--min-cue-s", "2").stdout
    assert "\n<u>Hi</u> you\n" in ifw("convert", path, "-f", "vtt", "-o", "-", "--highlight_words").stdout


def test_no_word_times_to_highlight_is_a_warning(ifw, save):
    result = ifw("convert", save("talk.json"), "-f", "srt", "-o", "-", "--highlight-words")
    assert result.exit_code == 0
    assert result.stderr.endswith("talk.json: there are no word times, so no word is highlighted\n")
    assert result.stderr.startswith("warning: ")


def test_a_file_that_fails_does_not_stop_the_others(ifw, save, tmp_path):
    bad = save("bad.json", content='{"segments": [{}], "language": "en"}')
    result = ifw("convert", save("a.json"), bad, tmp_path / "none.json", tmp_path, save("z.json"))
    assert (result.exit_code, result.stdout) == (1, "This is a.\nThis is z.\n")
    first, second, third = result.stderr.splitlines()
    assert first == (
        f"error: {bad}: segments[0].start_s: got nothing, allowed: seconds, 0 to 10000000 [transcript_invalid]"
    )
    assert second == f"error: {tmp_path}/none.json: cannot be read: No such file or directory [transcript_invalid]"
    assert third == f"error: {tmp_path}: cannot be read: Is a directory [transcript_invalid]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-line-width", "0"], "error: --max-line-width: got 0, allowed: an integer, 1 to 1000 [config_invalid]"),
        (["--min-cue-s", "-1"], "error: --min-cue-s: got -1.0, allowed: a number, 0 to 60 [config_invalid]"),
        (["-o", ""], "error: --output-dir: got ''"),
        (["-f", "srt", "-f", "vtt", "-o", "-"], "error: --output-format: got srt vtt"),
    ],
)
def test_usage_errors(ifw, save, arguments, message):
    result = ifw("convert", save("talk.json"), *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)


def test_a_width_that_is_no_number(ifw, save):
    result = ifw("convert", save("talk.json"), "--max-line-width", "wide")
    assert result.exit_code == 2
    assert "'wide' is neither a whole number nor 'none'" in result.stderr


def test_an_input_is_never_replaced(ifw, save, tmp_path):
    path = save("talk.json", content=to_openai_json(said("Hi.")))
    before = path.read_text()
    os.symlink(tmp_path, tmp_path / "same")
    for arguments in (["-f", "json"], ["-o", "same"], ["-f", "all"]):
        result = ifw("convert", path, *arguments)
        assert result.exit_code == 2
        assert "which is an input and would be replaced, allowed: another place [config_invalid]" in result.stderr
    assert path.read_text() == before
    assert files_in(tmp_path) == ["talk.json"]


def test_a_folder_that_cannot_be_written_ends_the_run(ifw, save, tmp_path):
    path = save("talk.json")
    result = ifw("convert", path, "-f", "srt", "-o", path)
    assert result.exit_code == 1
    assert "[output_failed]" in result.stderr


def test_a_file_named_twice_is_converted_once(ifw, save):
    path = save("talk.json")
    assert ifw("convert", path, path).stdout == "This is talk.\n"
