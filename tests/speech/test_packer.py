import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw.config import VadOptions
from ifw.errors import ShapeError
from ifw.speech.packer import WindowPacker
from ifw.speech.spans import SpanFinder

RATE = 16_000
FRAME = 512


class ScriptedDetector:
    """Says what it was told, whatever it hears."""

    def __init__(self, probabilities):
        self.probabilities = np.asarray(probabilities, np.float32)

    def stream(self, *, boost_quiet=False):
        return ScriptedStream(self.probabilities)


class ScriptedStream:
    def __init__(self, probabilities):
        self.probabilities = probabilities
        self.n_samples = self.n_said = 0

    def feed(self, samples):
        self.n_samples += len(samples)
        return self._say(self.n_samples // FRAME)

    def finish(self):
        return self._say(-(-self.n_samples // FRAME))

    def _say(self, until):
        said = self.probabilities[self.n_said : until]
        said = np.pad(said, (0, max(0, until - self.n_said - len(said))))
        self.n_said = until
        return said


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)


def frames(*runs):
    """Probabilities: 0.9 for `speech` seconds, 0.0 for `silence` seconds, in turn."""
    return np.concatenate([np.full(round(s * RATE / FRAME), 0.9 * (i % 2 == 0)) for i, s in enumerate(runs)])


def pack(options, detector, samples, cuts=()):
    packer = WindowPacker(options, detector)
    windows = [window for block in np.split(samples, sorted(cuts)) for window in packer.feed(block)]
    return windows + packer.finish()


def in_samples(span):
    return round(span.start_s * RATE), round(span.end_s * RATE)


def audio_ranges(window):
    starts = [round(piece.audio_start_s * RATE) for piece in window.pieces]
    return [(s, s + round(p.duration_s * RATE)) for s, p in zip(starts, window.pieces, strict=True)]


def marks(ranges, n_samples):
    """How many of the ranges hold each sample."""
    counts = np.zeros(n_samples + 1, np.int64)
    for start, stop in ranges:
        counts[start] += 1
        counts[stop] -= 1
    return np.cumsum(counts)[:-1]


@st.composite
def scripts(draw):
    """Probabilities with speech and pauses of all lengths, and the number of samples."""
    level = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9])
    length = st.one_of(st.integers(1, 10), st.integers(1, 60), st.integers(1, 500))
    runs = draw(st.lists(st.tuples(level, length), max_size=16))
    probabilities = [p for p, n in runs for _ in range(n)]
    return probabilities, max(0, len(probabilities) * FRAME - draw(st.integers(0, FRAME - 1)))


all_options = st.builds(
    VadOptions,
    min_silence_ms=st.sampled_from([0, 100, 2000]),
    pad_ms=st.sampled_from([0, 300, 900]),
    max_window_s=st.sampled_from([1.0, 3.7, 10.0, 30.0]),
)
cut_lists = st.lists(st.integers(0, 3_000_000), max_size=30)


@settings(max_examples=150, deadline=None)
@given(scripts(), all_options)
def test_windows_hold_all_speech_once_and_in_order(script, options):
    probabilities, n_samples = script
    samples = noise(n_samples)
    windows = pack(options, ScriptedDetector(probabilities), samples)
    finder = SpanFinder(options)
    spans = finder.feed(np.asarray(probabilities, np.float32)) + finder.finish(n_samples)
    longest = round(options.max_window_s * RATE)

    assert [window.index for window in windows] == list(range(len(windows)))
    ranges = [found for window in windows for found in audio_ranges(window)]
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))
    packed = marks(ranges, n_samples)
    speech = marks([(span.start, span.stop) for span in spans], n_samples)
    told = marks([in_samples(span) for window in windows for span in window.spans], n_samples)
    assert np.array_equal(told, speech)
    assert (packed >= speech).all()

    for window in windows:
        assert window.samples.dtype == np.float32
        assert 0 < len(window.samples) <= longest
        heard = np.concatenate([samples[a:b] for a, b in audio_ranges(window)])
        is_speech = np.concatenate([speech[a:b] for a, b in audio_ranges(window)]) > 0
        assert np.array_equal(window.samples[is_speech], heard[is_speech])
        assert (np.abs(window.samples) <= np.abs(heard)).all()
        assert window.spans[0].start_s == window.start_s
        assert window.spans[-1].end_s == window.end_s
        for start, stop in audio_ranges(window):
            assert (np.diff(np.flatnonzero(speech[start:stop])) <= 2 * RATE + 1).all()
    for span in spans:
        holders = [w for w in windows if any(a < span.stop and span.start < b for a, b in audio_ranges(w))]
        assert len(holders) == 1 or span.stop - span.start > longest


