"""One file on its way through decoding, speech detection, the engine and back into time order."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ifw.audio import open_stream
from ifw.audio.clip import clipped_s
from ifw.cancellation import CancelToken
from ifw.constants import SAMPLE_RATE
from ifw.engine.request import DecodeRequest, DetectRequest, Hypothesis, LanguageDetection, new_request_id
from ifw.engine.segments import WindowSegment, split_segments
from ifw.engine.words import time_words
from ifw.errors import IfwError
from ifw.pipeline.channels import ChannelContexts, ChannelPacker, TimeOrder, speaker_of
from ifw.pipeline.context import TextContext
from ifw.pipeline.coverage import MAX_SKIPPED, is_better, skipped_share
from ifw.pipeline.identity import identity_of
from ifw.pipeline.journal import Remembered, Replay
from ifw.pipeline.language import resolve_language
from ifw.pipeline.missing import MissingText
from ifw.pipeline.prompt import encode_prompts
from ifw.pipeline.window_languages import WindowLanguages, WindowWithLanguage
from ifw.pipeline.words import place_words
from ifw.speech.packer import WindowPacker
from ifw.types import Progress, Segment, Stage, Transcript, TranscriptWarning, Word

if TYPE_CHECKING:
    from ifw.audio import AudioSource, AudioStream
    from ifw.config import TranscribeOptions
    from ifw.engine.engine import Engine
    from ifw.model.checkpoint import Checkpoint
    from ifw.pipeline.journal import Journal
    from ifw.speech.vad import VoiceDetector
    from ifw.speech.windows import Window

_T = TypeVar("_T")
MIN_IN_FLIGHT = 8  # windows of one file that the engine may hold, so that a long file costs no memory


@dataclass(frozen=True, slots=True)
class _Flight:
    """A window inside the engine."""

    window: Window
    request: DecodeRequest
    hypothesis: Future[Hypothesis]
    segments: tuple[Segment, ...] | None = None  # where an earlier run knew them


class Transcription(Iterator[Segment]):
    """An iterator of segments in time order, each handed out as soon as it is final.

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
        on_progress: Callable[[Progress], None] | None,
        cancel: CancelToken,
        timings: dict[str, float],
        journal: Journal | None = None,
    ) -> None:
        self._source = source
        self._engine = engine
        self._checkpoint = checkpoint
        self._on_progress = on_progress or (lambda progress: None)
        self._callers_token = cancel
        self._cancel = CancelToken()  # what ends this one only: the caller's may be that of other work too
        self._is_closed = False
        self._failure: str | None = None
        self._turn = threading.Lock()  # held while the generator runs
        self._group = uuid.uuid4().hex
        self._journal = journal
        self._replay = Replay(None, {})
        self._detections: dict[int, Future[LanguageDetection]] = {}  # of windows that have not landed
        self._detector = detector
        self._order = TimeOrder()
        self._missing = MissingText()
        decode, tokenizer = options.decode, checkpoint.tokenizer
        language = resolve_language(decode, checkpoint)
        self._languages = WindowLanguages(self._detect, language, each=decode.multilingual)
        prompts = encode_prompts(decode, tokenizer, checkpoint.dims.n_text_positions)
        self._is_conditioned = decode.condition_on_previous_text
        self._contexts = ChannelContexts(lambda: TextContext(prompts, tokenizer, is_conditioned=self._is_conditioned))
        self._warnings: list[TranscriptWarning] = list(prompts.warnings)
        self._options = options
        self._timings = timings | {"decode": 0.0, "speech": 0.0}
        self._segments: list[Segment] = []
        self._duration_s = 0.0
        self._final_s = 0.0
        self._total_s: float | None = None
        self._transcript: Transcript | None = None
        self._generator = self._run()

    def __next__(self) -> Segment:
        self._engine.check_process()
        if not self._turn.acquire(blocking=False):
            raise RuntimeError("this transcription is being iterated already: only one thread at a time may do that")
        try:
            return next(self._generator)
        except StopIteration:
            raise
        except BaseException as error:
            self._failure = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._turn.release()
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
        if self._turn.acquire(blocking=False):
            try:
                self._generator.close()
            finally:
                self._turn.release()

    def _run(self) -> Generator[Segment, None, None]:
        started = time.perf_counter()
        with ExitStack() as cleanup:
            cleanup.callback(self._callers_token.add_callback(self._cancel.cancel))
            self._cancel.raise_if_cancelled()
            try:
                stream = cleanup.enter_context(open_stream(self._source, self._options.audio, cancel=self._cancel))
                self._replay = self._remembered(stream)
                cleanup.callback(self._engine.cancel_group, self._group)
                cleanup.callback(self._cancel.add_callback(lambda: self._stop(stream)))
                for segment in self._transcribe(self._windows(stream)):
                    if not self._segments:
                        self._timings["first_text"] = time.perf_counter() - started
                    self._segments.append(replace(segment, id=len(self._segments)))
                    yield self._segments[-1]
            except IfwError:
                self._cancel.raise_if_cancelled()
                raise
            self._cancel.raise_if_cancelled()
            self._warnings += stream.warnings
        self._timings["total"] = time.perf_counter() - started
        self._transcript = self._finish()

    def _remembered(self, stream: AudioStream) -> Replay:
        """What an earlier run of this transcription has left, if any."""
        if self._journal is None:
            return self._replay
        arithmetic = self._engine.arithmetic
        return Replay(self._journal, identity_of(stream.fingerprint, self._options, self._checkpoint, arithmetic))

    def _stop(self, stream: AudioStream) -> None:
        self._engine.cancel_group(self._group)
        stream.close()

    def _windows(self, stream: AudioStream) -> Iterator[Window]:
        """Decode, find speech, pack; each window leaves as soon as it is final."""
        self._total_s = stream.duration_s
        audio, vad = self._options.audio, self._options.vad
        n_channels = stream.n_channels if audio.channels == "split" else None
        packer = ChannelPacker(lambda: WindowPacker(vad, self._detector), audio.clip, n_channels)
        blocks = iter(stream)
        while True:
            started = time.perf_counter()
            block = next(blocks, None)
            decoded = time.perf_counter()
            self._timings["decode"] += decoded - started
            self._cancel.raise_if_cancelled()
            windows = packer.finish() if block is None else packer.feed(block)
            self._timings["speech"] += time.perf_counter() - decoded
            if block is not None:
                self._duration_s += len(block) / SAMPLE_RATE
            else:
                self._total_s = self._duration_s
            self._report("decode", self._duration_s)
            self._order.expect(windows, packer.settled_until_s)
            yield from windows
            if block is None:
                self._warnings += packer.warnings
                return

    def _transcribe(self, windows: Iterator[Window]) -> Iterator[Segment]:
        """Keep the engine busy with a bounded number of windows; hand out segments in time order."""
        limit = max(MIN_IN_FLIGHT, 2 * self._engine.n_slots)
        flights: deque[_Flight] = deque()
        for item in self._languages.assign(windows):
            self._cancel.raise_if_cancelled()
            while flights and self._is_conditioned:  # the text before this window must be known
                yield from self._land(flights.popleft())
            flights.append(self._start(item))
            while flights and (len(flights) >= limit or flights[0].hypothesis.done()):
                yield from self._land(flights.popleft())
        while flights:
            yield from self._land(flights.popleft())
        yield from self._order.rest()
        self._report("transcribe", self._duration_s)

    def _detect(self, window: Window) -> Future[LanguageDetection]:
        known = self._replay.recall(window)
        if known is not None and known.detection is not None:
            future = _done(known.detection)
        else:
            future = self._engine.detect_language(DetectRequest(group=self._group, samples=window.samples))
        self._detections[window.index] = future
        return future

    def _start(self, item: WindowWithLanguage) -> _Flight:
        request = self._request(item)  # in any case, as the prompts of later windows depend on it
        known = self._replay.recall(item.window)
        if known is not None:
            return _Flight(item.window, request, _done(known.hypothesis), known.segments)
        return _Flight(item.window, request, self._engine.submit(request))

    def _request(self, item: WindowWithLanguage) -> DecodeRequest:
        context, nth = self._contexts.of(item.window)
        return DecodeRequest(
            group=self._group,
            samples=item.window.samples,
            encoded=item.encoded,
            language=item.language,
            window_index=item.window.index,
            prompt_ids=context.prompt_ids(nth, item.language),
            prefix_ids=context.prefix_ids(nth),
            options=self._options.decode,
        )

    def _believed(self, flight: _Flight) -> Hypothesis:
        """The text of a window; where a prompt made the model leave out speech, what it says without the prompt."""
        first, window, tokenizer = flight.hypothesis.result(), flight.window, self._checkpoint.tokenizer
        is_final = flight.segments is not None or not flight.request.prompt_ids
        if is_final or skipped_share(first, window, tokenizer) <= MAX_SKIPPED:
            return first
        request = replace(flight.request, prompt_ids=(), request_id=new_request_id())
        second = self._engine.submit(request).result()
        return second if is_better(second, first, window, tokenizer) else first

    def _land(self, flight: _Flight) -> Iterator[Segment]:
        """Turn a finished window into segments in audio time."""
        hypothesis, window = self._believed(flight), flight.window
        detection = self._detections.pop(window.index, None)
        segments = flight.segments
        if segments is None:
            segments = tuple(self._segments_of(window, hypothesis))
            heard = None if detection is None else detection.result()
            self._replay.keep(window, Remembered(hypothesis, segments, heard))
        self._report("transcribe", clipped_s(self._options.audio.clip, window.end_s))
        self._contexts.of(window)[0].add(hypothesis)
        self._missing.add(window, hypothesis)
        if not hypothesis.is_silent:
            self._languages.heard(window, hypothesis.language)
        yield from self._order.land(window, segments)
        self._final_s = self._order.final_s

    def _segments_of(self, window: Window, hypothesis: Hypothesis) -> Iterator[Segment]:
        if hypothesis.is_silent:
            return
        pieces = split_segments(hypothesis.token_ids, self._checkpoint.tokenizer, window.duration_s)
        for timed, words in zip(pieces, self._words(pieces, hypothesis, window), strict=True):
            start_s, end_s = window.to_speech(timed.start_s, timed.end_s)
            if words:
                start_s, end_s = words[0].start_s, words[-1].end_s
            yield Segment(
                id=0,
                start_s=start_s,
                end_s=end_s,
                text=timed.text,
                token_ids=timed.token_ids,
                language=hypothesis.language,
                temperature=hypothesis.temperature,
                avg_logprob=hypothesis.avg_logprob,
                compression_ratio=hypothesis.compression_ratio,
                no_speech_prob=hypothesis.no_speech_prob,
                suspect=hypothesis.suspect,
                speaker=speaker_of(window),
                words=words,
            )

    def _words(
        self, pieces: Sequence[WindowSegment], hypothesis: Hypothesis, window: Window
    ) -> list[tuple[Word, ...]] | list[None]:
        """The words of each piece of a window, where they were asked for."""
        if hypothesis.attention is None:
            return [None] * len(pieces)
        timed = time_words(pieces, hypothesis.attention, self._checkpoint.tokenizer, hypothesis.language)
        placed, speaker = place_words(timed, window), speaker_of(window)
        return [tuple(replace(word, speaker=speaker) for word in words) for words in placed]

    def _report(self, stage: Stage, done_s: float) -> None:
        self._on_progress(Progress(stage, done_s, self._total_s))

    def _finish(self) -> Transcript:
        vote = self._languages.result()
        return Transcript(
            text=" ".join(segment.text for segment in self._segments),
            segments=tuple(self._segments),
            language=vote.language,
            language_probability=vote.probability,
            language_probabilities=vote.probabilities,
            duration_s=self._duration_s,
            mode=self._options.decode.mode,
            model=self._checkpoint.name,
            warnings=(*self._warnings, *self._missing.warnings()),
            timings=dict(self._timings),
        )


def _done(result: _T) -> Future[_T]:
    """What the engine would have given, at once."""
    future: Future[_T] = Future()
    future.set_result(result)
    return future
