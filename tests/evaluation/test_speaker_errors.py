"""The diarization error rate, against numbers that pyannote.metrics 4.2.0 gave for the same turns.

To record them again, print in an environment with pyannote.metrics what
`DiarizationErrorRate(collar=collar_s)(reference, hypothesis, detailed=True)` says of the annotations made from `draw`.
"""

import numpy as np
import pytest

from ifw.evaluation.speaker_errors import SpeakerErrors, count_speaker_errors
from ifw.types import SpeakerTurn


def draw(seed, n_turns=14):
    """A reference with overlap and a hypothesis with errors of all sorts."""
    noise = np.random.RandomState(seed)
    reference, time_s = [], 0.0
    free_s = dict.fromkeys("abc", 0.0)
    for _ in range(n_turns):
        speaker = "abc"[noise.randint(3)]
        start_s = round(max(free_s[speaker] + 0.05, time_s + noise.uniform(-0.8, 0.9)), 2)
        end_s = round(start_s + noise.uniform(0.3, 3), 2)
        reference.append(SpeakerTurn(start_s, end_s, speaker))
        free_s[speaker] = end_s
        time_s = max(time_s, end_s)
    hypothesis = []
    for turn in reference:
        if noise.rand() < 0.1:
            continue
        label = "xyzw"["abc".index(turn.speaker) if noise.rand() < 0.8 else noise.randint(4)]
        start_s, end_s = (
            turn.start_s + round(noise.uniform(-0.3, 0.3), 2),
            turn.end_s + round(noise.uniform(-0.3, 0.3), 2),
        )
        start_s = max(start_s, max([other.end_s for other in hypothesis if other.speaker == label], default=0.0) + 0.01)
        if end_s > start_s:
            hypothesis.append(SpeakerTurn(start_s, end_s, label))
    return reference, hypothesis


RECORDED = [
    (0, 0.0, 23.180000, 5.560000, 0.860000, 0.000000),
    (1, 0.25, 16.480000, 3.460000, 0.610000, 0.000000),
    (2, 0.5, 13.710000, 0.630000, 0.000000, 4.770000),
    (3, 0.0, 23.140000, 1.930000, 1.060000, 0.430000),
    (4, 0.25, 16.020000, 5.950000, 0.230000, 2.875000),
    (5, 0.5, 9.470000, 1.950000, 0.020000, 1.790000),
    (6, 0.0, 23.710000, 1.760000, 1.960000, 1.390000),
    (7, 0.25, 17.940000, 0.455000, 0.495000, 3.720000),
]


@pytest.mark.parametrize("recorded", RECORDED)
def test_numbers_of_pyannote_metrics(recorded):
    seed, collar_s, *wanted = recorded
    errors = count_speaker_errors(*draw(seed), collar_s)
    got = (errors.total_s, errors.missed_s, errors.false_alarm_s, errors.confused_s)
    assert got == pytest.approx(tuple(wanted), abs=1e-6)


def turn(start_s, end_s, speaker):
    return SpeakerTurn(start_s, end_s, speaker)


def test_names_do_not_matter_but_sameness_does():
    reference = [turn(0, 2, "a"), turn(2, 4, "b"), turn(5, 6, "a")]
    assert count_speaker_errors(reference, [turn(0, 2, "b"), turn(2, 4, "a"), turn(5, 6, "b")]).rate == 0
    assert count_speaker_errors(reference, [turn(0, 6, "a")]) == SpeakerErrors(5, 0, 1, 2)


def test_nothing_found_and_nothing_there():
    assert count_speaker_errors([turn(1, 3, "a")], []) == SpeakerErrors(2, 2, 0, 0)
    assert count_speaker_errors([], [turn(1, 3, "a")]) == SpeakerErrors(0, 0, 2, 0)
    assert count_speaker_errors([], []).rate is None
    assert count_speaker_errors([], [turn(1, 3, "a")]).rate is None


def test_the_collar_forgives_what_is_close_to_a_boundary_only():
    reference = [turn(1, 3, "a")]
    assert count_speaker_errors(reference, [turn(1.1, 2.9, "a")], 0.25).rate == 0
    late = count_speaker_errors(reference, [turn(1.225, 3, "a")], 0.25)
    assert late.missed_s == pytest.approx(0.1)
    assert late.total_s == pytest.approx(1.75)


def test_of_two_who_speak_at_once_each_counts():
    errors = count_speaker_errors([turn(0, 4, "a"), turn(2, 3, "b")], [turn(0, 4, "x")])
    assert errors == SpeakerErrors(5, 1, 0, 0)
    assert errors.rate == pytest.approx(0.2)


def test_errors_of_files_add_up():
    assert SpeakerErrors(1, 2, 3, 4) + SpeakerErrors(10, 20, 30, 40) == SpeakerErrors(11, 22, 33, 44)