@settings(max_examples=80, deadline=None)
@given(scripts(), all_options, cut_lists, st.booleans())
def test_blocks_of_any_length_give_the_same_windows(script, options, cuts, is_vad_on):
    probabilities, n_samples = script
    samples = noise(n_samples)
    detector = ScriptedDetector(probabilities) if is_vad_on else None
    whole = pack(options, detector, samples)
    parts = pack(options, detector, samples, cuts)
    every_second = pack(options, detector, samples, range(0, n_samples, RATE))
    for windows in (parts, every_second):
        assert [(w.index, w.pieces, w.spans) for w in windows] == [(w.index, w.pieces, w.spans) for w in whole]
        assert all(np.array_equal(a.samples, b.samples) for a, b in zip(windows, whole, strict=True))


def test_the_real_detector_gives_the_same_windows_for_any_blocks(speech, detector):
    whole = pack(VadOptions(), detector, speech)
    parts = pack(VadOptions(), detector, speech, range(1, len(speech), 4_321))
    assert len(whole) >= 3
    assert [(w.pieces, w.spans) for w in parts] == [(w.pieces, w.spans) for w in whole]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100 * RATE), st.sampled_from([1.0, 3.7, 30.0]))
def test_without_detection_everything_is_packed(n_samples, max_window_s):
    samples = noise(n_samples)
    options = VadOptions(enabled=False, max_window_s=max_window_s)
    windows = pack(options, ScriptedDetector([]), samples)
    assert np.array_equal(np.concatenate([np.zeros(0, np.float32), *(w.samples for w in windows)]), samples)
    assert all(len(window.pieces) == len(window.spans) == 1 for window in windows)
    assert all(in_samples(window.spans[0]) == audio_ranges(window)[0] for window in windows)
    assert all(round(max_window_s * RATE * 5 / 6) <= len(w.samples) <= max_window_s * RATE for w in windows[:-1])


def test_without_detection_the_cut_is_where_it_is_quiet():
    samples = noise(50 * RATE)
    samples[round(27.3 * RATE) : round(27.5 * RATE)] *= 0.01
    windows = pack(VadOptions(), None, samples)
    assert 27.3 < windows[0].end_s < 27.5
    assert windows[1].start_s == windows[0].end_s


def test_without_detection_silence_fills_the_windows():
    windows = pack(VadOptions(min_level_db=None), None, np.zeros(70 * RATE, np.float32))
    assert [round(window.duration_s) for window in windows] == [30, 30, 10]


@pytest.mark.parametrize("pause_s", [0.5, 1.9, 5.0])
def test_what_lies_between_spans_is_silenced(pause_s):
    probabilities = frames(2.0, pause_s, 2.0)
    samples = noise(len(probabilities) * FRAME)
    (window,) = pack(VadOptions(pad_ms=0), ScriptedDetector(probabilities), samples)
    first, second = (round(span.duration_s * RATE) for span in window.spans)
    fade = RATE // 100
    assert not window.samples[first + fade : -second - fade].any()
    assert np.array_equal(window.samples[:first], samples[:first])
    assert np.array_equal(window.samples[-second:], samples[-second:])
    assert len(window.samples) - first - second == round(min(pause_s, 2.0) * RATE) or pause_s < 2
    steps = np.abs(window.samples[first : first + fade]) / np.maximum(np.abs(samples[first : first + fade]), 1e-9)
    assert (np.diff(steps) < 0).all(), "it fades"


