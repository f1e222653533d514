"""Packs audio into windows for the engine: speech only, cut in pauses, nothing twice."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from ifw.config import VadOptions
from ifw.constants import SAMPLE_RATE
from ifw.speech.buffer import FloatArray, SampleBuffer, check_samples
from ifw.speech.cuts import best_pause, cut_score, quietest_point
from ifw.speech.decibels import loudest_db
from ifw.speech.layout import make_window, n_samples_of, stretches_of
from ifw.speech.spans import VAD_FRAME_SAMPLES, FoundSpan, SpanFinder

if TYPE_CHECKING:
    from ifw.speech.vad import VoiceDetector
    from ifw.speech.windows import Window

_MAX_MAGNITUDE: Final = 1e4  # beyond it the file is damaged, and squares would leave float32's range
_END_GUARD_SAMPLES: Final = SAMPLE_RATE // 2


class WindowPacker:
    """Turns samples that arrive in blocks into windows, each returned as soon as it is final.

    Spans of speech are packed one after another. A window holds them and silence for what lies between them, of which
    more than 2 s is shortened to 2 s. It starts and ends with the padding of its first and last span. When the next
    span does not fit, the window ends in the best pause so far: one second more of pause is worth a third of a window
    left empty. It also ends when silence lasts longer than the room that is left. A span that is longer than a window
    is cut in the best pause of the window's last third, or where that third is quietest; the parts join without loss.

    Without voice detection all audio is packed, cut where the last sixth of each window is quietest. A window in which
    nothing is as loud as `options.min_level_db` is left out, with voice detection and without.

    The windows do not depend on how the samples are cut into blocks. Audio that no window can need any more is let go,
    so memory does not grow with the length of the audio.

    Args:
        options: How speech is found; `enabled=False` packs everything.
        detector: The shared voice detector; None packs everything.
    """

    def __init__(self, options: VadOptions, detector: VoiceDetector | None) -> None:
        self._offset = options.offset_or_default
        self._longest = round(options.max_window_s * SAMPLE_RATE)
        self._voice = detector.stream(boost_quiet=options.boost_quiet) if detector and options.enabled else None
        self._finder = SpanFinder(options)
        self._min_level_db = options.min_level_db
        self._buffer = SampleBuffer()
        self._probabilities = np.zeros(0, np.float32)
        self._first_frame = 0  # of `_probabilities`
        self._pending: list[FoundSpan] = []  # spans of the window that is being filled; they fit into one
        self._n_windows = 0
        self._packed_until = 0  # where the last window ended
        self._is_finished = False

    def feed(self, samples: FloatArray) -> list[Window]:
        """Take the next samples.

        Args:
            samples: [n] float32 mono, 16 kHz; any n. They are copied. NaN counts as silence.

        Returns:
            Windows that have become final, in order.

        Raises:
            ShapeError: `samples` is not one-dimensional float32.
        """
        assert not self._is_finished, "feed() after finish()"
        check_samples(samples)
        samples = _repaired(samples)
        self._buffer.append(samples)
        windows: list[Window] = []
        if self._voice is not None:
            self._hear(self._voice.feed(samples), windows)
        self._pack_open(windows)
        self._forget()
        return windows

    def finish(self) -> list[Window]:
        """End the audio.

        Returns:
            The windows that were not final yet.
        """
        assert not self._is_finished, "finish() twice"
        self._is_finished = True
        windows: list[Window] = []
        if self._voice is not None:
            self._hear(self._voice.finish(), windows)
            for span in self._finder.finish(self._buffer.n_samples):
                self._add(span, windows)
        elif self._packed_until < self._buffer.n_samples:
            self._add(self._rest(), windows)
        if self._pending:
            self._emit(len(self._pending), windows)
        return windows

    def _hear(self, probabilities: FloatArray, windows: list[Window]) -> None:
        if len(probabilities):
            self._probabilities = np.concatenate((self._probabilities, probabilities))
            for span in self._finder.feed(probabilities):
                self._add(span, windows)

    def _rest(self) -> FoundSpan:
        """All audio that is in no window yet, as one span."""
        start, stop = self._packed_until, self._buffer.n_samples
        return FoundSpan(start, stop, start, stop)

    def _add(self, span: FoundSpan, windows: list[Window]) -> None:
        """Pack a span whose end is known."""
        while not self._fits(span):
            span = self._make_room(span, windows)
        self._pending.append(span)

    def _pack_open(self, windows: list[Window]) -> None:
        """Return what is final whatever comes: the span that goes on is too long, or the silence is."""
        open_span = self._finder.open_span if self._voice else self._rest()
        if open_span is not None:
            start = open_span.start
            while not self._fits(open_span):
                open_span = self._make_room(open_span, windows)
            if self._voice and open_span.start > start:
                self._finder.split_open(open_span.start)
        elif self._pending:
            silence = self._finder.settled_until - self._pending[-1].stop
            # Below a full pause the next span decides, because the length of the pause decides where the window ends.
            if silence > max(self._longest - n_samples_of(self._pending), SAMPLE_RATE):
                self._emit(len(self._pending), windows)

    def _fits(self, span: FoundSpan) -> bool:
        if not self._pending:
            return span.stop - span.start <= self._longest
        room = self._longest - n_samples_of(self._pending)
        silence = span.start - self._pending[-1].stop
        return silence <= room and n_samples_of([*self._pending, span]) <= self._longest

    def _make_room(self, span: FoundSpan, windows: list[Window]) -> FoundSpan:
        """Return a window because the next span does not fit; gives what is left of that span."""
        if self._pending:
            self._emit(self._best_end(span), windows)
            return span
        cut = self._best_cut(span)
        self._pending.append(FoundSpan(span.start, cut, span.speech_start, cut))
        self._emit(1, windows)
        return FoundSpan(cut, span.stop, cut, span.speech_stop)

    def _best_end(self, following: FoundSpan) -> int:
        """How many of the pending spans the window should hold, given the span that does not fit any more."""
        spans = [*self._pending, following]
        used = n_samples_of(self._pending)
        scores = [
            cut_score(after.speech_start - before.speech_stop, used - n_samples_of(spans[: index + 1]), self._longest)
            for index, (before, after) in enumerate(pairwise(spans))
        ]
        return 1 + max(range(len(scores)), key=scores.__getitem__)

    def _best_cut(self, span: FoundSpan) -> int:
        """Where to cut a span that is longer than a window."""
        upper = span.start + self._longest
        if self._voice is None:
            lower = upper - self._longest // 6
        else:
            lower = upper - self._longest // 3
            if span.speech_stop <= upper:  # only padding does not fit: leave some speech to the next window
                upper = max(lower + VAD_FRAME_SAMPLES, span.speech_stop - _END_GUARD_SAMPLES)
            first, last = -(-lower // VAD_FRAME_SAMPLES), upper // VAD_FRAME_SAMPLES
            probabilities = self._probabilities[first - self._first_frame : last - self._first_frame]
            pause = best_pause(probabilities, self._offset, self._longest)
            if pause is not None:
                lower, upper = ((first + frame) * VAD_FRAME_SAMPLES for frame in pause)
        return lower + quietest_point(self._buffer.read(lower, upper))

    def _emit(self, n_spans: int, windows: list[Window]) -> None:
        """Return the first of the pending spans as a window, unless nothing in it can be heard."""
        spans, self._pending = self._pending[:n_spans], self._pending[n_spans:]
        self._packed_until = spans[-1].stop
        parts = [self._buffer.read(*stretch) for stretch in stretches_of(spans)]
        if self._min_level_db is None or max(map(loudest_db, parts)) >= self._min_level_db:
            windows.append(make_window(self._n_windows, spans, parts))
            self._n_windows += 1

    @property
    def settled_until(self) -> int:
        """No window that is still to be returned starts before this sample."""
        if self._pending:
            return self._pending[0].start
        return self._finder.settled_until if self._voice else self._packed_until

    def _forget(self) -> None:
        needed_from = self.settled_until
        self._buffer.forget(needed_from)
        first_frame = needed_from // VAD_FRAME_SAMPLES
        self._probabilities = self._probabilities[max(0, first_frame - self._first_frame) :]
        self._first_frame = max(self._first_frame, first_frame)


def _repaired(samples: FloatArray) -> FloatArray:
    """A copy that the networks can bear."""
    samples = samples.copy()
    if len(samples) and not np.abs(samples).max() <= _MAX_MAGNITUDE:
        return np.clip(np.nan_to_num(samples), -1.0, 1.0)
    return samples
