"""Who is known: the most alike first, nobody twice; and the embedding of a clip."""

import numpy as np
import pytest
import random_models
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from random_models import RATE

from ifw.diarize.known_speakers import MIN_SIMILARITY, recognise, similarity
from ifw.errors import ShapeError

VOICES = arrays(np.float32, 4, elements=st.floats(-4, 4, width=32))
NAMED = st.dictionaries(st.sampled_from("abcdef"), VOICES, max_size=6)


def test_each_speaker_gets_the_name_that_is_most_like_it():
    voices = {"SPEAKER_00": (1.0, 0.1, 0.0), "SPEAKER_01": (0.0, 2.0, 0.1), "SPEAKER_02": (0.0, 0.0, 1.0)}
    known = {"Ann": (0.0, 9.0, 0.0), "Bob": (5.0, 0.0, 0.0)}
    assert recognise(voices, known) == {"SPEAKER_00": "Bob", "SPEAKER_01": "Ann"}


def test_nobody_is_found_twice_and_the_second_best_may_do():
    voices = {"SPEAKER_00": (1.0, 0.0), "SPEAKER_01": (0.9, 0.1)}
    assert recognise(voices, {"Ann": (1.0, 0.0)}) == {"SPEAKER_00": "Ann"}
    assert recognise(voices, {"Ann": (0.9, 0.1)}) == {"SPEAKER_01": "Ann"}
    known = {"Ann": (1.0, 0.0), "Bob": (0.8, 0.3)}
    assert recognise(voices, known) == {"SPEAKER_00": "Ann", "SPEAKER_01": "Bob"}


def test_who_is_not_alike_enough_is_not_known():
    voices = {"SPEAKER_00": (1.0, 0.0)}
    assert recognise(voices, {"Ann": (0.0, 1.0)}) == {}
    assert recognise(voices, {"Ann": (1.0, 1.0)}, 0.7) == {"SPEAKER_00": "Ann"}
    assert recognise(voices, {"Ann": (1.0, 1.0)}, 0.71) == {}
    assert recognise(voices, {}) == recognise({}, {"Ann": (1.0,)}) == {}


def test_silence_is_like_nobody():
    assert recognise({"SPEAKER_00": (0.0, 0.0)}, {"Ann": (0.0, 0.0)}, -1) == {}


@given(NAMED, NAMED, st.floats(-1, 1))
def test_names_are_given_one_to_one_and_none_is_left_that_fits(voices, known, least):
    found = recognise(voices, known, least)
    assert len(set(found.values())) == len(found)
    assert all(similarity(voices[label], known[name]) >= least for label, name in found.items())
    for label in voices.keys() - found.keys():
        for name in known.keys() - set(found.values()):
            assert similarity(voices[label], known[name]) < least
    for label, name in found.items():  # whoever else would fit better has somebody who fits better still
        for other in voices:
            if similarity(voices[other], known[name]) > similarity(voices[label], known[name]):
                assert similarity(voices[other], known[found[other]]) >= similarity(voices[other], known[name])


@given(VOICES, VOICES, st.floats(0.01, 100))
def test_only_directions_matter(one, other, factor):
    alike = similarity(one, other)
    assert alike == similarity(other, one)
    if np.isfinite(alike):
        assert -1.0001 <= alike <= 1.0001
        assert similarity(one.astype(float) * factor, other) == pytest.approx(alike, abs=1e-6)
        assert similarity(one, one) == pytest.approx(1)


def test_a_clip_is_like_the_speaker_of_the_recording(diarizer):
    """Random weights, but the same ones: a clip of a voice is most like itself, however long it is."""
    samples = random_models.conversation()
    whole = diarizer.embed(samples[9 * RATE : 19 * RATE])
    assert (whole.shape, whole.dtype) == ((256,), np.float32)
    assert similarity(whole, diarizer.embed(samples[9 * RATE : 19 * RATE + 5])) == pytest.approx(1, abs=1e-5)
    assert similarity(whole, diarizer.embed(samples[: 10 * RATE])) < 0.999


def test_a_short_clip_is_repeated_and_a_long_one_is_an_average(diarizer):
    voice = random_models.voice(5 * RATE, 0, 5)
    twice = np.concatenate([voice, voice])
    assert np.allclose(diarizer.embed(voice), diarizer.embed(twice), atol=1e-5)
    assert np.allclose(diarizer.embed(np.concatenate([twice, twice])), diarizer.embed(twice), atol=1e-5)
    other = random_models.voice(10 * RATE, 1, 6)
    mixed = diarizer.embed(np.concatenate([twice, other]))
    pure = diarizer.embed(other)
    assert similarity(mixed, pure) < 0.9999
    assert similarity(mixed, pure) > similarity(diarizer.embed(twice), pure)


@pytest.mark.parametrize("n_samples", [0, 1, 399, 400])
def test_very_short_clips(diarizer, n_samples):
    voice = diarizer.embed(random_models.voice(RATE, 0, 5)[:n_samples])
    assert voice.shape == (256,)
    assert np.isfinite(voice).all()


def test_what_is_no_recording_is_refused(diarizer):
    for wrong in (np.zeros((2, 100), np.float32), np.zeros(100)):
        with pytest.raises(ShapeError, match=r"allowed: float32 of shape \[n\]"):
            diarizer.embed(wrong)


def test_min_similarity_tells_most_voices_apart():
    assert 0 < MIN_SIMILARITY < 1