@pytest.mark.parametrize("pause_s", [0.5, 1.9, 5.0])
def test_the_hush_of_a_room_is_kept(pause_s):
    probabilities = frames(2.0, pause_s, 2.0)
    samples = noise(len(probabilities) * FRAME) / 30
    (window,) = pack(VadOptions(pad_ms=0), ScriptedDetector(probabilities), samples)
    assert np.array_equal(window.samples, np.concatenate([samples[a:b] for a, b in audio_ranges(window)]))


def test_spans_that_fit_share_a_window():
    windows = pack(VadOptions(), ScriptedDetector(frames(5, 1, 5, 4, 5)), noise(20 * RATE))
    assert len(windows) == 1
    assert len(windows[0].spans) == 3
    assert [round(piece.duration_s, 1) for piece in windows[0].pieces] == [12.3, 6.3]
    assert windows[0].duration_s == pytest.approx(5 + 1 + 5 + 2.6 + 5, abs=0.1)


def test_a_span_that_does_not_fit_goes_whole_into_the_next_window():
    windows = pack(VadOptions(), ScriptedDetector(frames(12, 0.3, 12, 0.3, 12, 3)), noise(39 * RATE))
    assert [len(window.spans) for window in windows] == [2, 1]


def test_silence_that_is_longer_than_the_room_ends_a_window():
    windows = pack(VadOptions(), ScriptedDetector(frames(5, 22, 3)), noise(31 * RATE))
    assert [len(window.spans) for window in windows] == [2]
    windows = pack(VadOptions(), ScriptedDetector(frames(5, 27, 3)), noise(36 * RATE))
    assert [len(window.spans) for window in windows] == [1, 1]


def test_a_window_ends_in_the_longer_pause():
    script = frames(24, 1.5, 2, 0.2, 2, 0.2, 12, 3)
    windows = pack(VadOptions(), ScriptedDetector(script), noise(44 * RATE))
    assert windows[0].duration_s == pytest.approx(24.3, abs=0.1)
    script = frames(14, 1.5, 12, 0.2, 2, 0.2, 12, 3)
    windows = pack(VadOptions(), ScriptedDetector(script), noise(44 * RATE))
    assert windows[0].duration_s == pytest.approx(29.8, abs=0.2)


def test_a_long_span_is_cut_in_its_pause():
    options = VadOptions(min_silence_ms=2000)
    windows = pack(options, ScriptedDetector(frames(23, 0.5, 20, 3)), noise(46 * RATE))
    assert 23 < windows[0].end_s < 23.5
    assert windows[1].start_s == windows[0].end_s


def test_a_long_span_without_pause_is_cut_where_it_is_quiet():
    samples = noise(46 * RATE)
    samples[24 * RATE : 24 * RATE + 1_600] *= 0.01
    samples[10 * RATE : 11 * RATE] *= 0.01  # too early in the window
    windows = pack(VadOptions(), ScriptedDetector(frames(44, 2)), samples)
    assert 24 < windows[0].end_s < 24.1


def test_padding_alone_does_not_make_a_window():
    samples = noise(36 * RATE)
    samples[round(29.3 * RATE) :] = 0
    windows = pack(VadOptions(pad_ms=900), ScriptedDetector(frames(29.6, 6.3)), samples)
    assert len(windows) == 2
    assert windows[0].end_s < 29.2


def test_windows_come_as_soon_as_they_are_final():
    samples = noise(100 * RATE)
    script = frames(20, 0.5, 15, 50, 5, 9)
    packer = WindowPacker(VadOptions(), ScriptedDetector(script))
    fed = {}
    for second in range(99):
        for window in packer.feed(samples[second * RATE : (second + 1) * RATE]):
            fed[window.index] = second + 1
    # The second span does not fit 30 s after the window began; 15.3 s of span leave room for 14.7 s of silence.
    assert fed == {0: 31, 1: 51}
    assert [window.index for window in packer.finish()] == [2]


