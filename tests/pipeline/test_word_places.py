"""Words in audio time: the promises of `Word` for any attention, any spans, and the demo checkpoint end to end."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw import DecodeOptions, TranscribeOptions, VadOptions
from ifw.constants import SAMPLE_RATE
from ifw.engine.words import WindowWord
from ifw.pipeline.words import place_words
from ifw.speech.layout import make_window, stretches_of
from ifw.speech.spans import FoundSpan

WORDS = TranscribeOptions(decode=DecodeOptions(word_timestamps=True))


def window_of(*seconds):
    spans = [FoundSpan(*(round(s * SAMPLE_RATE) for s in (start, stop, start, stop))) for start, stop in seconds]
    return make_window(0, spans, [np.zeros(stop - start, np.float32) for start, stop in stretches_of(spans)])


def heard(*times):
    return [WindowWord(f" w{index}", start_s, end_s, 0.5) for index, (start_s, end_s) in enumerate(times)]


def times_of(words):
    return [(word.start_s, word.end_s) for word in words]


@st.composite
def windows(draw):
    seconds, place = [], 0.0
    for _ in range(draw(st.integers(1, 5))):
        start = place + draw(st.sampled_from([0.0, 0.1, 1.5, 40.0]))
        place = start + draw(st.floats(0.004, 4.0))
        seconds.append((start, place))
    return window_of(*seconds)


@settings(deadline=None, max_examples=300)
@given(windows(), st.lists(st.lists(st.floats(0, 32), max_size=8), max_size=4), st.data())
def test_words_keep_their_promises_whatever_the_attention_says(window, steps, data):
    edges = sorted(time for segment in steps for time in segment)
    segments, first = [], 0
    for segment in steps:  # as time_words hands them out: in order, without overlap, some without length
        chosen = edges[first : first + len(segment)]
        following = [*edges, 32.0][first + 1 : first + 1 + len(segment)]
        ends = [data.draw(st.sampled_from(pair)) for pair in zip(chosen, following, strict=True)]
        segments.append(heard(*zip(chosen, ends, strict=True)))
        first += len(segment)
    placed = place_words(segments, window)
    assert [[word.text for word in words] for words in placed] == [[word.text for word in s] for s in segments]
    words = [word for words in placed for word in words]
    assert all(word.end_s > word.start_s for word in words)
    assert all(after.start_s >= before.end_s for before, after in pairwise(words))
    for word in words:
        assert any(s.start_s - 1e-9 <= word.start_s and word.end_s <= s.end_s + 1e-9 for s in window.spans)


@pytest.mark.parametrize(
    ("in_window", "in_audio"),
    [
        ([(0.5, 1.0), (1.0, 1.5)], [(10.5, 11.0), (11.0, 11.5)]),
        ([(0.5, 3.8)], [(10.5, 12.0)]),  # stretched over the silence behind its span
        ([(1.9, 5.0)], [(20.0, 21.0)]),  # most of it lies in the second span
        ([(2.1, 2.6)], [(11.98, 12.0)]),  # nothing but silence: at the nearest speech
        ([(3.4, 3.9)], [(20.0, 20.02)]),
        ([(4.5, 4.6), (1.0, 1.5)], [(20.5, 20.6), (20.6, 20.62)]),  # never back in time
        ([(1.0, 1.0), (1.0, 1.0), (1.0, 1.5)], [(11.0, 11.02), (11.02, 11.04), (11.04, 11.5)]),
        ([(6.9, 7.0), (7.0, 7.0), (7.0, 7.0)], [(22.9, 22.96), (22.96, 22.98), (22.98, 23.0)]),
    ],
)
def test_words_stay_in_their_speech(in_window, in_audio):
    (placed,) = place_words([heard(*in_window)], window_of((10, 12), (20, 23)))
    assert np.array(times_of(placed)) == pytest.approx(np.array(in_audio))


def test_a_span_that_is_too_short_is_shared_equally():
    (placed,) = place_words([heard(*[(0.0, 0.0)] * 4)], window_of((1.0, 1.04)))
    assert np.array(times_of(placed)) == pytest.approx(np.array([(1 + 0.01 * k, 1.01 + 0.01 * k) for k in range(4)]))


def assert_sound(transcript, spans=None):
    words = [word for segment in transcript.segments for word in segment.words]
    for segment in transcript.segments:
        assert "".join(word.text for word in segment.words).strip() == segment.text
        assert (segment.start_s, segment.end_s) == (segment.words[0].start_s, segment.words[-1].end_s)
        assert all(0.0 <= word.probability <= 1.0 for word in segment.words)
    assert all(word.end_s > word.start_s for word in words)
    assert all(after.start_s >= before.end_s for before, after in pairwise(words))
    assert words[-1].end_s <= transcript.duration_s


def test_the_words_of_the_sample_are_where_they_are_spoken(transcriber, sample, reference):
    transcript = transcriber.transcribe(sample, WORDS)
    assert_sound(transcript)
    plain = transcriber.transcribe(sample)
    assert transcript.text == plain.text
    assert all(segment.words is None for segment in plain.segments)
    words = [word for segment in transcript.segments for word in segment.words]
    for said in reference["segments"][:20]:
        first = min(words, key=lambda word: abs(word.start_s - said["start_s"]))
        assert abs(first.start_s - said["start_s"]) <= 0.5
    ends = [
        min(abs(segment.end_s - said["end_s"]) for segment in transcript.segments) for said in reference["segments"]
    ]
    assert np.median(ends) < 0.04, "last words last until the timestamps"


@pytest.mark.parametrize(
    "options",
    [
        replace(WORDS, vad=VadOptions(enabled=False)),
        TranscribeOptions(decode=DecodeOptions(word_timestamps=True, timestamps=False)),
    ],
)
def test_words_without_voice_detection_and_without_timestamps(transcriber, sample, options):
    assert_sound(transcriber.transcribe(sample, options))
