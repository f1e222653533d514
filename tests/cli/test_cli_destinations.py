import itertools
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ifw.cli.destinations import choose_destination, output_stems, prepare_folders, write_files
from ifw.cli.inputs import Input
from ifw.errors import OutputError
from ifw.types import Transcript

NOTHING = Transcript("", (), "en", 1.0, 0.0)


def inputs(*paths):
    return [Input(path, Path("/x") / path, Path(Path(path).name)) for path in paths]


def stems(*paths):
    return [stem.as_posix() for stem in output_stems(inputs(*paths))]


@pytest.mark.parametrize(
    ("output_dir", "formats", "folder", "chosen"),
    [
        (None, [], None, ["txt"]),
        ("-", [], None, ["txt"]),
        ("-", ["vtt"], None, ["vtt"]),
        (None, ["vtt", "srt"], Path(), ["srt", "vtt"]),
        (None, ["all"], Path(), ["txt", "srt", "vtt", "tsv", "json"]),
        ("out", [], Path("out"), ["txt", "srt", "vtt", "tsv", "json"]),
        ("out", ["json", "json"], Path("out"), ["json"]),
    ],
)
def test_what_the_user_left_open(output_dir, formats, folder, chosen):
    made = choose_destination(output_dir, formats, 1)
    assert (made.folder, list(made.formats)) == (folder, chosen)


def test_names():
    assert stems("talk.mp3", "a/b/other.v2.wav", "noext") == ["talk", "other.v2", "noext"]
    assert stems("talk.mp3", "talk.wav") == ["talk.mp3", "talk.wav"]
    assert stems("p/mon/talk.mp3", "p/tue/talk.mp3") == ["mon/talk", "tue/talk"]
    assert stems("mon/talk.mp3", "mon/talk.wav", "tue/talk.mp3") == ["mon/talk", "talk.wav", "tue/talk"]
    assert stems("mon/talk.mp3", "tue/talk.mp3", "q/other.mp3") == ["mon/talk", "tue/talk", "other"]
    assert stems("a/Talk.mp3", "b/talk.mp3") == ["a/Talk", "b/talk"]


def test_standard_input_gives_way_to_nothing():
    made = output_stems([Input("stdin", None, Path("stdin")), *inputs("stdin.mp3")])
    assert made == [Path("stdin"), Path("stdin.mp3")]


parts = st.sampled_from(["a", "b", "A", "a.mp3", "a.wav", "x"])
paths = st.builds(
    lambda folders, name, suffix: "/".join([*folders, name + suffix]),
    st.lists(parts, max_size=3),
    parts,
    st.sampled_from([".mp3", ".wav", ""]),
)


@given(st.lists(paths, min_size=1, max_size=8, unique=True))
def test_names_never_meet(chosen):
    made = output_stems(inputs(*chosen))
    written = {f"{stem}".casefold() for stem in made}
    assert len(written) == len(chosen)
    assert not any(stem.is_absolute() or ".." in stem.parts for stem in made)


@given(st.lists(paths, min_size=2, max_size=2, unique=True))
def test_two_files_always_find_names(chosen):
    first, second = output_stems(inputs(*chosen))
    assert str(first).casefold() != str(second).casefold()


def test_names_that_cannot_be_told_apart_are_numbered():
    names = ["same", "Same", "same.2", "SAME"]
    made = output_stems([Input(str(number), None, Path(name)) for number, name in enumerate(names)])
    assert [str(stem) for stem in made] == ["same", "Same.3", "same.2", "SAME.4"]


def test_a_folder_is_made_and_tried(tmp_path, monkeypatch):
    prepare_folders([tmp_path / "out/talk", tmp_path / "out/mon/talk"])
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["mon"]

    def refuse(**where):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputError, match=r"cannot write into .*out: Permission denied$"):
        prepare_folders([tmp_path / "out/talk"])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "talk.txt").write_text("old")

    def full_disk(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OutputError, match=r"cannot write .*talk\.txt: No space left on device"):
        write_files(NOTHING, tmp_path / "talk", ["txt"])
    assert [path.name for path in tmp_path.iterdir()] == ["talk.txt"]
    assert (tmp_path / "talk.txt").read_text() == "old"


def test_a_path_that_is_no_text_can_be_written(tmp_path):
    """A checkpoint may lie in a folder whose name is no UTF-8; Python has lone surrogates for such bytes."""
    model = os.fsdecode(b"/models/caf\xe9")
    (path,) = write_files(replace(NOTHING, model=model), tmp_path / "talk", ["json"])
    assert json.loads(path.read_text(encoding="utf-8"))["model"] == model


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_files(NOTHING, tmp_path / "out" / "talk", ["txt"])


def test_every_format_gets_its_extension(tmp_path):
    written = write_files(NOTHING, tmp_path / "talk.v2", ["txt", "json"])
    assert [path.name for path in written] == ["talk.v2.txt", "talk.v2.json"]
    assert all(a != b for a, b in itertools.combinations(written, 2))


@pytest.mark.parametrize(
    ("name", "flags"), [("a.txt", ["-f", "txt"]), ("a.json", ["-o", "."]), ("a.ifw-journal", ["-f", "srt"])]
)
def test_a_recording_is_never_replaced(ifw, record, transcribers, name, flags):
    path = record(name)
    before = path.read_bytes()
    result = ifw("transcribe", path, *flags)
    assert (result.exit_code, transcribers) == (2, [])
    assert result.stderr.startswith(f"error: --output-dir: got {name}, which is an input and would be replaced")
    assert path.read_bytes() == before
