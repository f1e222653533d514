"""One transcription, as an iterator: segments in time order, an end at any time, the transcript after the last one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ifw.audio import open_stream
from ifw.audio.clip import clipped_s
from ifw.cancellation import CancelToken
from ifw.errors import IfwError
from ifw.pipeline.channels import TimeOrder
from ifw.pipeline.flights import Flights
from ifw.pipeline.identity import identity_of
from ifw.pipeline.journal import Replay
from ifw.pipeline.speakers import Attribution, SpeakerListener, without_words
from ifw.pipeline.window_reader import WindowReader
from ifw.types import Progress, Segment, Stage, Transcript, TranscriptWarning

if TYPE_CHECKING:
    from ifw.audio import AudioSource, AudioStream
    from ifw.audio.decoder_process import Launch
    from ifw.config import TranscribeOptions
    from ifw.diarize.diarizer import Diarizer
    from ifw.engine.engine import Engine
    from ifw.model.checkpoint import Checkpoint
    from ifw.pipeline.journal import Journal
    from ifw.speech.vad import VoiceDetector


class Transcription(Iterator[Segment]):
    """An iterator of segments in time order, each handed out as soon as it is final.

    With diarization none is final before the end: who speaks is known when all was heard, and a segment may be cut.
    Made by `Transcriber.stream`. Work happens only while it is being iterated, by one thread at a time; leaving it
    early, `close`, and cancelling its token all free the engine and the decoder at once.
    """

    def __init__(
        self,
        source: AudioSource,
        options: TranscribeOptions,
        *,
        engine: Engine,
        checkpoint: Checkpoint,
        detector: VoiceDetector | None,
        launch: Launch,
        on_progress: Callable[[Progress], None] | None,
        cancel: CancelToken,
        timings: dict[str, float],
        journal: Journal | None = None,
        priority: int = 0,
        diarizer: Diarizer | None = None,
    ) -> None:
        self._source = source
        self._keeps_words = options.decode.word_timestamps
        self._options = options = options if options.diarize is None else _with_words(options)
        self._engine = engine
        self._launch = launch
        self._checkpoint = checkpoint
        self._on_progress = on_progress or (lambda progress: None)
        self._callers_token = cancel
        self._cancel = CancelToken()  # what ends this one only: the caller's may be that of other work too
        self._is_closed = False
        self._failure: str | None = None
        self._iterating = threading.Lock()  # held while the generator runs
        self._journal = journal
        self._replay = Replay(journal)
        self._order = TimeOrder()
        self._speakers = None
        if diarizer is not None and options.diarize is not None:
            heard = partial(self._report, "diarize")
            self._speakers = SpeakerListener(
                diarizer, options, on_progress=heard, cancel=self._cancel, n_threads=engine.n_threads
            )
        self._reader = WindowReader(
            options,
            detector,
            self._order,
            on_block=partial(self._report, "decode"),
            cancel=self._cancel,
            speakers=self._speakers,
        )
        self._flights = Flights(engine, checkpoint, options.decode, self._replay, priority)
        self._load_timings = timings
        self._timings: dict[str, float] = {}
        self._stream_warnings: tuple[TranscriptWarning, ...] = ()
        self._segments: list[Segment] = []
        self._attribution: Attribution | None = None
        self._final_s = 0.0
        self._transcript: Transcript | None = None
        self._generator = self._run()

    def __next__(self) -> Segment:
        self._engine.check_process()
        if not self._iterating.acquire(blocking=False):
            raise RuntimeError("this transcription is being iterated already: only one thread at a time may do that")
        try:
            return next(self._generator)
        except StopIteration:
            raise
        except BaseException as error:
            self._failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._iterating.release()
            if self._is_closed:
                self._close_generator()

    @property
    def transcript(self) -> Transcript:
        """The whole transcript; there after the last segment was handed out.

        Raises:
            RuntimeError: There is none, and the message says why.
        """
        if self._transcript is not None:
            return self._transcript
        if self._failure is not None:
            raise RuntimeError(f"there is no transcript: the transcription failed with {self._failure}")
        if self._is_closed:
            raise RuntimeError("there is no transcript: the transcription was closed before its end")
        raise RuntimeError("the transcript is there only after the last segment; iterate to the end first")

    @property
    def partial(self) -> Transcript | None:
        """What is final so far, as a transcript that ends where the last final window does; None before the first.

        It warns of its own incompleteness (`interrupted`). For a transcription that was cancelled or has failed; not
        while another thread iterates.
        """
        if not self._final_s:
            return None
        message = f"the transcription was interrupted: it ends at {self._final_s:.1f} s of the audio"
        so_far = self._finish()
        warnings = (*so_far.warnings, TranscriptWarning("interrupted", message))
        return replace(so_far, duration_s=self._final_s, warnings=warnings)

    def close(self) -> None:
        """End the work early, from any thread; one that is iterating gets `CancelledError`. Harmless after the end."""
        self._is_closed = True
        self._cancel.cancel()
        self._close_generator()

    def _close_generator(self) -> None:
        """Let go of everything, unless another thread is in the generator: that one does it when it comes out."""
        if self._iterating.acquire(blocking=False):
            try:
                self._generator.close()
            finally:
                self._iterating.release()

    def _run(self) -> Generator[Segment, None, None]:
        started = time.perf_counter()
        with ExitStack() as cleanup:
            cleanup.callback(self._callers_token.add_callback(self._cancel.cancel))
            self._cancel.raise_if_cancelled()
            try:
                audio = open_stream(self._source, self._options.audio, cancel=self._cancel, launch=self._launch)
                stream = cleanup.enter_context(audio)
                self._begin_replay(stream)
                cleanup.callback(self._flights.cancel)
                cleanup.callback(self._cancel.add_callback(lambda: self._stop(stream)))
                if self._speakers is not None:
                    cleanup.callback(self._speakers.close)
                    self._speakers.start()
                for segment in self._labelled_segments(stream):
                    self._timings.setdefault("first_text", time.perf_counter() - started)
                    yield segment
            except IfwError:
                self._cancel.raise_if_cancelled()
                raise
            self._cancel.raise_if_cancelled()
            self._stream_warnings = tuple(stream.warnings)
        self._timings["total"] = time.perf_counter() - started
        self._transcript = self._finish()

    def _begin_replay(self, stream: AudioStream) -> None:
        """Find what an earlier run of this transcription has left, if any."""
        if self._journal is not None:
            arithmetic = self._engine.arithmetic
            self._replay.begin(identity_of(stream.fingerprint, self._options, self._checkpoint, arithmetic))

    def _stop(self, stream: AudioStream) -> None:
        self._flights.cancel()
        stream.close()

    def _labelled_segments(self, stream: AudioStream) -> Iterator[Segment]:
        """Segments as they leave: at once, or after the last one, when it is known who says what."""
        for segment in self._final_segments(stream):
            self._segments.append(replace(segment, id=len(self._segments)))
            if self._speakers is None:
                yield self._segments[-1]
        if self._speakers is not None:
            self._attribution = self._speakers.attribute(self._segments, self._checkpoint.tokenizer)
            yield from self._shown(self._attribution)

    def _final_segments(self, stream: AudioStream) -> Iterator[Segment]:
        """Segments in time order, each as soon as nothing can come before it."""
        for window, segments in self._flights.land(self._reader.read(stream)):
            self._report("transcribe", clipped_s(self._options.audio.clip, window.end_s))
            yield from self._order.land(window, segments)
            self._final_s = self._order.final_s
        yield from self._order.rest()
        self._report("transcribe", self._reader.duration_s)

    def _report(self, stage: Stage, done_s: float) -> None:
        self._on_progress(Progress(stage, done_s, self._reader.total_s))
        if self._speakers is not None and stage != "diarize":
            self._speakers.report()

    def _shown(self, attribution: Attribution) -> tuple[Segment, ...]:
        return attribution.segments if self._keeps_words else without_words(attribution.segments)

    def _finish(self) -> Transcript:
        flights, reader = self._flights, self._reader
        language = flights.language
        attribution = self._attribution or Attribution(tuple(self._segments))
        segments = self._shown(attribution)
        return Transcript(
            text=" ".join(segment.text for segment in segments),
            segments=segments,
            language=language.language,
            language_probability=language.probability,
            language_probabilities=language.probabilities,
            duration_s=reader.duration_s,
            mode=self._options.decode.mode,
            model=self._checkpoint.name,
            warnings=(
                *flights.prompt_warnings,
                *reader.warnings,
                *self._stream_warnings,
                *flights.text_warnings,
                *attribution.warnings,
            ),
            timings=self._load_timings | reader.timings | dict(attribution.timings) | self._timings,
            turns=attribution.turns,
            speaker_embeddings=dict(attribution.embeddings),
        )


def _with_words(options: TranscribeOptions) -> TranscribeOptions:
    """The same with word times: speakers are found for words, whether or not somebody wants to see them."""
    return replace(options, decode=replace(options.decode, word_timestamps=True))
