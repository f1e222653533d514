"""The windows of one file in the engine: what each is asked for, and what is believed of the answer."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from ifw.engine.request import DecodeRequest, DetectRequest, Hypothesis, LanguageDetection, new_request_id
from ifw.pipeline.channels import ChannelContexts
from ifw.pipeline.context import TextContext
from ifw.pipeline.journal import Remembered
from ifw.pipeline.language import resolve_language
from ifw.pipeline.missing import MissingText
from ifw.pipeline.prompt import encode_prompts
from ifw.pipeline.segments import place_segments
from ifw.pipeline.skipped_speech import MAX_SKIPPED, is_better, is_likelier, skipped_share
from ifw.pipeline.window_languages import WindowLanguages, WindowWithLanguage

if TYPE_CHECKING:
    from ifw.config import DecodeOptions
    from ifw.engine.engine import Engine
    from ifw.model.checkpoint import Checkpoint
    from ifw.pipeline.journal import Replay
    from ifw.pipeline.language import LanguageVote
    from ifw.speech.windows import Window
    from ifw.types import Segment, TranscriptWarning

_T = TypeVar("_T")
MIN_IN_FLIGHT: Final = 8  # windows of one file that the engine may hold, so that a long file costs no memory


class Landed(NamedTuple):
    """A window whose text is final, and its segments in time order, all with the id 0."""

    window: Window
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class _Flight:
    """A window inside the engine."""

    window: Window
    request: DecodeRequest
    hypothesis: Future[Hypothesis]
    segments: tuple[Segment, ...] | None = None  # where an earlier run knew them


class Flights:
    """Keeps the engine busy with a bounded number of windows of one file.

    Args:
        engine: May hold windows of other files too.
        checkpoint: The one in the engine.
        options: Of decoding.
        replay: What an earlier run came to; those windows do not go to the engine.
        priority: Of this file's windows among those of others; higher goes first.

    Raises:
        LanguageError: The language is unknown to Whisper or to this checkpoint.
        ModeError: The checkpoint cannot translate.
        PromptError: The prompt is no text.
    """

    def __init__(
        self, engine: Engine, checkpoint: Checkpoint, options: DecodeOptions, replay: Replay, priority: int = 0
    ) -> None:
        self._engine = engine
        self._tokenizer = checkpoint.tokenizer
        self._options = options
        self._replay = replay
        self._group = uuid.uuid4().hex
        self._priority = priority
        language = resolve_language(options, checkpoint)
        self._languages = WindowLanguages(self._detect, language, each=options.multilingual)
        self._detections: dict[int, Future[LanguageDetection]] = {}  # of windows that have not landed
        self._prompts = encode_prompts(options, checkpoint.tokenizer, checkpoint.dims.n_text_positions)
        self._contexts = ChannelContexts(self._make_context)
        self._missing = MissingText()

    @property
    def language(self) -> LanguageVote:
        """The language of the file, as far as is known."""
        return self._languages.result()

    @property
    def prompt_warnings(self) -> tuple[TranscriptWarning, ...]:
        """What is odd about the prompts."""
        return self._prompts.warnings

    @property
    def text_warnings(self) -> list[TranscriptWarning]:
        """What is odd about the text of the windows that have landed."""
        return self._missing.warnings()

    def cancel(self) -> None:
        """Take all windows of this file out of the engine; from any thread."""
        self._engine.cancel_group(self._group)

    def land(self, windows: Iterator[Window]) -> Iterator[Landed]:
        """Send windows to the engine, and hand out each in turn when its text is final.

        Args:
            windows: In order; read while others are in the engine.
        """
        limit = max(MIN_IN_FLIGHT, 2 * self._engine.n_slots)
        flights: deque[_Flight] = deque()
        for item in self._languages.assign(windows):
            while flights and self._options.condition_on_previous_text:  # the text before this window must be known
                yield self._land(flights.popleft())
            flights.append(self._start(item))
            while flights and (len(flights) >= limit or flights[0].hypothesis.done()):
                yield self._land(flights.popleft())
        while flights:
            yield self._land(flights.popleft())

    def _make_context(self) -> TextContext:
        is_conditioned = self._options.condition_on_previous_text
        return TextContext(self._prompts, self._tokenizer, is_conditioned=is_conditioned)

    def _detect(self, window: Window) -> Future[LanguageDetection]:
        known = self._replay.recall(window)
        if known is not None and known.detection is not None:
            future = _done(known.detection)
        else:
            request = DetectRequest(group=self._group, priority=self._priority, samples=window.samples)
            future = self._engine.detect_language(request)
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
            priority=self._priority,
            samples=item.window.samples,
            encoded=item.encoded,
            language=item.language,
            window_index=item.window.index,
            prompt_ids=context.prompt_ids(nth, item.language),
            prefix_ids=context.prefix_ids(nth),
            options=self._options,
        )

    def _believed(self, flight: _Flight) -> Hypothesis:
        """The text of a window, or what it says with a smaller prompt where that is more to be believed.

        A prompt that made the model leave out speech is taken away. Previous text makes it surer of itself, right or
        wrong: there the likelier of both texts is kept.
        """
        first, window, tokenizer = flight.hypothesis.result(), flight.window, self._tokenizer
        if flight.segments is not None or not flight.request.prompt_ids:
            return first
        if skipped_share(first, window, tokenizer) > MAX_SKIPPED:
            second = self._ask_again(flight, ())
            return second if is_better(second, first, window, tokenizer) else first
        context, nth = self._contexts.of(window)
        plain_ids = context.plain_ids(nth)
        if flight.request.prompt_ids == plain_ids:
            return first
        second = self._ask_again(flight, plain_ids)
        return second if is_likelier(second, first, window, tokenizer) else first

    def _ask_again(self, flight: _Flight, prompt_ids: tuple[int, ...]) -> Hypothesis:
        request = replace(flight.request, prompt_ids=prompt_ids, request_id=new_request_id())
        return self._engine.submit(request).result()

    def _land(self, flight: _Flight) -> Landed:
        """Wait for a window, and take note of what came of it."""
        hypothesis, window = self._believed(flight), flight.window
        detection = self._detections.pop(window.index, None)
        segments = flight.segments
        if segments is None:
            segments = tuple(place_segments(window, hypothesis, self._tokenizer))
            heard = None if detection is None else detection.result()
            self._replay.keep(window, Remembered(hypothesis, segments, heard))
        self._contexts.of(window)[0].add(hypothesis)
        self._missing.add(window, hypothesis)
        if not hypothesis.is_silent:
            self._languages.heard(window, hypothesis.language)
        return Landed(window, segments)


def _done(result: _T) -> Future[_T]:
    """What the engine would have given, at once."""
    future: Future[_T] = Future()
    future.set_result(result)
    return future
