"""Time slices decoded side by side equal a decode from start to end, or are given up for one."""

from __future__ import annotations

import numpy as np
import pytest
from recordings import (
    FLAC,
    M4A,
    M4A_WITHOUT_NOISE,
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
)

from ifw.audio import decode, open_stream
from ifw.audio.assignment import Assignment, Slicing
from ifw.audio.decoder_process import launch_fresh
from ifw.audio.feed import _step
from ifw.audio.source import open_source
from ifw.audio.wire import Kind
from ifw.config import AudioOptions
from ifw.errors import AudioTooLongError

DURATION_S = 9.7
SLICING = Slicing(slice_s=2, min_duration_s=4.0)
WHOLE = Slicing(min_duration_s=1e9)
AAC_TOLERANCE = 2e-3


def read(data, *, n_workers=2, slicing=SLICING):
    """The samples, and why slices were given up; 'whole' where there were none."""
    with open_stream(data, AudioOptions(n_workers=n_workers), slicing=slicing) as stream:
        samples = np.concatenate(list(stream))
        was_cut = stream._feed.header.n_slices > 1
        return samples, (stream._feed.doubt if was_cut else "whole"), stream


@pytest.mark.parametrize(
    ("coding", "n_channels"),
    [
        (MP3, 2),
        (MP3_VBR, 1),
        (MP3_WITHOUT_HEADER, 2),
        (Coding("libmp3lame", "mp3", rate=22_050, bit_rate=32_000), 1),
        (OPUS, 2),
        (VORBIS, 2),
        (FLAC, 2),
        (Coding("flac", "flac", rate=96_000), 1),
        (WAV, 2),
        (Coding("pcm_s24le", "wav", rate=11_025), 1),
        (Coding("pcm_s16le", "wav", rate=8_000), 1),
        (Coding("pcm_s16le", "wav", rate=48_000), 6),
        (Coding("alac", "ipod"), 2),
        (M4A_WITHOUT_NOISE, 2),
    ],
    ids=lambda value: f"{value.codec}-{value.rate}" if isinstance(value, Coding) else f"{value}ch",
)
def test_slices_equal_the_whole(coding, n_channels):
    data = encode(chirps(DURATION_S, coding.rate, n_channels, noise=0.01), coding)
    whole, _, _ = read(data, slicing=WHOLE)
    sliced, doubt, stream = read(data, n_workers=1 + n_channels)
    assert doubt is None
    assert stream.is_sliced
    assert np.array_equal(sliced, whole)
    assert stream.warnings == ()


def test_aac_stays_within_its_tolerance():
    data = encode(chirps(DURATION_S), Coding("aac", "ipod", bit_rate=160_000))
    whole, _, _ = read(data, slicing=WHOLE)
    sliced, doubt, _ = read(data)
    assert doubt is None
    assert len(sliced) == len(whole)
    assert np.abs(sliced - whole).max() <= AAC_TOLERANCE


def test_aac_noise_does_not_depend_on_the_number_of_workers():
    quiet = 2e-4 * np.random.default_rng(0).standard_normal((1, round(DURATION_S * 44_100)))
    data = encode(quiet.astype(np.float32), M4A)
    whole, _, _ = read(data, slicing=WHOLE)
    one, doubt, _ = read(data, n_workers=1)
    assert doubt is None
    assert np.array_equal(read(data, n_workers=3)[0], one)
    assert 0 < np.abs(one - whole).max() <= AAC_TOLERANCE  # the decoder draws its noise anew for every slice


def test_aac_with_loud_noise_is_decoded_whole_after_all():
    data = encode(chirps(DURATION_S, noise=0.05), M4A)
    sliced, doubt, stream = read(data)
    assert "seam" in doubt
    assert not stream.is_sliced
    assert np.array_equal(sliced, read(data, slicing=WHOLE)[0])
    assert np.array_equal(sliced, read(data, n_workers=1)[0])


def test_short_files_and_single_workers_are_not_cut():
    data = encode(chirps(DURATION_S), WAV)
    assert read(data, n_workers=1)[1] == "whole"
    assert read(data, slicing=Slicing(slice_s=2, min_duration_s=9.8))[1] == "whole"
    assert read(data, slicing=Slicing(slice_s=6, min_duration_s=4))[1] == "whole"


def test_timestamps_in_milliseconds_are_too_coarse():
    assert read(encode(chirps(DURATION_S, 48_000), WEBM))[1] == "whole"


def test_sound_that_starts_late_is_not_cut():
    data = encode(chirps(DURATION_S), Coding("aac", "mp4"), with_video=True, delay_s=1)
    assert read(data)[1] == "whole"


