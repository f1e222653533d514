"""How urgent a file is, as the engine is told it: for every window, and for the detection of its language."""

from concurrent.futures import Future

import numpy as np
import pytest
from made_hypotheses import NOTHING_ODD

from ifw import TranscribeOptions, VadOptions
from ifw.engine.request import LanguageDetection


class Listener:
    """In front of a transcriber's engine: notes what is asked of it, and answers for it."""

    n_slots = 1

    def __init__(self):
        self.priorities = {"detect": set(), "decode": set()}

    def check_process(self):
        pass

    def cancel_group(self, group):
        pass

    def detect_language(self, request):
        self.priorities["detect"].add(request.priority)
        return done(LanguageDetection("en", 1.0, {"en": 1.0}, 0.0, encoded=None))

    def submit(self, request):
        self.priorities["decode"].add(request.priority)
        return done(NOTHING_ODD)


def done(result):
    future = Future()
    future.set_result(result)
    return future


@pytest.mark.parametrize("call", ["stream", "transcribe"])
def test_the_engine_is_told_how_urgent_a_file_is(transcriber, make_wav, monkeypatch, call):
    engine = Listener()
    monkeypatch.setattr(transcriber, "_engine", engine)
    noise = make_wav("noise", 0.1 * np.random.default_rng(1).standard_normal(5 * 16_000))
    options = TranscribeOptions(vad=VadOptions(enabled=False, max_window_s=1))
    transcription = getattr(transcriber, call)(noise, options, priority=7)
    if call == "stream":
        list(transcription)
    assert engine.priorities == {"detect": {7}, "decode": {7}}
