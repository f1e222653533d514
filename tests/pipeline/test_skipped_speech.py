"""How much of the speech in a window its text leaves out."""

from dataclasses import dataclass, replace

import pytest
from made_hypotheses import NOTHING_ODD

from ifw.pipeline.skipped_speech import is_better, skipped_share
from ifw.types import SpeechSpan

BEGIN = 1000


class Tokenizer:
    eot = 500
    timestamp_begin = BEGIN

    def decode(self, token_ids):
        return "".join(map(chr, token_ids))


@dataclass
class Window:
    duration_s: float = 30.0
    spans: tuple = (SpeechSpan(0.0, 10.0), SpeechSpan(12.0, 20.0), SpeechSpan(25.0, 27.0))

    def to_speech(self, start_s, end_s):
        return start_s, end_s


def saying(*times, **fields):
    """One word for each pair of times."""
    token_ids = ()
    for start_s, end_s in times:
        token_ids += (BEGIN + round(start_s * 50), ord("a"), BEGIN + round(end_s * 50))
    return replace(NOTHING_ODD, token_ids=token_ids, **fields)


@pytest.mark.parametrize(
    ("times", "skipped_s"),
    [
        ([(0.0, 10.0), (12.0, 20.0), (25.0, 27.0)], 0.0),
        ([(0.9, 9.1), (12.9, 19.1), (25.9, 26.1)], 0.0),  # padding is no speech that is left out
        ([(0.0, 4.0), (4.9, 10.0), (12.0, 20.0), (25.0, 27.0)], 0.0),
        ([(0.0, 10.0), (12.0, 20.0)], 2.0),
        ([(0.0, 3.0)], 7.0 + 8.0 + 2.0),
        ([(2.0, 4.0), (6.0, 10.0), (12.0, 20.0), (25.0, 27.0)], 2.0 + 2.0),
        ([(5.0, 26.0)], 5.0),
        ([], 20.0),
    ],
)
def test_stretches_of_over_a_second_count(times, skipped_s):
    assert skipped_share(saying(*times), Window(), Tokenizer()) == pytest.approx(skipped_s / 20.0)


def test_silence_leaves_nothing_out():
    assert skipped_share(saying(is_silent=True), Window(), Tokenizer()) == 0.0
    assert skipped_share(saying(), Window(spans=()), Tokenizer()) == 0.0


def test_the_better_text_leaves_out_less_and_is_no_less_trustworthy():
    def better(second, first):
        return is_better(second, first, Window(), Tokenizer())

    whole, half = [(0.0, 27.0)], [(0.0, 10.0)]
    assert better(saying(*whole), saying(*half))
    assert not better(saying(*half), saying(*half))
    assert not better(saying(*half), saying(*whole))
    assert not better(saying(*whole, suspect="repetition"), saying(*half))
    assert better(saying(*whole, suspect="repetition"), saying(*half, suspect="low_probability"))
    assert not better(saying(*whole, is_silent=True), saying(*half))
