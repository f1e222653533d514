"""What a file holds of the engine: few windows at a time, as each is 2 MB of samples, and none after its end."""

from dataclasses import replace

import numpy as np
import pytest
from made_hypotheses import NOTHING_ODD

from ifw import CancelToken, DecodeOptions, TranscribeOptions, VadOptions
from ifw.audio.decoder_process import launch_fresh
from ifw.errors import CancelledError
from ifw.pipeline.flights import MIN_IN_FLIGHT
from ifw.pipeline.transcription import Transcription

SILENT = replace(NOTHING_ODD, is_silent=True, no_speech_prob=1.0)


class SlowEngine:
    """Never has a result before somebody waits for it, and remembers how many windows it held."""

    n_slots = 1

    def __init__(self):
        self.n_submitted = self.n_held = self.max_held = 0
        self.groups, self.cancelled_groups = set(), set()

    def check_process(self):
        pass

    def cancel_group(self, group):
        self.cancelled_groups.add(group)

    def submit(self, request):
        self.groups.add(request.group)
        self.n_submitted += 1
        self.n_held += 1
        self.max_held = max(self.max_held, self.n_held)
        return self

    def done(self):
        return False

    def result(self):
        self.n_held -= 1
        return SILENT


@pytest.fixture
def transcription_of(transcriber, make_wav):
    """Silence of so many windows, on its way through an engine."""

    def make(engine, n_windows, cancel, on_progress=None):
        return Transcription(
            make_wav("long", np.zeros(n_windows * 30 * 16_000, np.float32)),
            TranscribeOptions(decode=DecodeOptions(language="en"), vad=VadOptions(enabled=False, min_level_db=None)),
            engine=engine,
            checkpoint=transcriber.checkpoint,
            detector=None,
            launch=launch_fresh,
            on_progress=on_progress,
            cancel=cancel,
            timings={},
        )

    return make


def test_a_long_file_does_not_pile_up_in_the_engine(transcription_of):
    n_windows = 3 * MIN_IN_FLIGHT
    engine = SlowEngine()
    assert list(transcription_of(engine, n_windows, CancelToken())) == []
    assert engine.n_submitted >= n_windows
    assert engine.max_held == MIN_IN_FLIGHT
    assert engine.n_held == 0


def test_what_is_cancelled_leaves_the_engine(transcription_of):
    engine, cancel = SlowEngine(), CancelToken()

    def on_progress(progress):
        if progress.stage == "transcribe":
            assert engine.n_held > 0
            cancel.cancel()
            assert engine.cancelled_groups == engine.groups, "at once, and not when the iteration goes on"

    with pytest.raises(CancelledError):
        list(transcription_of(engine, MIN_IN_FLIGHT + 2, cancel, on_progress))
    assert len(engine.groups) == 1
