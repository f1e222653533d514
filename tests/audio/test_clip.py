"""Stretches of a file are those of the whole, whatever the container; channels are those of the file."""

import numpy as np
import pytest
from recordings import (
    FLAC,
    M4A_WITHOUT_NOISE,
    MP3,
    MP3_WITHOUT_HEADER,
    OPUS,
    WAV,
    WEBM,
    chirps,
    damaged,
    encode,
    plain_wav,
)

from ifw.audio import decode, open_stream
from ifw.audio.clip import clipped_s
from ifw.config import AudioOptions
from ifw.errors import AudioStreamError, ConfigError

CLIP = ((0.5, 1.25), (3.3, 4.0), (7.1, None))


def stretches(samples):
    return np.concatenate([samples[8_000:20_000], samples[52_800:64_000], samples[113_600:]])


@pytest.mark.parametrize("coding", [MP3, MP3_WITHOUT_HEADER, OPUS, FLAC, WAV, WEBM, M4A_WITHOUT_NOISE], ids=str)
@pytest.mark.parametrize("channels", ["mix", "split"])
def test_stretches_are_those_of_the_whole(coding, channels):
    data = encode(chirps(9.7, coding.rate, 2, noise=0.01), coding)
    whole = decode(data, AudioOptions(channels=channels)).samples
    clipped = decode(data, AudioOptions(channels=channels, clip=CLIP))
    assert np.array_equal(clipped.samples, stretches(whole))
    assert clipped.warnings == ()


def test_stretches_of_a_damaged_file_are_decoded_from_its_start():
    """Lost packets make timestamps jump, so that no seek can be trusted."""
    data = damaged(encode(chirps(9.7, noise=0.01), MP3))
    whole = decode(data).samples
    assert np.array_equal(decode(data, AudioOptions(clip=CLIP)).samples, stretches(whole))


def test_stretches_close_to_the_start():
    data = encode(chirps(4.0), FLAC)
    whole = decode(data).samples
    clip = ((0.0, 0.1), (0.2, 0.3), (0.9, 1.0), (1.0, 2.5))
    expected = np.concatenate([whole[round(a * 16_000) : round(b * 16_000)] for a, b in clip])
    assert np.array_equal(decode(data, AudioOptions(clip=clip)).samples, expected)


@pytest.mark.parametrize(
    ("clip", "n_samples", "message"),
    [
        (((8.0, 12.0),), 27_200, "the audio ends at 9.7 s, inside of the clip 8-12 (seconds)"),
        (((1.0, 2.0), (20.0, 30.0)), 16_000, "the audio ends before the clip 20-30 (seconds)"),
        (((1.0, 1.00001), (20.0, None)), 0, "the audio ends before the clip 20- (seconds)"),
        (((20.0, None),), 0, "the audio ends before the clip 20- (seconds)"),
    ],
)
def test_what_lies_past_the_end_is_a_warning(clip, n_samples, message):
    audio = decode(encode(chirps(9.7), WAV), AudioOptions(clip=clip))
    assert len(audio.samples) == n_samples
    assert [(warning.code, warning.message) for warning in audio.warnings] == [("clip_past_end", message)]


def test_the_length_of_a_clip_is_known_before_it_is_decoded():
    with open_stream(encode(chirps(9.7), WAV), AudioOptions(clip=CLIP)) as stream:
        assert stream.duration_s == pytest.approx(0.75 + 0.7 + 2.6)
    assert [clipped_s(CLIP, time_s) for time_s in (0.0, 1.0, 2.0, 4.0, 8.1)] == pytest.approx(
        [0.0, 0.5, 0.75, 1.45, 2.45]
    )
    assert clipped_s((), 5.0) == 5.0


@pytest.mark.parametrize(
    "clip",
    [
        ((2.0, 1.0),),
        ((1.0, 1.0),),
        ((0.0, 2.0), (1.0, 3.0)),
        ((3.0, 4.0), (1.0, 2.0)),
        ((1.0, None), (5.0, 6.0)),
        ((-1.0, 2.0),),
    ],
)
def test_stretches_that_overlap_or_run_backwards_are_refused(clip):
    with pytest.raises(ConfigError, match="clip: got"):
        AudioOptions(clip=clip)


@pytest.mark.parametrize("coding", [FLAC, WAV], ids=str)
def test_channels_stay_apart(coding):
    samples = np.stack([chirps(2.0)[0], -0.5 * chirps(2.0)[0]])
    split = decode(encode(samples, coding), AudioOptions(channels="split")).samples
    mono = [decode(encode(samples[c : c + 1], coding)).samples for c in range(2)]
    assert split.shape == (32_000, 2)
    assert np.allclose(split, np.stack(mono, axis=1), atol=1e-4)


def test_eight_channels_are_the_most():
    with open_stream(plain_wav(chirps(1.0, n_channels=8) * 0.5, 44_100), AudioOptions(channels="split")) as stream:
        assert stream.n_channels == 8
    with pytest.raises(AudioStreamError, match=r"channels: the audio has 9, allowed with 'split': 1 to 8; use 'mix'"):
        decode(plain_wav(chirps(1.0, n_channels=9) * 0.1, 44_100), AudioOptions(channels="split"))
