"""What may be handed in: paths, bytes, file objects of every sort."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import tempfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from recordings import M4A, WAV, chirps, encode, tone

from ifw.audio import decode, spool
from ifw.audio.source import open_source
from ifw.config import AudioOptions
from ifw.errors import AudioEmptyError, AudioFormatError, AudioNotFoundError, AudioTooLongError, ConfigError

DATA = encode(chirps(2), M4A)  # its index is at the end, so that it can be read only with seeks
SAMPLES = decode(DATA).samples


class OnlyRead:
    """The least that a file object can be."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, n_bytes: int = -1) -> bytes:
        return self._file.read(min(n_bytes, 1_000))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ümlaut & spaces.m4a"
    path.write_bytes(DATA)
    return path


def check(source) -> None:
    assert np.array_equal(decode(source).samples, SAMPLES)


@pytest.mark.parametrize(
    "wrap", [bytes, bytearray, memoryview, io.BytesIO, OnlyRead], ids=lambda wrap: wrap.__name__.lower()
)
def test_bytes_in_memory(wrap):
    check(wrap(DATA))


def test_paths(path, monkeypatch):
    check(path)
    check(str(path))
    monkeypatch.chdir(path.parent)
    check(path.name)
    check(Path(path.name))


def test_an_open_file_is_read_in_place_and_stays_open(path):
    with path.open("rb") as file:
        check(file)
        assert not file.closed
        assert file.tell() == 0
        check(file)
    with path.open("rb", buffering=0) as file:
        check(file)


def test_a_file_object_is_read_from_its_position(path):
    prefixed = path.with_name("prefixed")
    prefixed.write_bytes(b"some header" + DATA)
    with prefixed.open("rb") as file:
        file.seek(11)
        check(file)
    with path.open("rb") as file:
        file.read()
        with pytest.raises(AudioEmptyError, match="current position"):
            decode(file)


def test_unwritten_buffers_are_not_lost(tmp_path):
    with (tmp_path / "new.m4a").open("w+b") as file:
        file.write(DATA)
        file.seek(0)
        check(file)


def test_temporary_files():
    for make in (tempfile.TemporaryFile, tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile):
        with make() as file:
            file.write(DATA)
            file.seek(0)
            check(file)


def test_file_objects_that_hide_another_file(tmp_path):
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(DATA)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.m4a", DATA)
    with gzip.open(tmp_path / "a.gz", "rb") as file:
        check(file)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("a.m4a") as file:
        check(file)


def test_a_pipe_as_file_object():
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(DATA)

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb") as pipe:
        check(pipe)
    thread.join()


class Endless:
    """A stream that starts with some bytes and never ends, as a camera's does."""

    def __init__(self, start: bytes = b"") -> None:
        self._pieces = itertools.chain([start] if start else [], itertools.repeat(bytes(1 << 20)))
        self.n_read = 0

    def read(self, n_bytes: int = -1) -> bytes:
        piece = next(self._pieces)
        self.n_read += len(piece)
        return piece


def test_a_stream_that_is_no_audio_is_refused_early():
    source = Endless()
    with pytest.raises(AudioFormatError, match=r"^<file object>: the bytes are no container"):
        decode(source)
    assert source.n_read == spool.PROBE_BYTES


def test_a_stream_that_never_ends_is_refused_at_the_cap():
    source = Endless(encode(tone(0.1), WAV))
    with pytest.raises(AudioTooLongError, match="max_stream_bytes = 50000000; write it to a file"):
        decode(source, AudioOptions(max_stream_bytes=50_000_000))
    assert spool.PROBE_BYTES < source.n_read < 52_000_000


def test_a_stream_of_exactly_the_cap_is_read():
    assert np.array_equal(decode(OnlyRead(DATA), AudioOptions(max_stream_bytes=len(DATA))).samples, SAMPLES)
    with pytest.raises(AudioTooLongError):
        decode(OnlyRead(DATA), AudioOptions(max_stream_bytes=len(DATA) - 1))


def test_files_and_bytes_have_no_cap(path):
    options = AudioOptions(max_stream_bytes=1)
    for source in (path, DATA):
        assert np.array_equal(decode(source, options).samples, SAMPLES)


def test_the_probe_refuses_nothing_that_more_bytes_would_mend(monkeypatch):
    """The index of this file comes last, so half of it cannot be decoded."""
    monkeypatch.setattr(spool, "PROBE_BYTES", len(DATA) // 2)
    check(OnlyRead(DATA))


def test_only_a_position_is_named():
    with pytest.raises(AudioEmptyError, match=r"there are no bytes$"):
        decode(io.BytesIO())
    with pytest.raises(AudioEmptyError, match=r"there are no bytes$"):
        decode(b"")


def test_a_file_may_vanish_while_it_is_read(path):
    with open_source(path) as source:
        path.unlink()
        assert os.pread(source.descriptor, 12, 0) == DATA[:12]


def test_file_objects_that_cannot_be_read(path):
    with path.open("rb") as file:
        pass
    with pytest.raises(AudioNotFoundError, match="closed"):
        decode(file)
    with path.with_name("out").open("wb") as file, pytest.raises(AudioNotFoundError, match="cannot be read"):
        decode(file)
    with path.open("r", encoding="latin-1") as file, pytest.raises(ConfigError, match="binary"):
        decode(file)

    class Text:
        def read(self, n: int = -1) -> str:
            return "text"

    with pytest.raises(ConfigError, match="gave str"):
        decode(Text())


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission(path):
    path.chmod(0)
    with pytest.raises(AudioNotFoundError, match="Permission"):
        decode(path)


def test_a_full_disk_is_named(monkeypatch):
    def no_room(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", no_room)
    with pytest.raises(Exception, match="No space left") as caught:
        decode(DATA)
    assert caught.value.code == "audio_invalid"
