"""Windows: what the engine is given, and the way back from its times to those of the audio."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace

from ifw.constants import SAMPLE_RATE
from ifw.speech.buffer import FloatArray
from ifw.types import SpeechSpan


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of audio without a gap inside a window.

    Attributes:
        window_start_s: Where it lies in the window.
        audio_start_s: Where it comes from.
        duration_s: Its length in both.
    """

    window_start_s: float
    audio_start_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """What the engine transcribes at a time.

    Attributes:
        index: Position among the windows of the audio, from 0.
        samples: [n] float32 mono, 16 kHz; at most 30 s.
        pieces: Where the samples come from, in order, without gap or overlap in the window.
        spans: The speech in it, in audio time.
        channel: Which channel of the audio it comes from, from 0; None where they were mixed.
    """

    index: int
    samples: FloatArray
    pieces: tuple[Piece, ...]
    spans: tuple[SpeechSpan, ...]
    channel: int | None = None

    @property
    def start_s(self) -> float:
        """Where the window begins in the audio."""
        return self.pieces[0].audio_start_s

    @property
    def end_s(self) -> float:
        """Where the window ends in the audio."""
        return self.to_audio_time(self.duration_s, is_end=True)

    @property
    def duration_s(self) -> float:
        """Length of the window itself."""
        return len(self.samples) / SAMPLE_RATE

    def moved(self, index: int, by_s: float, channel: int | None) -> Window:
        """The same window of audio that begins earlier: its place there, and its times moved along.

        Args:
            index: Position among the windows of the whole audio.
            by_s: Where the audio that it comes from begins in the whole.
            channel: Of the whole audio.
        """
        pieces = tuple(replace(piece, audio_start_s=piece.audio_start_s + by_s) for piece in self.pieces)
        spans = tuple(SpeechSpan(span.start_s + by_s, span.end_s + by_s) for span in self.spans)
        return replace(self, index=index, pieces=pieces, spans=spans, channel=channel)

    def to_audio_time(self, window_time_s: float, *, is_end: bool = False) -> float:
        """Turn a time in the window into a time in the audio, exact to a sample.

        Args:
            window_time_s: Seconds from the start of the window; outside of the window its nearest edge is meant.
            is_end: Something ends there: on the joint of two pieces it belongs to the piece before, else to the one
                behind.

        Returns:
            Seconds from the start of the audio.
        """
        place = min(max(_in_samples(window_time_s), 0), len(self.samples))
        starts = [_in_samples(piece.window_start_s) for piece in self.pieces]
        index = (bisect_left(starts, place) if is_end else bisect_right(starts, place)) - 1
        index = max(index, 0)
        return (_in_samples(self.pieces[index].audio_start_s) + place - starts[index]) / SAMPLE_RATE

    def to_speech(self, window_start_s: float, window_end_s: float) -> tuple[float, float]:
        """Turn the times of a segment or word into audio times that do not stretch over silence.

        A start that lies in silence moves on to the next speech, an end that lies in silence moves back to the speech
        before, as long as something is left between them.

        Args:
            window_start_s: Start in the window.
            window_end_s: End in the window, not before the start.

        Returns:
            Start and end in the audio; the end is never before the start.
        """
        start = self.to_audio_time(window_start_s)
        end = max(start, self.to_audio_time(window_end_s, is_end=True))
        next_span = bisect_right(self.spans, start, key=lambda span: span.end_s)
        last_span = bisect_left(self.spans, end, key=lambda span: span.start_s) - 1
        if next_span > last_span:
            return start, end  # no speech at all in between
        return max(start, self.spans[next_span].start_s), min(end, self.spans[last_span].end_s)


def _in_samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)