def test_the_sound_of_a_video_is_cut_too():
    coding = Coding("aac", "mp4", codec_options={"aac_pns": "0"})
    data = encode(chirps(DURATION_S), coding, with_video=True)
    sliced, doubt, _ = read(data)
    assert doubt is None
    assert np.array_equal(sliced, read(data, slicing=WHOLE)[0])


@pytest.mark.parametrize("coding", [MP3, FLAC, OPUS], ids=lambda coding: coding.codec)
def test_damage_is_noticed_and_read_as_a_whole(coding):
    data = damaged(encode(chirps(DURATION_S, coding.rate, 2), coding))
    sliced, doubt, stream = read(data)
    whole, _, serial = read(data, slicing=WHOLE)
    assert doubt not in (None, "whole")
    assert np.array_equal(sliced, whole)
    assert stream.warnings == serial.warnings != ()


@pytest.mark.parametrize("coding", [MP3, FLAC], ids=lambda coding: coding.codec)
def test_a_header_that_promises_too_much(coding):
    data = encode(chirps(DURATION_S, coding.rate), coding)
    part = data[: int(len(data) * 0.55)]
    sliced, doubt, stream = read(part)
    assert doubt not in (None, "whole")
    assert np.array_equal(sliced, read(part, slicing=WHOLE)[0])
    assert "audio_truncated" in [warning.code for warning in stream.warnings]


def test_a_header_that_promises_too_little():
    song = encode(chirps(DURATION_S), MP3)
    sliced, _, _ = read(song * 2)
    whole, _, _ = read(song * 2, slicing=WHOLE)
    assert len(whole) > 19 * 16_000
    assert np.array_equal(sliced, whole)


@pytest.mark.parametrize(("field", "tenths"), [(4, 9), (4, 11), (8, 5), (8, 20)])
def test_an_mp3_header_that_lies(field, tenths):
    """A constant-rate MP3 is entered by the counts of frames and bytes in its header."""
    data = bytearray(encode(chirps(DURATION_S), MP3))
    start = data.index(b"Info") + 4 + field
    count = int.from_bytes(data[start : start + 4], "big")
    data[start : start + 4] = (count * tenths // 10).to_bytes(4, "big")
    assert np.array_equal(read(bytes(data))[0], read(bytes(data), slicing=WHOLE)[0])


def test_an_mp3_with_something_else_inside():
    song = encode(chirps(DURATION_S), MP3)
    half = len(song) // 2
    for data in (song[:half] + bytes(30_000) + song[half:], song[:half] + song[half - 9_000 :]):
        assert np.array_equal(read(data)[0], read(data, slicing=WHOLE)[0])


def test_a_seam_that_does_not_fit_gives_the_slices_up(monkeypatch):
    data = encode(chirps(DURATION_S), FLAC)
    whole, _, _ = read(data, slicing=WHOLE)
    assert read(data)[1] is None
    monkeypatch.setattr("ifw.audio.feed.EXACT_STEP", -1.0)
    sliced, doubt, _ = read(data)
    assert doubt.startswith("the seam before slice 1")
    assert np.array_equal(sliced, whole)


def test_a_step_is_seen_anywhere_in_the_seam():
    tail = np.sin(np.arange(100, dtype=np.float32))
    assert _step(tail, tail[-50:]) == 0
    assert _step(tail, tail[-51:-1]) > 0.1
    for place in (0, 49):
        seam = tail[-50:].copy()
        seam[place] += 0.01
        assert _step(tail, seam) == pytest.approx(0.01, abs=1e-6)


def test_the_cap_holds_for_slices_too():
    data = encode(chirps(DURATION_S), FLAC)
    with (
        open_stream(data, AudioOptions(max_duration_s=7), slicing=SLICING) as stream,
        pytest.raises(AudioTooLongError),
    ):
        list(stream)


def test_decode_cuts_long_files_by_itself():
    data = encode(np.zeros((1, 8_000 * 301), np.float32), Coding("flac", "flac", rate=8_000))
    with open_stream(data) as stream:
        assert stream.is_sliced
        assert sum(len(block) for block in stream) == 301 * 16_000
    assert decode(data).duration_s == 301


def test_a_worker_skips_what_was_delivered():
    data = encode(chirps(DURATION_S), FLAC)
    whole, _, _ = read(data, slicing=WHOLE)
    with open_source(data) as source:
        worker = launch_fresh(source.descriptor, Assignment(skip_samples=34_567))
        messages = list(iter(worker.receive, (Kind.FINISHED, b"[]")))
        worker.close()
    assert messages[0][0] is Kind.HEADER
    assert b"".join(payload for _, payload in messages[1:]) == whole[34_567:].tobytes()


def test_assignments_travel_as_text():
    for assignment in (Assignment(), Assignment(1, 3, SLICING), Assignment(skip_samples=12)):
        assert Assignment.from_json(assignment.to_json()) == assignment
