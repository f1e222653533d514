import os
import sys
from pathlib import Path

import pytest

from ifw.cancellation import CancelToken
from ifw.cli.inputs import MEDIA_SUFFIXES, expand_inputs
from ifw.errors import AudioNotFoundError, ConfigError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    names = ["b.mp3", "a.wav", "notes.txt", "sub/c.MP4", "sub/deep/d.opus", ".cache/e.mp3", "sub/.f.mp3", "g[1].mp3"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labels(*arguments):
    inputs, bad = expand_inputs(arguments)
    assert not bad
    return [item.label for item in inputs]


def test_files_keep_their_order_and_any_extension(folder):
    assert labels("b.mp3", "notes.txt", "a.wav") == ["b.mp3", "notes.txt", "a.wav"]


def test_a_folder_gives_its_media_files_sorted(folder):
    assert labels(".") == ["a.wav", "b.mp3", "g[1].mp3", "sub/c.MP4", "sub/deep/d.opus"]
    inputs, _ = expand_inputs([str(folder / "sub")])
    assert [str(item.relative) for item in inputs] == ["c.MP4", "deep/d.opus"]


def test_patterns_that_the_shell_left(folder):
    assert labels("*.mp3") == ["b.mp3", "g[1].mp3"]
    assert labels("**/*.[mo]p*") == ["b.mp3", "g[1].mp3", "sub/deep/d.opus"]
    assert labels("s*") == ["sub/c.MP4", "sub/deep/d.opus"]


def test_a_name_that_looks_like_a_pattern_is_a_name(folder):
    assert labels("g[1].mp3") == ["g[1].mp3"]


def test_each_file_once(folder):
    (folder / "link.mp3").symlink_to(folder / "b.mp3")
    assert labels("b.mp3", "*.mp3", str(folder / "b.mp3"), "./b.mp3") == ["b.mp3", "g[1].mp3"]


@pytest.mark.parametrize("argument", ["none.mp3", "*.flac", "empty", "x" * 5000, "a\0b"])
def test_what_is_not_there_is_reported_and_the_rest_goes_on(folder, argument):
    (folder / "empty").mkdir()
    inputs, bad = expand_inputs([argument, "a.wav"])
    assert [item.label for item in inputs] == ["a.wav"]
    assert [(item.label, item.error.code) for item in bad] == [(argument, "audio_not_found")]


def test_a_folder_that_cannot_be_read_is_reported(folder, monkeypatch):
    (folder / "locked").mkdir()
    (folder / ".locked").mkdir()
    really = os.scandir

    def scandir(path="."):
        if "locked" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    inputs, bad = expand_inputs([".", "locked"])
    assert [item.label for item in inputs] == ["a.wav", "b.mp3", "g[1].mp3", "sub/c.MP4", "sub/deep/d.opus"]
    assert [(item.label, str(item.error)) for item in bad] == [
        ("locked", "the folder cannot be read: Permission denied"),
        ("locked", "the folder cannot be read: Permission denied"),
    ]


def test_a_file_that_nobody_may_look_at_fails_by_itself(folder, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    monkeypatch.setattr(Path, "is_fifo", refuse)
    inputs, bad = expand_inputs(["sub"])
    assert ([item.label for item in inputs], bad) == (["sub/c.MP4", "sub/deep/d.opus"], [])
    with inputs[0].open(CancelToken()) as source:
        assert source == Path("sub/c.MP4")


def test_a_named_pipe_that_may_not_be_read_is_named(folder, monkeypatch):
    os.mkfifo("pipe.wav")
    ((item,), _) = expand_inputs(["pipe.wav"])

    def refuse(path, flags):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(AudioNotFoundError, match=r"^pipe\.wav: Permission denied$"), item.open(CancelToken()):
        pass


@pytest.mark.parametrize("url", ["rtsp://camera/*", "file:///etc/hostname", "http:///a.mp3"])
def test_a_url_that_cannot_be_fetched_is_told_apart_from_a_missing_file(folder, url):
    _, bad = expand_inputs([url])
    assert [item.error.code for item in bad] == ["url_invalid"]


def test_a_file_goes_before_a_url(folder):
    assert labels("https://example.org/a.mp3?x=[1]", "https://example.org/a.mp3?x=[2]") == [
        "https://example.org/a.mp3",
        "https://example.org/a.mp3",
    ]
    path = Path("https:/example.org/a.mp3")
    path.parent.mkdir(parents=True)
    path.touch()
    assert labels("https://example.org/a.mp3") == [str(path)]


def test_a_closed_standard_input_is_named(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigError, match="standard input is closed"):
        expand_inputs(["-"])


def test_standard_input_is_named_once_and_is_no_terminal(monkeypatch):
    with pytest.raises(ConfigError, match="twice"):
        expand_inputs(["-", "-"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(ConfigError, match="terminal"):
        expand_inputs(["-"])


def test_extensions_are_what_a_lower_case_name_can_have():
    assert {".mp3", ".m4a", ".opus", ".webm", ".mkv"} <= MEDIA_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in MEDIA_SUFFIXES)
