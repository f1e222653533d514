"""Bad input: each kind its own clear error, and what can be saved is saved with a warning."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from recordings import (
    AAC,
    FLAC,
    M4A,
    M4A_FAST_START,
    MP3,
    MP3_VBR,
    MP3_WITHOUT_HEADER,
    OPUS,
    VORBIS,
    WAV,
    WEBM,
    Coding,
    chirps,
    damaged,
    encode,
    plain_wav,
    silent_film,
    tone,
)

from ifw.audio import decode, open_stream
from ifw.config import AudioOptions
from ifw.errors import (
    AudioDamagedError,
    AudioEmptyError,
    AudioError,
    AudioFormatError,
    AudioNotFoundError,
    AudioStreamError,
    AudioTooLongError,
    ConfigError,
)

NOISE = np.random.default_rng(0).bytes(100_000)
WAV_HEADER = encode(tone(1), WAV)[:78]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", AudioEmptyError, id="no bytes"),
        pytest.param(WAV_HEADER, AudioEmptyError, id="a header without samples"),
        pytest.param(NOISE, AudioFormatError, id="noise"),
        pytest.param(bytes(100_000), AudioFormatError, id="zeros"),
        pytest.param(b"x", AudioFormatError, id="one byte"),
        pytest.param(b"hello, this is no audio\n" * 500, AudioFormatError, id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + NOISE, AudioFormatError, id="a picture"),
        pytest.param(b"PK\x03\x04" + NOISE, AudioFormatError, id="an archive"),
        pytest.param(silent_film(), AudioStreamError, id="video without sound"),
        pytest.param(encode(chirps(4), M4A)[:20_000], AudioDamagedError, id="mp4 cut before its index"),
        pytest.param(WAV_HEADER[:30], AudioError, id="half a header"),
    ],
)
def test_bytes_that_are_no_audio(data, expected, tmp_path):
    path = tmp_path / "bad.mp3"
    path.write_bytes(data)
    with pytest.raises(expected) as caught:
        decode(path)
    assert str(path) in str(caught.value)
    with pytest.raises(expected):
        decode(data)


@pytest.mark.parametrize(("n_channels", "rate"), [(65, 16_000), (1, 500), (1, 1_000_000)])
def test_absurd_sound(n_channels, rate):
    with pytest.raises(AudioStreamError, match="allowed: 1 to 64 channels"):
        decode(plain_wav(np.repeat(tone(0.1, rate), n_channels, axis=0), rate))


def test_an_index_that_is_cut_inside_is_damage():
    """Its tracks are listed without what describes them."""
    data = encode(chirps(4), M4A)
    with pytest.raises(AudioDamagedError, match="what describes the audio stream"):
        decode(data[: data.index(b"stsd") - 4])


def test_every_packet_damaged():
    data = encode(chirps(3), M4A_FAST_START)
    start = data.index(b"mdat") + 4
    with pytest.raises(AudioDamagedError, match="nothing could be decoded"):
        decode(data[:start] + b"\xff" * (len(data) - start))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/no/such/file.mp3", "No such file"),
        ("", "No such file"),
        ("/dev/zero", "a device"),
        ("/dev/null", "a device"),
        ("a\0b.mp3", "null byte"),
        ("x" * 5_000, "too long"),
        ("http://127.0.0.1:9/talk.mp3", "URL"),
        ("https://example.org/talk.mp3", "URL"),
        ("file:///etc/hostname", "URL"),
        ("https://example.org/@me/a.mp3", r"^https://example\.org/@me/a\.mp3: a URL.*ifw\.fetch\.fetch"),
        ("https://u:secret@example.org/a.mp3?sig=secret", r"^https://example\.org/a\.mp3: a URL"),
        ("concat:/etc/hostname", "No such file"),
    ],
)
def test_paths_that_are_no_files(path, message):
    with pytest.raises(AudioNotFoundError, match=message) as caught:
        decode(path)
    assert len(str(caught.value)) < 10_000
    assert "file object" not in str(caught.value)


def test_special_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    with pytest.raises(AudioNotFoundError, match="a directory"):
        decode(tmp_path)
    with pytest.raises(AudioNotFoundError, match="a pipe"):
        decode(tmp_path / "pipe.wav")
    with pytest.raises(AudioNotFoundError, match="a device"):
        decode(tmp_path / "zero.wav")
    with pytest.raises(AudioNotFoundError, match="symbolic links"):
        decode(tmp_path / "loop.wav")


@pytest.mark.parametrize(
    "source", [None, 5, 1.5, ["a.mp3"], io.StringIO("text")], ids=lambda source: type(source).__name__
)
def test_sources_of_another_type(source):
    with pytest.raises(ConfigError, match="allowed"):
        decode(source)


@pytest.mark.parametrize(
    "coding",
    [MP3, MP3_VBR, M4A_FAST_START, FLAC, WAV, OPUS, VORBIS, WEBM],
    ids=lambda coding: f"{coding.codec}-{coding.container}",
)
def test_a_truncated_file_gives_what_is_there_and_a_warning(coding):
    samples = chirps(6, coding.rate, 2)
    data = encode(samples, coding)
    whole = decode(data)
    part = decode(data[: int(len(data) * 0.6)])
    assert whole.warnings == ()
    assert "audio_truncated" in [warning.code for warning in part.warnings]
    assert 2 < part.duration_s < 5
    n = len(part.samples) - 4_000  # the last frames lack what follows
    assert np.abs(part.samples[:n] - whole.samples[:n]).max() < 1e-3


@pytest.mark.parametrize(
    "coding",
    [MP3, MP3_WITHOUT_HEADER, M4A_FAST_START, AAC, FLAC, OPUS, WEBM],
    ids=lambda coding: f"{coding.codec}-{coding.container}",
)
def test_damaged_packets_are_left_out_and_counted(coding):
    audio = decode(damaged(encode(chirps(10, coding.rate, 2), coding)))
    assert 7 < audio.duration_s < 10.2
    assert "audio_damaged_packets" in [warning.code for warning in audio.warnings]


def test_what_follows_a_hole_keeps_its_time():
    data = bytearray(encode(chirps(8), FLAC))
    whole = decode(bytes(data))
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    part = decode(bytes(data))
    assert part.duration_s == pytest.approx(whole.duration_s, abs=0.001)
    assert any("replaced by silence" in warning.message for warning in part.warnings)
    end, ideal_end = part.samples[-32_000:], whole.samples[-32_000:]
    assert np.corrcoef(end, ideal_end)[0, 1] > 0.99
    assert np.corrcoef(end[20:], ideal_end[:-20])[0, 1] < 0.99  # a shift of 1.25 ms would show


def test_a_length_that_is_only_estimated_is_no_promise():
    samples = chirps(8, noise=0.1)
    samples[:, :44_100] = 0  # cheap frames first, from which FFmpeg reckons that the file is far longer
    coding = Coding("libmp3lame", "mp3", codec_options=MP3_VBR.codec_options, container_options={"write_xing": "0"})
    data = encode(samples, coding)
    with open_stream(data) as stream:
        assert stream.duration_s > 12
    audio = decode(data)
    assert audio.duration_s == pytest.approx(8, abs=0.1)
    assert audio.warnings == ()


def test_the_cap_counts_samples_not_headers():
    song = encode(tone(3), MP3)  # its header says 3 s
    with pytest.raises(AudioTooLongError, match="max_duration_s = 4"):
        decode(song + song, AudioOptions(max_duration_s=4))
    assert decode(song + song, AudioOptions(max_duration_s=6.5)).duration_s > 5.9
    part = song[: len(song) // 2]
    assert decode(part, AudioOptions(max_duration_s=2)).duration_s < 2


def test_exactly_the_cap_is_allowed():
    data = encode(tone(2, 16_000), Coding("pcm_s16le", "wav", rate=16_000))
    assert decode(data, AudioOptions(max_duration_s=2)).duration_s == 2
    with pytest.raises(AudioTooLongError):
        decode(data, AudioOptions(max_duration_s=1.999))


def test_a_small_file_of_endless_silence_is_stopped_early():
    data = encode(np.zeros((1, 48_000 * 120), np.float32), OPUS)
    with pytest.raises(AudioTooLongError):
        decode(data, AudioOptions(max_duration_s=10))
