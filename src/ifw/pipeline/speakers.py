"""Who said what in one file: speakers are told apart beside the transcription, from the same samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ifw.audio.clip import Clip, clip_samples
from ifw.constants import SAMPLE_RATE
from ifw.diarize.attribution import attribute
from ifw.errors import IfwError
from ifw.pipeline.speaker_thread import SpeakerThread
from ifw.types import DIARIZATION_FAILED, Segment, SpeakerTurn, TranscriptWarning

if TYPE_CHECKING:
    from ifw.cancellation import CancelToken
    from ifw.config import TranscribeOptions
    from ifw.diarize.attribution import TextBytes
    from ifw.diarize.diarizer import Diarizer
    from ifw.speech.buffer import FloatArray

MAX_AHEAD_S: Final = 900.0  # of audio, 58 MB: so far may transcription be ahead of diarization


@dataclass(frozen=True, slots=True)
class Attribution:
    """Segments, and who says them as far as that is known.

    Attributes:
        segments: Of the whole file.
        turns: Who was heard when; None where nobody was told apart.
        embeddings: The voice of each speaker, by label.
        warnings: That nobody could be told apart, and why.
        timings: Wall seconds by stage.
    """

    segments: tuple[Segment, ...]
    turns: tuple[SpeakerTurn, ...] | None = None
    embeddings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    warnings: tuple[TranscriptWarning, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


class SpeakerListener:
    """Hears the samples of one file while they are transcribed, and says at the end who said what.

    What goes wrong in it does not end the transcription, which may be hours of work: it becomes a warning.

    Args:
        diarizer: May hear other files too.
        options: How many speakers there may be, and which stretches are heard.
        on_progress: Is called with the seconds of audio that were heard.
        cancel: Ends it.
        n_threads: Threads on CPU that all may use together. While both work, one of them is the engine's own.
    """

    def __init__(
        self,
        diarizer: Diarizer,
        options: TranscribeOptions,
        *,
        on_progress: Callable[[float], None],
        cancel: CancelToken,
        n_threads: int,
    ) -> None:
        assert options.diarize is not None
        self._n_threads = n_threads
        self._n_threads_beside = max(1, n_threads - 1)
        self._clip = options.audio.clip
        self._on_progress = on_progress
        self._cancel = cancel
        self._thread = SpeakerThread(diarizer, options.diarize, self._n_threads_beside)
        self._let_go = cancel.add_callback(self._thread.cancel)
        self._reported_s = 0.0
        self._wait_s = 0.0

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def feed(self, samples: FloatArray | None) -> None:
        """Hand over the next samples, [n] float32, which must not change afterwards; None after the last ones."""
        self._thread.feed(samples)

    def wait_for_room(self) -> None:
        """Wait while too many samples wait to be heard.

        Raises:
            CancelledError: The work was cancelled.
        """
        self._wait(lambda: self._thread.waiting_s <= MAX_AHEAD_S)

    def report(self) -> None:
        """Call `on_progress` if more was heard since the last time."""
        heard_s = self._thread.heard_s
        if heard_s > self._reported_s:
            self._reported_s = heard_s
            self._on_progress(heard_s)

    def attribute(self, segments: Sequence[Segment], tokenizer: TextBytes) -> Attribution:
        """Wait until the speakers are told apart, and label what they say.

        Args:
            segments: Of the whole file, with words.
            tokenizer: Of the checkpoint.

        Raises:
            CancelledError: The work was cancelled.
        """
        self._wait(lambda: self._thread.is_done)
        started = time.perf_counter()
        timings = {"diarize": self._thread.work_s, "diarize_wait": self._wait_s}
        found = self._thread.found
        if found is None:
            return Attribution(tuple(segments), warnings=(_failed(self._thread.failure),), timings=timings)
        labelled = attribute(segments, place_turns(found.exclusive_turns, self._clip), tokenizer)
        return Attribution(
            labelled,
            place_turns(found.turns, self._clip),
            {speaker: tuple(embedding.tolist()) for speaker, embedding in found.embeddings.items()},
            timings=timings | {"attribute": time.perf_counter() - started},
        )

    def close(self) -> None:
        """End the thread, if it has not ended."""
        self._let_go()
        self._thread.cancel()
        self._thread.join()

    def _wait(self, is_enough: Callable[[], bool]) -> None:
        self._cancel.raise_if_cancelled()
        if is_enough():
            return
        started = time.perf_counter()
        thread = self._thread
        thread.n_threads = self._n_threads  # this one does not need any
        while not (is_enough() or self._cancel.is_cancelled):
            thread.wait_until(lambda: is_enough() or thread.heard_s > self._reported_s)
            self.report()
        self._cancel.raise_if_cancelled()
        thread.n_threads = self._n_threads_beside
        self._wait_s += time.perf_counter() - started


def without_words(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The same segments for somebody who did not ask for words."""
    return tuple(replace(segment, words=None) for segment in segments)


def place_turns(turns: Sequence[SpeakerTurn], clip: Clip) -> tuple[SpeakerTurn, ...]:
    """Give turns in the samples of a clip, which follow one another without a gap, the times of the whole audio.

    Args:
        turns: In order of their starts. One that goes on from one stretch to the next is cut.
        clip: The stretches that were heard; none means all.
    """
    placed = []
    before_s = 0.0
    for start, stop in clip_samples(clip):
        after_s = float("inf") if stop is None else before_s + (stop - start) / SAMPLE_RATE
        shift_s = start / SAMPLE_RATE - before_s
        for turn in turns:
            start_s, end_s = max(turn.start_s, before_s), min(turn.end_s, after_s)
            if start_s < end_s:
                placed.append(SpeakerTurn(start_s + shift_s, end_s + shift_s, turn.speaker))
        before_s = after_s
    return tuple(placed)


def _failed(failure: BaseException | None) -> TranscriptWarning:
    kind = "" if isinstance(failure, IfwError) else f"{type(failure).__name__}: "
    message = f"the speakers could not be told apart, so that none has a label: {kind}{failure}"
    return TranscriptWarning(DIARIZATION_FAILED, message)
