"""Ending a transcription from other threads and processes, and what it says about itself afterwards."""

import io
import multiprocessing
import os
import threading
import traceback
from concurrent.futures import Future

import pytest

from ifw import AudioOptions, CancelToken, DecodeOptions, TranscribeOptions, VadOptions
from ifw.errors import AudioNotFoundError, CancelledError, ConfigError, PromptError

ENGLISH = TranscribeOptions(decode=DecodeOptions(language="en"))
TIMEOUT_S = 60


def in_thread(work):
    """Run `work` in another thread to its end; returns or raises what it did."""
    outcome = Future()

    def run():
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result(TIMEOUT_S)


def in_fork(work):
    """Run `work` in a forked child; the name and text of what it raised."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        try:
            work()
            sender.send("nothing was raised")
        except BaseException as error:
            sender.send("".join(traceback.format_exception_only(error)))
        finally:
            os._exit(0)
    try:
        assert receiver.poll(TIMEOUT_S), "the child hangs"
        return receiver.recv()
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_is_told_to_make_its_own(transcriber, sample):
    begun = transcriber.stream(sample, ENGLISH)
    next(begun)
    for work in (
        lambda: transcriber.transcribe(sample),
        lambda: transcriber.stream(sample),
        lambda: list(begun),
    ):
        said = in_fork(work)
        assert "EngineError" in said
        assert "made in another process" in said
        assert "make one here" in said
    assert in_fork(transcriber.close) == "nothing was raised"
    assert list(begun), "the parent is not disturbed"


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_takes_no_lock_of_the_engine(transcriber):
    engine = transcriber._engine
    with engine._loop._condition:  # as the engine's thread may hold it at the moment of the fork
        for work in (engine.close, lambda: engine.cancel("x"), lambda: engine.cancel_group("x")):
            assert in_fork(lambda work=work: in_thread(work)) == "nothing was raised"
        said = in_fork(engine.check_process)
    assert "EngineError" in said
    assert "made in another process" in said


def test_closing_from_another_thread_ends_the_iterating_one(transcriber, sample):
    stream = transcriber.stream(sample, ENGLISH, on_progress=lambda progress: in_thread(stream.close))
    with pytest.raises(CancelledError):
        next(stream)
    assert list(stream) == []
    assert transcriber.transcribe(sample, ENGLISH).segments
    assert transcriber.stats().n_occupied == transcriber.stats().n_waiting == 0


def test_closing_between_two_segments_from_another_thread(transcriber, sample):
    stream = transcriber.stream(sample, ENGLISH)
    next(stream)
    assert in_thread(stream.close) is None
    assert list(stream) == []


def test_closing_from_within_ends_it_too(transcriber, sample):
    stream = transcriber.stream(sample, ENGLISH, on_progress=lambda progress: stream.close())
    with pytest.raises(CancelledError):
        next(stream)


def test_a_close_that_comes_with_the_segment_is_not_lost(transcriber, sample):
    """It finds the generator running, and nothing in it looks at the token any more: the lock's owner must close."""
    stream = transcriber.stream(sample, ENGLISH)
    inside, closed = threading.Event(), threading.Event()

    def one_segment():
        try:
            inside.set()
            closed.wait(TIMEOUT_S)
            yield "segment"
        finally:
            closed.clear()

    stream._generator = one_segment()
    closer = threading.Thread(target=lambda: (inside.wait(TIMEOUT_S), stream.close(), closed.set()))
    closer.start()
    assert next(stream) == "segment"
    closer.join(TIMEOUT_S)
    assert not closed.is_set(), "the generator was not closed"


class SlowStream(io.RawIOBase):
    """Gives a few bytes at a time; during the third read another thread calls `stop`."""

    def __init__(self, failure=None):
        self.failure = failure
        self.n_reads = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        self.n_reads += 1
        if self.n_reads == 3:
            in_thread(self.stop)
            if self.failure is not None:
                raise self.failure
        n_bytes = 0 if self.n_reads > 10 else 16
        buffer[:n_bytes] = bytes(n_bytes)
        return n_bytes


@pytest.mark.parametrize("failure", [None, OSError("the pipe broke")])
@pytest.mark.parametrize("wrap", [lambda raw: raw, io.BufferedReader], ids=["raw", "buffered"])
def test_cancelling_while_a_file_object_is_copied(transcriber, wrap, failure):
    token, source = CancelToken(), SlowStream(failure)
    source.stop = token.cancel
    stream = transcriber.stream(wrap(source), ENGLISH, cancel=token)
    with pytest.raises(CancelledError):
        next(stream)
    assert source.n_reads == 3
    assert list(stream) == []


def test_closing_while_a_file_object_is_copied(transcriber):
    source = SlowStream()
    stream = transcriber.stream(source, ENGLISH)
    source.stop = stream.close
    with pytest.raises(CancelledError):
        next(stream)
    assert source.n_reads == 3


def test_closing_one_leaves_the_callers_token_alone(transcriber, sample):
    token = CancelToken()
    stream = transcriber.stream(sample, ENGLISH, cancel=token)
    next(stream)
    stream.close()
    assert not token.is_cancelled
    assert transcriber.transcribe(sample, ENGLISH, cancel=token).segments


def test_two_threads_on_one_transcription_is_a_clear_error(transcriber, sample):
    n_refused = 0

    def iterate_elsewhere(progress):
        nonlocal n_refused
        with pytest.raises(RuntimeError, match="only one thread at a time"):
            in_thread(lambda: next(stream))
        n_refused += 1

    stream = transcriber.stream(sample, ENGLISH, on_progress=iterate_elsewhere)
    assert list(stream)
    assert n_refused


def test_after_close_the_transcript_says_so(transcriber, sample):
    stream = transcriber.stream(sample, ENGLISH)
    next(stream)
    stream.close()
    with pytest.raises(RuntimeError, match="was closed before its end"):
        stream.transcript  # noqa: B018


def test_after_an_error_the_transcript_names_it(transcriber):
    stream = transcriber.stream("no/such/file.mp3", ENGLISH)
    with pytest.raises(AudioNotFoundError):
        next(stream)
    assert list(stream) == []
    with pytest.raises(RuntimeError, match=r"failed with AudioNotFoundError: .*file\.mp3"):
        stream.transcript  # noqa: B018


def test_closing_after_the_end_keeps_the_transcript(transcriber, sample):
    stream = transcriber.stream(sample, ENGLISH)
    segments = tuple(stream)
    stream.close()
    assert stream.transcript.segments == segments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DecodeOptions(language="en"), r"pass TranscribeOptions\(decode=DecodeOptions\(\.\.\.\)\)"),
        (VadOptions(), r"pass TranscribeOptions\(vad=VadOptions\(\.\.\.\)\)"),
        (AudioOptions(), r"pass TranscribeOptions\(audio=AudioOptions\(\.\.\.\)\)"),
        ({"language": "en"}, "options: got {'language': 'en'}"),
        ("en", "options: got 'en', allowed: TranscribeOptions or None"),
        ({}, "options: got {}"),
        (False, "options: got False"),
    ],
)
def test_options_of_another_class_are_refused_at_once(transcriber, sample, options, message):
    with pytest.raises(ConfigError, match=message):
        transcriber.stream(sample, options)


@pytest.mark.parametrize("prompt", ["Anna \ud800 Meier", "caf\udce9"])
def test_a_prompt_that_is_no_text_is_refused_at_once(transcriber, sample, prompt):
    options = TranscribeOptions(decode=DecodeOptions(language="en", initial_prompt=prompt))
    with pytest.raises(PromptError, match=r"prompt: got U\+D.* at position"):
        transcriber.stream(sample, options)
