from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw.speech.layout import make_window, n_samples_of, stretches_of
from ifw.speech.spans import FoundSpan

RATE = 16_000


def window_of(spans):
    """A window whose samples hold their own place in the audio where they are speech."""
    return make_window(0, spans, [np.arange(*stretch, dtype=np.float32) for stretch in stretches_of(spans)])


def spans_of(*seconds):
    return [FoundSpan(*(round(s * RATE) for s in (start, stop, start, stop))) for start, stop in seconds]


@st.composite
def span_lists(draw):
    spans, place = [], 0
    for _ in range(draw(st.integers(1, 6))):
        start = place + draw(st.one_of(st.integers(0, 3 * RATE), st.integers(0, 90 * RATE)))
        place = start + draw(st.integers(1, 4 * RATE))
        spans.append(FoundSpan(start, place, start, place))
    return spans


@settings(deadline=None)
@given(span_lists(), st.data())
def test_times_lead_back_to_the_sample(spans, data):
    window = window_of(spans)
    places = np.concatenate([np.arange(*stretch) for stretch in stretches_of(spans)])
    place = data.draw(st.integers(0, len(window.samples) - 1))
    assert window.to_audio_time(place / RATE) == places[place] / RATE
    assert window.to_audio_time((place + 1) / RATE, is_end=True) == (places[place] + 1) / RATE


@settings(deadline=None)
@given(span_lists(), st.lists(st.floats(-5, 40), min_size=2, max_size=20))
def test_times_are_monotone_and_stay_in_the_pieces(spans, times):
    window = window_of(spans)
    for is_end in (False, True):
        mapped = [window.to_audio_time(time, is_end=is_end) for time in sorted(times)]
        assert mapped == sorted(mapped)
        assert all(window.start_s <= time <= window.end_s for time in mapped)
    for time in times:
        assert window.to_audio_time(time, is_end=True) <= window.to_audio_time(time)


@settings(deadline=None)
@given(span_lists())
def test_long_silence_is_shortened_to_two_seconds(spans):
    stretches = stretches_of(spans)
    silences = [after.start - before.stop for before, after in pairwise(spans)]
    assert len(stretches) == 1 + sum(silence > 2 * RATE for silence in silences)
    assert n_samples_of(spans) == sum(span.stop - span.start for span in spans) + sum(
        min(silence, 2 * RATE) for silence in silences
    )
    assert all(any(start <= span.start and span.stop <= stop for start, stop in stretches) for span in spans)


def test_a_joint_belongs_to_the_piece_before_for_ends_and_behind_for_starts():
    window = window_of(spans_of((10, 12), (20, 23)))
    assert [(piece.window_start_s, piece.audio_start_s, piece.duration_s) for piece in window.pieces] == [
        (0, 10, 3),
        (3, 19, 4),
    ]
    assert window.to_audio_time(3.0, is_end=True) == 13
    assert window.to_audio_time(3.0) == 19
    assert window.to_audio_time(150 * 0.02) == 19
    assert (window.start_s, window.end_s, window.duration_s) == (10, 23, 7)


@pytest.mark.parametrize("is_end", [False, True])
def test_times_outside_are_clamped(is_end):
    window = window_of(spans_of((10, 12), (20, 23)))
    assert window.to_audio_time(-1, is_end=is_end) == 10
    assert window.to_audio_time(30, is_end=is_end) == 23


@pytest.mark.parametrize(
    ("in_window", "in_audio"),
    [
        ((0.5, 1.5), (10.5, 11.5)),
        ((0.5, 2.8), (10.5, 12)),  # the end lies in the silence behind the span
        ((0.5, 3.6), (10.5, 12)),  # behind the joint, where speech has not begun again
        ((0.5, 4.0), (10.5, 12)),  # the end lies at the very start of a span
        ((2.4, 5.0), (20, 21)),  # the start lies in the silence before the next span
        ((2.0, 5.0), (20, 21)),  # the start lies at the very end of a span
        ((0.5, 5.0), (10.5, 21)),
        ((2.2, 3.5), (12.2, 19.5)),  # nothing but silence: as it is
        ((5.0, 4.0), (21, 21)),
        ((0.0, 7.0), (10, 23)),
    ],
)
def test_speech_does_not_stretch_over_silence(in_window, in_audio):
    assert window_of(spans_of((10, 12), (20, 23))).to_speech(*in_window) == in_audio


@settings(deadline=None)
@given(span_lists(), st.floats(-1, 40), st.floats(-1, 40))
def test_speech_times_are_in_order_and_in_the_window(spans, first, second):
    window = window_of(spans)
    start, end = window.to_speech(min(first, second), max(first, second))
    assert window.start_s <= start <= end <= window.end_s
