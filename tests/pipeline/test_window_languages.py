"""Which language each window gets, with detections that are given instead of heard."""

import weakref
from concurrent.futures import Future
from dataclasses import dataclass

import pytest

from ifw.pipeline.language import LanguageVote
from ifw.pipeline.window_languages import MAX_AHEAD, MAX_VOTES, WindowLanguages
from ifw.types import SpeechSpan


@dataclass
class Window:
    index: int
    shares: dict
    spans: tuple


@dataclass
class Detection:
    probabilities: dict
    encoded: str
    no_speech_prob: float = 0.0

    @property
    def language(self):
        return max(self.probabilities, key=lambda code: self.probabilities[code])

    @property
    def probability(self):
        return self.probabilities[self.language]


class Detector:
    """Answers at once, or where `is_late` only when somebody waits."""

    def __init__(self, *, is_late=False):
        self.is_late = is_late
        self.asked = []

    def __call__(self, window):
        self.asked.append(window.index)
        future = LateFuture() if self.is_late else Future()
        future.set_result(Detection(window.shares, encoded=f"window {window.index}"))
        return future


class LateFuture(Future):
    def done(self):
        return False


def windows(*shares, speech_s=10.0):
    for index, probabilities in enumerate(shares):
        yield Window(index, probabilities, (SpeechSpan(0.0, speech_s),))


ENGLISH, GERMAN = {"en": 0.9, "de": 0.1}, {"en": 0.2, "de": 0.8}
UNSURE = {"en": 0.3, "de": 0.31, "es": 0.39}


def languages_of(assigned):
    return [item.language for item in assigned]


def test_a_language_that_is_given_asks_nobody():
    detect = Detector()
    languages = WindowLanguages(detect, "es", each=False)
    assigned = list(languages.assign(windows(ENGLISH, GERMAN)))
    assert languages_of(assigned) == ["es", "es"]
    assert [item.encoded for item in assigned] == [None, None]
    assert (detect.asked, languages.result()) == ([], LanguageVote("es", 1.0))


def test_the_first_windows_decide_for_all_and_are_not_encoded_again():
    detect = Detector()
    languages = WindowLanguages(detect, None, each=False)
    assigned = list(languages.assign(windows(ENGLISH, GERMAN, GERMAN, ENGLISH, ENGLISH)))
    assert languages_of(assigned) == ["de"] * 5
    assert [item.encoded for item in assigned] == ["window 0", "window 1", "window 2", None, None]
    assert detect.asked == [0, 1, 2]
    assert languages.result().probability == pytest.approx((0.1 + 0.8 + 0.8) / 3)
    assert list(languages.result().probabilities) == ["de", "en"]


@pytest.mark.parametrize("is_late", [False, True])
def test_each_window_decides_by_itself(is_late):
    languages = WindowLanguages(Detector(is_late=is_late), None, each=True)
    shares = [ENGLISH, GERMAN, ENGLISH, GERMAN, GERMAN] * 3
    assigned = list(languages.assign(windows(*shares)))
    assert languages_of(assigned) == ["en", "de", "en", "de", "de"] * 3
    assert [item.encoded for item in assigned] == [f"window {index}" for index in range(15)]
    assert [item.window.index for item in assigned] == list(range(15))


def test_an_unsure_window_gets_what_the_windows_so_far_vote_for():
    languages = WindowLanguages(Detector(), None, each=True)
    shares = [UNSURE, ENGLISH, ENGLISH, UNSURE, GERMAN, GERMAN, GERMAN, GERMAN, UNSURE]
    assert languages_of(languages.assign(windows(*shares))) == ["en"] * 4 + ["de"] * 5


def test_an_unsure_window_gets_the_language_that_was_given():
    languages = WindowLanguages(Detector(), "fr", each=True)
    assert languages_of(languages.assign(windows(UNSURE, ENGLISH, UNSURE, GERMAN, UNSURE))) == [
        "fr",
        "en",
        "fr",
        "de",
        "fr",
    ]


def test_the_language_of_the_file_is_that_of_most_speech_with_text():
    languages = WindowLanguages(Detector(), None, each=True)
    assigned = list(languages.assign(windows(GERMAN, GERMAN, ENGLISH)))
    assert languages.result().language == "de"
    languages.heard(assigned[0].window, "de")
    languages.heard(assigned[2].window, "en")
    languages.heard(Window(3, {}, (SpeechSpan(0.0, 1.0),)), "en")
    assert languages.result().language == "en"
    assert languages.result().probability == pytest.approx((0.2 + 0.2 + 0.9) / 3)


def test_few_windows_are_read_ahead_however_long_the_file_is():
    """What is ahead holds its samples and its encoding, and the first text waits for nothing but the vote."""
    detect = Detector(is_late=True)
    assigned = WindowLanguages(detect, None, each=True).assign(windows(*[ENGLISH] * 100))
    for index in range(50):
        assert next(assigned).window.index == index
        assert len(detect.asked) <= index + MAX_AHEAD
    prompt = Detector()
    assigned = WindowLanguages(prompt, None, each=True).assign(windows(*[ENGLISH] * 100))
    for _ in range(MAX_VOTES + 1):
        next(assigned)
    assert len(prompt.asked) == MAX_VOTES + 1


def test_silence_is_english_with_probability_zero():
    for each in (False, True):
        languages = WindowLanguages(Detector(), None, each=each)
        assert list(languages.assign(windows())) == []
        assert languages.result() == LanguageVote("en", 0.0)


@pytest.mark.parametrize("each", [False, True])
def test_windows_that_have_left_are_not_kept(each):
    left, n_kept = [], []
    for item in WindowLanguages(Detector(), None, each=each).assign(windows(*[ENGLISH] * 6)):
        n_kept.append(sum(window() is not None for window in left))
        left.append(weakref.ref(item.window))
        del item
    assert n_kept[-1] == 0
