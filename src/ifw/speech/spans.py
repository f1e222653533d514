"""Spans of speech out of probabilities: hysteresis, shortest speech, shortest silence, padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ifw.config import VadOptions
from ifw.constants import SAMPLE_RATE
from ifw.types import SpeechSpan

VAD_FRAME_SAMPLES: Final = 512  # 32 ms: one probability

_SAMPLES_PER_MS: Final = SAMPLE_RATE // 1000
_MAX_DOUBT_SAMPLES: Final = SAMPLE_RATE  # between `offset` and `onset` after speech: bounds how far back a span reaches


@dataclass(frozen=True, slots=True)
class FoundSpan:
    """A span in samples, with its padding and without.

    Attributes:
        start: First sample, padding included.
        stop: Sample behind the last, padding included.
        speech_start: First sample of the first frame of speech.
        speech_stop: Sample behind the last frame of speech.
    """

    start: int
    stop: int
    speech_start: int
    speech_stop: int

    def to_seconds(self) -> SpeechSpan:
        """The padded span in seconds."""
        return SpeechSpan(self.start / SAMPLE_RATE, self.stop / SAMPLE_RATE)


class SpanFinder:
    """Turns probabilities that arrive bit by bit into spans.

    Speech starts where the probability reaches `onset` and ends where it fell below `offset`, once it has not come
    back to `onset` for `min_silence_ms`. It must last longer than `min_speech_ms`. Then padding is added on both sides;
    where there is no room for two pads, the neighbours share the silence between them, so spans never overlap.

    A span is returned as soon as nothing that may follow can change it, and the result does not depend on how the
    probabilities are cut into blocks.

    Source:
        snakers4/silero-vad 6.2, `get_speech_timestamps_from_probs`, without its longest duration (the packer's work).
        Two things differ. There speech lasts to the very end of the audio when the closing silence is too short; here
        that silence stays silence. There speech that fell below `offset` and then hovers between `offset` and `onset`
        never ends; here it ends after a second.
    """

    def __init__(self, options: VadOptions) -> None:
        self._onset = options.onset
        self._offset = options.offset_or_default
        self._min_speech = options.min_speech_ms * _SAMPLES_PER_MS
        self._min_silence = options.min_silence_ms * _SAMPLES_PER_MS
        self._pad = options.pad_ms * _SAMPLES_PER_MS
        self._now = 0  # samples that the probabilities so far cover
        self._speech_start: int | None = None  # of the speech that has not ended
        self._silence_start: int | None = None  # within it: where it ends, if it does not come back
        self._open_start: int | None = None  # its start with padding, once it is sure to become a span
        self._last: FoundSpan | None = None  # ended, but the padding behind it is open

    @property
    def open_span(self) -> FoundSpan | None:
        """The span that has not ended, if one is sure to come: its start is final, its stop can only grow."""
        if self._open_start is None or self._speech_start is None:
            return None
        stop = self._now if self._silence_start is None else self._silence_start
        return FoundSpan(self._open_start, stop, self._speech_start, stop)

    @property
    def settled_until(self) -> int:
        """No span that is still to be returned starts before this sample."""
        if self._last is not None:
            return self._last.start
        if self._open_start is not None:
            return self._open_start
        return max(0, (self._now if self._speech_start is None else self._speech_start) - self._pad)

    def feed(self, probabilities: npt.NDArray[np.float32]) -> list[FoundSpan]:
        """Take the next probabilities.

        Args:
            probabilities: [n_frames], one for each 512 samples.

        Returns:
            Spans that have become final, in order.
        """
        found: list[FoundSpan] = []
        for probability in probabilities.tolist():
            self._step(probability, found)
        return found

    def finish(self, n_samples: int) -> list[FoundSpan]:
        """End the audio.

        Args:
            n_samples: Length of the audio; no span reaches beyond it.

        Returns:
            The spans that were still open.
        """
        found: list[FoundSpan] = []
        if self._speech_start is not None:
            stop = self._now if self._silence_start is None else self._silence_start
            self._end_speech(min(stop, n_samples), found)
        if self._last is not None:
            self._release(min(self._last.speech_stop + self._pad, n_samples), found)
        return found

    def split_open(self, at: int) -> None:
        """Let the open span start later: what lies before has been taken."""
        assert self.open_span is not None, "there is no open span"
        self._speech_start = self._open_start = at

    def _step(self, probability: float, found: list[FoundSpan]) -> None:
        frame_start, self._now = self._now, self._now + VAD_FRAME_SAMPLES
        if probability >= self._onset:
            self._silence_start = None
            if self._speech_start is None:
                self._speech_start = frame_start
        elif self._speech_start is not None:
            is_silent = probability < self._offset
            if self._silence_start is None and is_silent:
                self._silence_start = frame_start
            if self._silence_start is not None:
                patience = self._min_silence if is_silent else self._min_silence + _MAX_DOUBT_SAMPLES
                if frame_start - self._silence_start >= patience:
                    self._end_speech(self._silence_start, found)
        self._settle(found)

    def _settle(self, found: list[FoundSpan]) -> None:
        """Fix what can no longer change: the padding between the last span and the speech that follows."""
        next_start = self._now if self._speech_start is None else self._speech_start
        if self._last is not None and next_start - self._last.speech_stop >= 2 * self._pad:
            self._release(self._last.speech_stop + self._pad, found)
        if self._speech_start is not None and self._open_start is None:
            stop = self._now if self._silence_start is None else self._silence_start
            if stop - self._speech_start > self._min_speech:
                self._open_start = self._padded_start(self._speech_start, found)

    def _end_speech(self, stop: int, found: list[FoundSpan]) -> None:
        assert self._speech_start is not None
        if self._open_start is not None or stop - self._speech_start > self._min_speech:
            start = self._padded_start(self._speech_start, found) if self._open_start is None else self._open_start
            self._last = FoundSpan(start, stop, self._speech_start, stop)
        self._speech_start = self._silence_start = self._open_start = None

    def _padded_start(self, speech_start: int, found: list[FoundSpan]) -> int:
        """Start of speech that is sure, with padding; releases the span before it."""
        if self._last is None:
            return max(0, speech_start - self._pad)
        pad = min(self._pad, (speech_start - self._last.speech_stop) // 2)
        self._release(self._last.speech_stop + pad, found)
        return speech_start - pad

    def _release(self, stop: int, found: list[FoundSpan]) -> None:
        assert self._last is not None
        found.append(FoundSpan(self._last.start, stop, self._last.speech_start, self._last.speech_stop))
        self._last = None
