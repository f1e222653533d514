import numpy as np
import pytest

from ifw.speech.cuts import best_pause, cut_score, quietest_point

WINDOW = 480_000


def test_a_longer_pause_is_worth_some_of_the_window():
    assert cut_score(16_000, 48_000, WINDOW) > cut_score(4_000, 0, WINDOW)
    assert cut_score(16_000, 160_000, WINDOW) < cut_score(4_000, 0, WINDOW)
    assert cut_score(90_000, 10, WINDOW) < cut_score(16_000, 0, WINDOW)


def frames(*runs):
    return np.array([p for p, n in runs for _ in range(n)], np.float32)


@pytest.mark.parametrize(
    ("probabilities", "pause"),
    [
        (frames((0.9, 50), (0.1, 10), (0.9, 50)), (50, 60)),
        (frames((0.9, 50), (0.1, 2), (0.9, 50)), None),  # too short for a pause
        (frames((0.9, 50), (0.3, 10), (0.9, 50)), None),  # above offset
        (frames((0.9, 30), (0.1, 20), (0.9, 20), (0.1, 4), (0.9, 20)), (30, 50)),  # the longer one
        (frames((0.9, 10), (0.1, 6), (0.9, 90), (0.1, 5), (0.9, 5)), (106, 111)),  # the later one
        (frames((0.1, 5), (0.9, 5), (0.1, 9)), (10, 19)),
        (frames((0.9, 5)), None),
        (frames(), None),
    ],
)
def test_best_pause(probabilities, pause):
    assert best_pause(probabilities, 0.25, WINDOW) == pause


@pytest.mark.parametrize("quiet_at", [0, 1_000, 12_345, 30_000])
def test_quietest_point_lies_in_the_quiet(quiet_at):
    samples = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    samples[quiet_at : quiet_at + 1_200] *= 0.01
    assert quiet_at < quietest_point(samples) < quiet_at + 1_200


@pytest.mark.parametrize("n_samples", [160, 161, 512, 5_000, 80_000])
def test_equal_quiet_is_cut_late_but_inside(n_samples):
    point = quietest_point(np.zeros(n_samples, np.float32))
    assert max(0, n_samples - 800) < point < n_samples
