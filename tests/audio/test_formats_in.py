"""Every container and codec on the list, as a path, gives the tone that went in."""

from __future__ import annotations

import io

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
    TONE_HZ,
    VORBIS,
    WAV,
    WEBM,
    Coding,
    encode,
    plain_wav,
    tone,
)

from ifw.audio import decode
from ifw.constants import SAMPLE_RATE

DURATION_S = 2.0

WAVS = [Coding(codec, "wav", rate=16_000) for codec in ("pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le")]
RATES = [Coding("pcm_s16le", "wav", rate=rate) for rate in (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000)]
LOSSLESS = [
    *((coding, 1) for coding in WAVS),
    *((coding, 2) for coding in RATES),
    (Coding("pcm_s16le", "wav", rate=48_000), 6),
    (Coding("pcm_f32le", "wav", rate=44_100), 6),
    (FLAC, 2),
    (Coding("flac", "flac", rate=8_000), 1),
    (Coding("alac", "ipod"), 2),
    (Coding("pcm_s16be", "aiff"), 2),
    (Coding("pcm_s16be", "au"), 1),
    (Coding("pcm_s16le", "w64"), 1),
    (Coding("pcm_s16le", "caf"), 2),
]
LOSSY = [
    (MP3, 2),
    (Coding("libmp3lame", "mp3", rate=16_000, bit_rate=64_000), 1),
    (MP3_WITHOUT_HEADER, 1),
    (MP3_VBR, 2),
    (M4A, 1),
    (M4A_FAST_START, 2),
    (Coding("aac", "ipod", rate=48_000, bit_rate=256_000), 6),
    (AAC, 2),
    (OPUS, 1),
    (OPUS, 2),
    (VORBIS, 2),
    (WEBM, 2),
    (Coding("ac3", "ac3", rate=48_000, bit_rate=256_000), 6),
]


