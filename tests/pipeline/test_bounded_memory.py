"""A long file must not pile up in the engine: each window that it holds is 2 MB of samples."""

from dataclasses import replace

import numpy as np
from made_hypotheses import NOTHING_ODD

from ifw import CancelToken, DecodeOptions, TranscribeOptions, VadOptions
from ifw.pipeline.flights import MIN_IN_FLIGHT
from ifw.pipeline.transcription import Transcription

SILENT = replace(NOTHING_ODD, is_silent=True, no_speech_prob=1.0)


class SlowEngine:
    """Never has a result before somebody waits for it, and remembers how many windows it held."""

    n_slots = 1

    def __init__(self):
        self.n_submitted = self.n_held = self.max_held = 0

    def check_process(self):
        pass

    def cancel_group(self, group):
        pass

    def submit(self, request):
        self.n_submitted += 1
        self.n_held += 1
        self.max_held = max(self.max_held, self.n_held)
        return self

    def done(self):
        return False

    def result(self):
        self.n_held -= 1
        return SILENT


def test_a_long_file_does_not_pile_up_in_the_engine(transcriber, make_wav):
    n_windows = 3 * MIN_IN_FLIGHT
    engine = SlowEngine()
    transcription = Transcription(
        make_wav("long", np.zeros(n_windows * 30 * 16_000, np.float32)),
        TranscribeOptions(decode=DecodeOptions(language="en"), vad=VadOptions(enabled=False, min_level_db=None)),
        engine=engine,
        checkpoint=transcriber.checkpoint,
        detector=None,
        on_progress=None,
        cancel=CancelToken(),
        timings={},
    )
    assert list(transcription) == []
    assert engine.n_submitted >= n_windows
    assert engine.max_held == MIN_IN_FLIGHT
    assert engine.n_held == 0
