"""Last words that last until the timestamp behind them, and everything that holds them back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw.constants import SAMPLE_RATE
from ifw.engine.last_words import MAX_REACH_S, reach_ends
from ifw.engine.segments import WindowSegment
from ifw.engine.words import WindowWord


def sound(duration_s, *loud, speech=0.1, noise=1e-4):
    """Noise with speech between the times."""
    samples = np.random.default_rng(0).standard_normal(round(duration_s * SAMPLE_RATE)) * noise
    for start_s, end_s in loud:
        begin, end = round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE)
        samples[begin:end] += speech * np.sin(np.arange(end - begin))
    return samples.astype(np.float32)


def segment(start_s, end_s):
    return WindowSegment(start_s, end_s, (1, 2), "one two")


def words(*edges):
    return [WindowWord(" w", start_s, end_s, 0.5) for start_s, end_s in edges]


def ends(segments, found, samples):
    return [of_segment[-1].end_s for of_segment in reach_ends(segments, found, samples)]


HEARD = [words((0.0, 1.0), (1.0, 1.6))]


def test_a_word_that_ends_early_lasts_until_its_timestamp():
    assert ends([segment(0.0, 2.0)], HEARD, sound(5, (0, 2))) == pytest.approx([2.0])


def test_nothing_else_changes():
    (changed,) = reach_ends([segment(0.0, 2.0)], HEARD, sound(5, (0, 2)))
    assert changed[:1] == HEARD[0][:1]
    assert changed[1]._replace(end_s=1.6) == HEARD[0][1]
    assert HEARD[0][1].end_s == 1.6, "the words that came in are as they were"


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3])
def test_it_lasts_no_longer_than_what_is_heard(noise):
    assert ends([segment(0.0, 2.2)], HEARD, sound(5, (0, 1.8), noise=noise)) == pytest.approx([1.8], abs=0.021)


def test_noise_beside_digital_silence_is_not_speech():
    samples = sound(5, (0, 1.8), noise=1e-3)
    samples[3 * SAMPLE_RATE :] = 0.0
    assert ends([segment(0.0, 2.2)], HEARD, samples) == pytest.approx([1.8], abs=0.021)


def test_in_silence_it_ends_where_attention_has_it():
    assert ends([segment(0.0, 2.2)], HEARD, sound(5, (0, 1.5))) == [1.6]


def test_a_pause_inside_the_word_does_not_end_it():
    assert ends([segment(0.0, 2.2)], HEARD, sound(5, (0, 1.7), (1.9, 2.2))) == pytest.approx([2.2], abs=0.021)


def test_a_timestamp_that_is_too_far_away_is_not_believed():
    assert ends([segment(0.0, 2.6)], HEARD, sound(5, (0, 5))) == pytest.approx([2.6])
    assert ends([segment(0.0, 2.62)], HEARD, sound(5, (0, 5))) == [1.6]


def test_a_timestamp_where_the_next_segment_starts_says_nothing():
    found = [*HEARD, words((2.5, 3.0))]
    loud = sound(5, (0, 5))
    assert ends([segment(0.0, 2.0), segment(2.0, 3.0)], found, loud)[0] == 1.6
    assert ends([segment(0.0, 2.0), segment(2.02, 3.0)], found, loud)[0] == pytest.approx(2.0)


def test_neither_does_one_at_the_end_of_the_window():
    assert ends([segment(0.0, 2.0)], HEARD, sound(2, (0, 2))) == [1.6]
    assert ends([segment(0.0, 2.0)], HEARD, sound(2.02, (0, 2.02))) == pytest.approx([2.0])


def test_a_word_does_not_reach_into_the_next_one():
    found = [*HEARD, [], words((1.8, 3.0))]
    reached = reach_ends([segment(0.0, 2.0), segment(2.1, 2.2), segment(2.3, 3.0)], found, sound(5, (0, 5)))
    assert reached[0][-1].end_s == 1.8


def test_ends_behind_the_timestamp_stay_where_they_are():
    assert ends([segment(0.0, 1.5)], HEARD, sound(5, (0, 5))) == [1.6]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(0, 10), min_size=4, max_size=24), st.floats(0.001, 10), st.data())
def test_order_is_kept_whatever_comes_in(times, duration_s, data):
    edges = sorted(min(time_s, duration_s) for time_s in times)
    n_segments = len(edges) // 4
    segments = [segment(edges[4 * k], edges[4 * k + 3]) for k in range(n_segments)]
    inner = sorted(data.draw(st.lists(st.floats(0, 10), min_size=2 * n_segments, max_size=2 * n_segments)))
    found = [words((inner[2 * k], inner[2 * k + 1])) if data.draw(st.booleans()) else [] for k in range(n_segments)]
    reached = reach_ends(segments, found, sound(duration_s, (0, duration_s / 2)))
    assert [len(of_segment) for of_segment in reached] == [len(of_segment) for of_segment in found]
    before = [word for of_segment in found for word in of_segment]
    after = [word for of_segment in reached for word in of_segment]
    assert all(new.start_s == old.start_s for new, old in zip(after, before, strict=True))
    assert all(old.end_s <= new.end_s <= old.end_s + MAX_REACH_S for new, old in zip(after, before, strict=True))
    assert all(first.end_s <= second.start_s for first, second in pairwise(after))
