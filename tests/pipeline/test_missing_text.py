"""Speech for which nothing was written leaves a warning, as nothing in the segments would tell."""

from dataclasses import replace

import numpy as np
import pytest
from made_hypotheses import NOTHING_ODD

from ifw.pipeline.missing import MissingText
from ifw.speech.windows import Piece, Window
from ifw.types import SpeechSpan

NOTHING = replace(NOTHING_ODD, avg_logprob=-1.1, no_speech_prob=0.01, suspect="low_probability", n_attempts=6)


def warnings_of(*hypotheses):
    missing = MissingText()
    for index, hypothesis in enumerate(hypotheses):
        span = SpeechSpan(30.0 * index, 30.0 * index + 20)
        missing.add(
            Window(index, np.zeros(20 * 16_000, np.float32), (Piece(0.0, 30.0 * index, 20.0),), (span,)), hypothesis
        )
    return [(warning.code, warning.message) for warning in missing.warnings()]


def test_speech_without_text_is_named():
    assert warnings_of(replace(NOTHING, text="Yes."), NOTHING, replace(NOTHING, suspect=None)) == [
        (
            "text_missing",
            "somebody seems to speak at 30.0-50.0 s, 60.0-80.0 s, but the model wrote nothing that can be believed",
        )
    ]


@pytest.mark.parametrize("change", [{"is_silent": True}, {"no_speech_prob": 0.95}, {"text": "Yes."}])
def test_silence_and_text_are_no_reason_to_warn(change):
    assert warnings_of(replace(NOTHING, **change)) == []


def test_many_stretches_are_counted():
    ((_, message),) = warnings_of(*[NOTHING] * 7)
    assert "120.0-140.0 s and 2 more, but" in message
