import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ifw.config import VadOptions
from ifw.speech.spans import FoundSpan, SpanFinder

FRAME = 512


@pytest.fixture(scope="module")
def silero():
    """Silero's `utils_vad`, loaded by path: importing the package would change torch's thread count."""
    package = importlib.util.find_spec("silero_vad")
    path = Path(package.submodule_search_locations[0], "utils_vad.py")
    spec = importlib.util.spec_from_file_location("silero_utils_vad", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find(options, probabilities, cuts=(), n_samples=None):
    finder = SpanFinder(options)
    probabilities = np.asarray(probabilities, np.float32)
    found = [span for block in np.split(probabilities, sorted(cuts)) for span in finder.feed(block)]
    return found + finder.finish(len(probabilities) * FRAME if n_samples is None else n_samples)


level = st.sampled_from([0.0, 0.0, 0.2, 0.25, 0.3, 0.38, 0.42, 0.5, 0.9, 0.9])
runs = st.lists(st.tuples(level, st.one_of(st.integers(1, 4), st.integers(1, 12))), max_size=30)
probabilities = runs.map(lambda runs: [p for p, n in runs for _ in range(n)])
frame_times_ms = [0, 32, 64, 96, 100]  # with those that are whole frames, a comparison can be equal
options = st.builds(
    VadOptions,
    onset=st.sampled_from([0.3, 0.4, 0.5]),
    offset=st.sampled_from([None, 0.1, 0.25]),
    min_speech_ms=st.sampled_from(frame_times_ms),
    min_silence_ms=st.sampled_from(frame_times_ms),
    pad_ms=st.sampled_from([0, 30, 64, 200, 900]),
)


def doubt(options, probabilities):
    """The longest stretch of frames that are neither speech nor silence."""
    is_doubtful = "".join(".d"[options.offset_or_default <= p < options.onset] for p in probabilities)
    return max(map(len, is_doubtful.split(".")))


@settings(max_examples=300, deadline=None)
@given(probabilities, options)
def test_spans_are_those_of_silero(silero, probabilities, options):
    assume(doubt(options, probabilities) < 25)  # there the two differ
    n_samples = len(probabilities) * FRAME
    closing = [0.0] * (options.min_silence_ms // 32 + 2)  # Silero lets speech run to the end without it
    theirs = silero.get_speech_timestamps_from_probs(
        probabilities + closing,
        threshold=options.onset,
        neg_threshold=options.offset_or_default,
        min_speech_duration_ms=options.min_speech_ms,
        min_silence_duration_ms=options.min_silence_ms,
        speech_pad_ms=options.pad_ms,
        audio_length_samples=n_samples,
    )
    ours = find(options, probabilities)
    assert [(span.start, span.stop) for span in ours] == [(span["start"], span["end"]) for span in theirs]


@settings(deadline=None)
@given(probabilities, options, st.lists(st.integers(0, 480)), st.integers(0, FRAME - 1))
def test_blocks_of_any_length_give_the_same(probabilities, options, cuts, missing):
    n_samples = max(0, len(probabilities) * FRAME - missing)
    whole = find(options, probabilities, n_samples=n_samples)
    assert find(options, probabilities, cuts, n_samples) == whole
    assert all(0 <= span.start <= span.speech_start < span.speech_stop <= span.stop <= n_samples for span in whole)
    assert all(a.stop <= b.start for a, b in pairwise(whole))


@settings(deadline=None)
@given(probabilities, options)
def test_what_is_settled_stays(probabilities, options):
    finder = SpanFinder(options)
    settled, now, open_span = 0, 0, None
    for probability in [*probabilities, None]:
        if probability is None:
            found = finder.finish(now)
        else:
            found = finder.feed(np.array([probability], np.float32))
            now += FRAME
        for span in found:
            assert span.start >= settled
            settled = span.stop
            if open_span is not None:
                assert (span.start, span.speech_start) == (open_span.start, open_span.speech_start)
                assert span.speech_stop >= open_span.speech_stop
                open_span = None
        assert finder.settled_until >= settled or probability is None
        settled = max(settled, finder.settled_until) if probability is not None else settled
        open_span = open_span or finder.open_span
    assert open_span is None


@settings(deadline=None)
@given(probabilities, options)
def test_look_back_is_bounded(probabilities, options):
    finder = SpanFinder(options)
    longest = (options.min_speech_ms + options.min_silence_ms + 3 * options.pad_ms + 1_000) * 16 + 4 * FRAME
    for index, probability in enumerate(probabilities):
        finder.feed(np.array([probability], np.float32))
        if finder.open_span is None and max(probabilities[max(0, index - 40) : index + 1]) < options.onset:
            assert finder.settled_until >= (index + 1) * FRAME - longest


def test_doubt_ends_speech_after_a_second():
    found = find(VadOptions(pad_ms=0), [0.9] * 20 + [0.1] + [0.3] * 20 + [0.9] * 20 + [0.1] + [0.3] * 40 + [0.9] * 20)
    assert [(span.start // FRAME, span.stop // FRAME) for span in found] == [(0, 61), (102, 122)]


def test_padding_is_shared_where_the_silence_is_short():
    options = VadOptions(pad_ms=96, min_speech_ms=0, min_silence_ms=64)
    found = find(options, [0.0] * 10 + [0.9] * 5 + [0.0] * 4 + [0.9] * 5 + [0.0] * 10)
    assert found == [
        FoundSpan(7 * FRAME, 17 * FRAME, 10 * FRAME, 15 * FRAME),
        FoundSpan(17 * FRAME, 27 * FRAME, 19 * FRAME, 24 * FRAME),
    ]


def test_closing_silence_is_no_speech():
    found = find(VadOptions(pad_ms=0, min_silence_ms=2000), [0.9] * 20 + [0.0] * 30)
    assert found == [FoundSpan(0, 20 * FRAME, 0, 20 * FRAME)]


def test_an_open_span_can_be_split():
    finder = SpanFinder(VadOptions(pad_ms=32))
    finder.feed(np.full(20, 0.9, np.float32))
    assert finder.open_span == FoundSpan(0, 20 * FRAME, 0, 20 * FRAME)
    finder.split_open(5_000)
    assert finder.settled_until == 5_000
    assert finder.feed(np.zeros(9, np.float32)) == [FoundSpan(5_000, 21 * FRAME, 5_000, 20 * FRAME)]


def test_seconds():
    span = FoundSpan(8_000, 24_000, 9_000, 20_000).to_seconds()
    assert (span.start_s, span.end_s) == (0.5, 1.5)