@pytest.mark.parametrize("runs", [(0, 600), (600,), (2, 9) * 50, (0.2, 5) * 110, (3, 0.3) * 180])
@pytest.mark.parametrize("is_vad_on", [True, False])
def test_memory_does_not_grow_with_the_audio(runs, is_vad_on):
    script = frames(*runs)
    n_blocks = len(script) * FRAME // RATE
    detector = ScriptedDetector(script) if is_vad_on else None
    block = noise(RATE)
    tracemalloc.start()
    packer = WindowPacker(VadOptions(), detector)
    for _ in range(n_blocks):
        packer.feed(block)
    packer.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n_blocks * block.nbytes > 34e6
    assert peak < 16e6


def test_no_speech_gives_no_window():
    windows = pack(VadOptions(), ScriptedDetector(np.zeros(200)), noise(100_000))
    assert windows == []


def test_no_samples_give_no_window(detector):
    for voice in (detector, None):
        windows = pack(VadOptions(), voice, np.zeros(0, np.float32))
        assert windows == []


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf, 1e30])
def test_damaged_samples_do_no_further_harm(speech, detector, damage):
    samples = speech[: 30 * RATE].copy()
    samples[5 * RATE] = damage
    sound = pack(VadOptions(), detector, speech[: 30 * RATE])
    windows = pack(VadOptions(), detector, samples)
    assert np.abs(windows[0].samples).max() <= 1
    assert windows[-1].spans[-5:] == sound[-1].spans[-5:]


def test_the_caller_may_reuse_its_block():
    packer = WindowPacker(VadOptions(), None)
    block = np.full(RATE, 0.5, np.float32)
    packer.feed(block)
    block[:] = 0
    (window,) = packer.finish()
    assert (window.samples == 0.5).all()


def test_wrong_form_of_samples():
    with pytest.raises(ShapeError):
        WindowPacker(VadOptions(), None).feed(np.zeros((1, 600), np.float32))


@pytest.mark.parametrize("enabled", [True, False])
def test_what_nobody_can_hear_gives_no_window(enabled):
    options = VadOptions(enabled=enabled)
    detector = ScriptedDetector(np.full(100_000, 0.9))
    dither = (np.random.default_rng(0).integers(-1, 2, 90 * RATE) / 32_768).astype(np.float32)
    for samples in (np.zeros(45 * RATE, np.float32), dither):
        assert pack(options, detector, samples) == []
        everything = pack(VadOptions(enabled=enabled, min_level_db=None), detector, samples)
        assert sum(len(window.samples) for window in everything) == len(samples)


@pytest.mark.parametrize("enabled", [True, False])
def test_windows_that_can_be_heard_are_counted_without_those_that_cannot(enabled):
    samples = np.concatenate([noise(20 * RATE), np.zeros(100 * RATE, np.float32), noise(20 * RATE)])
    detector = ScriptedDetector(np.full(100_000, 0.9))
    windows = pack(VadOptions(enabled=enabled), detector, samples)
    assert [window.index for window in windows] == list(range(len(windows)))
    assert 2 <= len(windows) <= 4
    heard = np.concatenate([window.samples for window in windows])
    assert np.count_nonzero(heard) == np.count_nonzero(samples)
    assert len(heard) < len(samples)


@pytest.mark.parametrize(("level_db", "n_windows"), [(-79.5, 1), (-80.5, 0)])
def test_the_level_is_that_of_the_loudest_tenth_of_a_second(level_db, n_windows):
    samples = np.zeros(5 * RATE, np.float32)
    samples[32_000:33_600] = 10 ** (level_db / 20)
    assert len(pack(VadOptions(enabled=False), None, samples)) == n_windows
