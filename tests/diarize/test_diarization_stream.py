"""Which chunks a stream hears, with a listener that writes down what it is given."""

from concurrent.futures import Future

import numpy as np
import pytest

from ifw.cancellation import CancelToken
from ifw.config import DiarizationOptions
from ifw.diarize.stream import DiarizationStream
from ifw.diarize.turns import Diarization
from ifw.diarize.votes import Grid

CHUNK, STEP = 1000, 100


class WritesDown:
    """Hears chunks of 1000 samples every 100."""

    chunk_samples, step_samples = CHUNK, STEP
    grid = Grid(10.0, 1.0, 1.0, 1.0, 10)
    n_at_once = 1

    def __init__(self, batch_size):
        self.batch_size = batch_size
        self.chunks = []

    def begin(self, samples, cancel):
        del cancel
        n_chunks = 1 + (len(samples) - CHUNK) // STEP
        assert len(samples) == CHUNK + (n_chunks - 1) * STEP
        assert n_chunks <= self.batch_size
        self.chunks += [samples[index * STEP :][:CHUNK].copy() for index in range(n_chunks)]
        future = Future()
        future.set_result((np.zeros((n_chunks, 10, 3), np.uint8), np.zeros((n_chunks, 3, 4), np.float32)))
        return future


class AssemblesNothing:
    def assemble(self, speech, embeddings, options, duration_s, *, cancel=None):
        assert len(speech) == len(embeddings)
        return Diarization()


def expected(samples):
    """As pyannote.audio has it: whole chunks, and one more filled up with zeros where something is left."""
    n_whole = (len(samples) - CHUNK) // STEP + 1 if len(samples) >= CHUNK else 0
    is_left = len(samples) < CHUNK or (len(samples) - CHUNK) % STEP > 0
    padded = np.pad(samples, (0, CHUNK))
    return [padded[index * STEP :][:CHUNK] for index in range(n_whole + is_left)]


@pytest.mark.parametrize("n_samples", [1, 99, 999, 1000, 1001, 1099, 1100, 1101, 1200, 1300, 1999, 2000, 2050, 5000])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 50])
@pytest.mark.parametrize("block", [1, 70, 100, 1000, 10_000])
def test_chunks(n_samples, batch_size, block):
    samples = np.arange(1, n_samples + 1, dtype=np.float32)
    listener = WritesDown(batch_size)
    stream = DiarizationStream(listener, AssemblesNothing(), DiarizationOptions())
    for start in range(0, n_samples, block):
        stream.feed(samples[start : start + block])
    stream.finish()
    np.testing.assert_array_equal(listener.chunks, expected(samples))


def test_samples_that_were_heard_are_let_go():
    stream = DiarizationStream(WritesDown(2), AssemblesNothing(), DiarizationOptions())
    for _ in range(100):
        stream.feed(np.zeros(1000, np.float32))
        assert sum(map(len, stream._blocks)) < CHUNK + 2 * STEP


def test_the_end_of_a_recording_can_be_cancelled_too():
    token, given = CancelToken(), []

    class Assembles(AssemblesNothing):
        def assemble(self, speech, embeddings, options, duration_s, *, cancel=None):
            given.append(cancel)
            return Diarization()

    stream = DiarizationStream(WritesDown(2), Assembles(), DiarizationOptions(), cancel=token)
    stream.feed(np.zeros(2000, np.float32))
    stream.finish()
    assert given == [token]


def test_progress_comes_while_samples_are_fed():
    heard_s = []
    stream = DiarizationStream(WritesDown(2), AssemblesNothing(), DiarizationOptions(), on_progress=heard_s.append)
    stream.feed(np.zeros(2000, np.float32))
    assert len(heard_s) == 5
    assert heard_s == sorted(heard_s)