def amplitude(samples: np.ndarray) -> float:
    """Of the tone, away from both ends."""
    inner = samples[SAMPLE_RATE // 4 : -SAMPLE_RATE // 4].astype(np.float64)
    turns = np.exp(-2j * np.pi * TONE_HZ * np.arange(len(inner)) / SAMPLE_RATE)
    return float(2 * abs(np.mean(inner * turns)))


def name_of(value: object) -> str | None:
    if isinstance(value, Coding):
        return f"{value.codec}-{value.container}-{value.rate}-{value.bit_rate or ''}"
    return f"{value}ch" if isinstance(value, int) else None


@pytest.mark.parametrize(("coding", "n_channels"), LOSSLESS, ids=name_of)
def test_lossless_tone_is_kept(coding, n_channels, tmp_path):
    path = tmp_path / f"tone{coding.suffix}"
    path.write_bytes(encode(tone(DURATION_S, coding.rate, n_channels), coding))
    audio = decode(path)
    assert audio.samples.dtype == np.float32
    assert audio.samples.ndim == 1
    assert audio.duration_s == len(audio.samples) / SAMPLE_RATE == DURATION_S
    assert audio.warnings == ()
    ideal = 0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(len(audio.samples)) / SAMPLE_RATE)
    quantum = 1 / 128 if coding.codec == "pcm_u8" else 1e-3
    inner = slice(SAMPLE_RATE // 10, -SAMPLE_RATE // 10)
    assert np.abs(audio.samples - ideal)[inner].max() < quantum
    assert amplitude(audio.samples) == pytest.approx(0.5, abs=quantum)


@pytest.mark.parametrize(("coding", "n_channels"), LOSSY, ids=name_of)
def test_lossy_tone_is_kept(coding, n_channels, tmp_path):
    path = tmp_path / f"tone{coding.suffix}"
    path.write_bytes(encode(tone(DURATION_S, coding.rate, n_channels), coding))
    audio = decode(path)
    assert audio.duration_s == pytest.approx(DURATION_S, abs=0.1)
    assert audio.warnings == ()
    assert amplitude(audio.samples) == pytest.approx(0.5, abs=0.03)  # LAME turns everything down by 5 %


@pytest.mark.parametrize(
    "coding",
    [
        Coding("aac", "mp4", bit_rate=96_000),
        Coding("aac", "matroska", bit_rate=96_000),
        Coding("aac", "mpegts", bit_rate=96_000),
        Coding("libmp3lame", "matroska", bit_rate=96_000),
    ],
    ids=name_of,
)
def test_video_gives_its_sound(coding, tmp_path):
    path = tmp_path / f"film{coding.suffix}"
    path.write_bytes(encode(tone(DURATION_S, coding.rate, 2), coding, with_video=True))
    audio = decode(path)
    assert audio.duration_s == pytest.approx(DURATION_S, abs=0.1)
    assert amplitude(audio.samples) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_sound_that_starts_late_in_a_video_keeps_its_time(container):
    coding = Coding("aac", container, bit_rate=96_000)
    audio = decode(encode(tone(DURATION_S, n_channels=2), coding, with_video=True, delay_s=1.5))
    assert audio.duration_s == pytest.approx(DURATION_S + 1.5, abs=0.1)
    assert np.abs(audio.samples[: int(1.4 * SAMPLE_RATE)]).max() < 1e-6
    assert np.abs(audio.samples[int(1.6 * SAMPLE_RATE) : int(1.7 * SAMPLE_RATE)]).max() == pytest.approx(0.5, abs=0.03)
    assert audio.warnings == ()


@pytest.mark.parametrize("channel", range(6))
def test_every_channel_of_surround_but_the_bass_is_heard(channel):
    samples = np.zeros((6, 48_000), np.float32)
    samples[channel] = tone(1, 48_000)[0]
    audio = decode(encode(samples, Coding("pcm_s16le", "wav", rate=48_000)))
    if channel == 3:  # the bass channel, left out by the standard mix
        assert np.abs(audio.samples).max() < 1e-3
    else:
        assert amplitude(audio.samples) > 0.05


def test_stereo_is_mixed_by_the_mean():
    samples = np.concatenate([tone(1), np.zeros((1, 44_100), np.float32)])
    assert amplitude(decode(encode(samples, WAV)).samples) == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize("n_channels", [3, 8, 12, 64])
def test_unusual_channel_counts(n_channels):
    data = plain_wav(np.repeat(tone(1, 16_000), n_channels, axis=0), 16_000)
    assert amplitude(decode(data).samples) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("rate", [7_350, 12_345, 96_000, 192_000])
def test_unusual_rates(rate):
    audio = decode(plain_wav(tone(1, rate), rate))
    assert audio.duration_s == 1.0
    assert amplitude(audio.samples) == pytest.approx(0.5, abs=1e-3)


def test_samples_stay_finite_and_within_full_scale():
    samples = tone(1, 16_000) * 100
    samples[0, 4_000:4_003] = np.nan, np.inf, -np.inf
    audio = decode(encode(samples, Coding("pcm_f32le", "wav", rate=16_000)))
    assert np.isfinite(audio.samples).all()
    assert np.abs(audio.samples).max() == 1.0


def test_cover_art_and_unreadable_tags_do_no_harm():
    picture = b"\0image/jpeg\0\3\0" + bytes(1_500_000)
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
    title = b"TIT2" + (5).to_bytes(4, "big") + b"\0\0" + b"\3\xff\xfe\xe9\x80"
    n_bytes = len(frame) + len(title)
    size = bytes((n_bytes >> shift) & 127 for shift in (21, 14, 7, 0))
    audio = decode(b"ID3\3\0\0" + size + title + frame + encode(tone(1), MP3))
    assert audio.duration_s == pytest.approx(1.0, abs=0.1)


def test_the_sample_format_may_change_on_the_way():
    data = encode(tone(1, 44_100, 2), AAC) + encode(tone(1, 22_050, 1), Coding("aac", "adts", rate=22_050))
    audio = decode(data)
    assert audio.duration_s == pytest.approx(2.0, abs=0.2)
    assert amplitude(audio.samples[:SAMPLE_RATE]) == pytest.approx(0.5, abs=0.05)
    assert amplitude(audio.samples[-SAMPLE_RATE:]) == pytest.approx(0.5, abs=0.05)


def test_a_wav_that_was_written_into_a_pipe_gives_no_warning():
    data = bytearray(plain_wav(tone(1, 16_000), 16_000))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    audio = decode(io.BytesIO(bytes(data)))
    assert audio.duration_s == 1.0
    assert audio.warnings == ()
