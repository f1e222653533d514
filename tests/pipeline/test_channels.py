"""Stretches and channels from the file to the transcript: times of the whole audio, one speaker a channel, in order."""

import dataclasses

import av
import numpy as np
import pytest

from ifw import AudioOptions, DecodeOptions, TranscribeOptions, VadOptions
from ifw.audio import decode
from ifw.pipeline.channels import ChannelContexts, ChannelPacker, TimeOrder
from ifw.speech.packer import WindowPacker
from ifw.speech.windows import Piece, Window
from ifw.types import Segment

RATE = 16_000


@pytest.fixture(scope="module")
def speech(sample):
    return decode(sample).samples[: 16 * RATE]


@pytest.fixture(scope="module")
def make_stereo(tmp_path_factory):
    def make(*channels):
        path = tmp_path_factory.mktemp("stereo") / "talk.wav"
        layout = {1: "mono", 2: "stereo"}[len(channels)]
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=RATE, layout=layout)
            data = (np.stack(channels, axis=1) * 32_767).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout=layout)
            frame.sample_rate = RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


def options(**audio):
    return TranscribeOptions(
        decode=DecodeOptions(language="en", word_timestamps=True),
        vad=VadOptions(max_window_s=4.0),
        audio=AudioOptions(**audio),
    )


def said(transcript, speaker=None):
    return [(item.text, round(item.start_s, 1)) for item in transcript.segments if item.speaker == speaker]


def test_two_channels_are_two_speakers_in_order(transcriber, speech, make_stereo):
    late = np.concatenate([np.zeros(6 * RATE, np.float32), speech[: 10 * RATE]])
    path = make_stereo(speech, late)
    streamed = list(transcriber.stream(path, options(channels="split")))
    transcript = transcriber.transcribe(path, options(channels="split", block_s=3.0))
    assert [item.text for item in streamed] == [item.text for item in transcript.segments]
    starts = [item.start_s for item in transcript.segments]
    assert starts == sorted(starts)
    assert [item.id for item in transcript.segments] == list(range(len(starts)))
    assert {word.speaker for item in transcript.segments for word in item.words or ()} == {"channel 1", "channel 2"}
    first = transcriber.transcribe(make_stereo(speech), options())
    second = transcriber.transcribe(make_stereo(late), options())
    assert said(transcript, "channel 1") == said(first)
    assert said(transcript, "channel 2") == said(second)
    assert transcript.warnings == ()


def test_mono_can_be_split(transcriber, speech, make_stereo):
    path = make_stereo(speech[: 6 * RATE])
    split = transcriber.transcribe(path, options(channels="split"))
    assert said(split, "channel 1") == said(transcriber.transcribe(path, options()))


def test_the_same_sound_twice_is_a_warning(transcriber, speech, make_stereo):
    transcript = transcriber.transcribe(make_stereo(speech[: 6 * RATE], speech[: 6 * RATE]), options(channels="split"))
    assert [warning.code for warning in transcript.warnings] == ["channels_identical"]
    assert said(transcript, "channel 1") == said(transcript, "channel 2")


def test_a_clip_has_the_times_of_the_whole_and_nothing_else(transcriber, speech, make_stereo):
    path = make_stereo(speech)
    whole = transcriber.transcribe(path, options())
    third, last = whole.segments[2], whole.segments[-1]
    clip = ((third.start_s - 0.3, third.end_s + 0.3), (last.start_s - 0.3, 20.0))
    progress = []
    clipped = transcriber.transcribe(path, options(clip=clip), on_progress=progress.append)
    assert [item.text for item in clipped.segments] == [third.text, last.text]
    for found, expected in zip(clipped.segments, (third, last), strict=True):
        assert found.start_s == pytest.approx(expected.start_s, abs=0.3)
        assert found.end_s == pytest.approx(expected.end_s, abs=0.3)
    assert [warning.code for warning in clipped.warnings] == ["clip_past_end"]
    assert clipped.duration_s == pytest.approx(clip[0][1] - clip[0][0] + 16.0 - clip[1][0], abs=0.01)
    assert all(item.done_s <= clipped.duration_s + 0.01 for item in progress)


def no_voice():
    return WindowPacker(VadOptions(enabled=False, max_window_s=4.0), None)


@pytest.mark.parametrize("n_block", [1_000, 16_000, 500_000])
def test_windows_do_not_depend_on_blocks_and_end_with_their_stretch(n_block):
    rng = np.random.default_rng(1)
    samples = rng.normal(0, 0.1, (20 * RATE, 2)).astype(np.float32)
    packer = ChannelPacker(no_voice, ((5.0, 11.0), (30.0, 44.0)), 2)
    windows = []
    for start in range(0, len(samples), n_block):
        windows += packer.feed(samples[start : start + n_block])
    windows += packer.finish()
    assert packer.settled_until_s == float("inf")
    for channel in (0, 1):
        mine = sorted((window for window in windows if window.channel == channel), key=lambda window: window.index)
        assert [window.index for window in mine] == [2 * n + channel for n in range(len(mine))]
        assert np.array_equal(np.concatenate([window.samples for window in mine]), samples[:, channel])
        assert mine[0].start_s == 5.0
        assert mine[-1].end_s == 44.0
        assert all(window.end_s <= 11.0 or window.start_s >= 30.0 for window in mine)


def window(index, start_s, channel):
    return Window(index, np.zeros(RATE, np.float32), (Piece(0.0, start_s, 1.0),), (), channel)


def segment(start_s):
    return Segment(0, start_s, start_s + 0.5, "x", (), "en", 0.0, 0.0, 1.0, 0.0)


def test_nothing_leaves_before_all_that_is_earlier():
    order = TimeOrder()
    windows = [window(0, 0.0, 0), window(1, 0.5, 1), window(2, 4.0, 0)]
    order.expect(windows, settled_until_s=6.0)
    assert [one.start_s for one in order.land(windows[0], [segment(0.1), segment(0.8)])] == [0.1]
    assert [one.start_s for one in order.land(windows[2], [segment(4.0), segment(4.9)])] == []
    assert order.final_s == 0.5
    assert [one.start_s for one in order.land(windows[1], [segment(0.6)])] == [0.6, 0.8, 4.0, 4.9]
    assert list(order.rest()) == []


def test_no_channel_is_given_the_words_of_another():
    contexts = ChannelContexts(object)
    left, first = contexts.of(window(0, 0.0, 0))
    right, also_first = contexts.of(window(1, 0.0, 1))
    again, later = contexts.of(window(3, 5.0, 1))
    assert left is not right
    assert again is right
    assert (first, also_first, bool(later)) == (0, 0, True)


def test_ends_are_never_unknown(transcriber, speech, make_stereo):
    """Complaint 17: a window whose text has no final timestamp ends where its speech does."""
    plain = dataclasses.replace(options(), decode=DecodeOptions(language="en", timestamps=False))
    for item in transcriber.transcribe(make_stereo(speech), plain).segments:
        assert item.start_s < item.end_s <= 16.0
