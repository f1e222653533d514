"""The language of every window of a file: the one given, the one that the first windows vote for, or its own."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, NamedTuple

from ifw.pipeline.language import Ballot, LanguageVote

if TYPE_CHECKING:
    from ifw.engine.request import EncodedWindow, LanguageDetection
    from ifw.speech.windows import Window

    Detect = Callable[[Window], Future[LanguageDetection]]

MAX_VOTES: Final = 3  # windows that decide on the language of a file: more would hold back its first text
MIN_PROBABILITY: Final = 0.5  # a window that is less sure of its own language gets that of the file
MAX_AHEAD: Final = 8  # windows whose detection the engine may hold


class WindowWithLanguage(NamedTuple):
    """A window, the ISO code of its language, and its encoding where the detection made one."""

    window: Window
    language: str
    encoded: EncodedWindow | None


class WindowLanguages:
    """Gives each window of one file its language.

    The first three windows of speech vote, and their encodings are kept and used again. Each window decides by itself
    where that was asked for: one that is less than 50% sure gets the language that was given, or else the one that
    the windows up to it vote for, the first three at least.

    Args:
        detect: Asks the engine for the language of a window.
        given: ISO code; None lets the windows vote.
        each: Each window decides by itself.
    """

    def __init__(self, detect: Detect, given: str | None, *, each: bool) -> None:
        self._detect = detect
        self._given = given
        self._each = each
        self._ballot = Ballot()
        self._speech_s: dict[str, float] = {}

    def assign(self, windows: Iterator[Window]) -> Iterator[WindowWithLanguage]:
        """Add the language, in order; reads a few windows ahead where it has to be detected."""
        language = self._given
        if language is None or self._each:
            voters = deque((window, self._detect(window)) for window in itertools.islice(windows, MAX_VOTES))
            for window, future in voters:
                self._count(window, future.result())
            language = self._ballot.result().language
            while voters:  # taken out: a window that is kept here would stay in memory to the end of the file
                window, future = voters.popleft()
                yield self._decide(window, future.result(), language)
                del window, future
        if self._each:
            yield from self._one_by_one(windows)
        else:
            yield from (WindowWithLanguage(window, language, None) for window in windows)

    def heard(self, window: Window, language: str) -> None:
        """Take note of a window that turned out to hold text."""
        self._speech_s[language] = self._speech_s.get(language, 0.0) + _speech_s(window)

    def result(self) -> LanguageVote:
        """The language of the file: as given, as voted for, or that of most speech where each window decided."""
        if self._given is not None and not self._each:
            return LanguageVote(self._given, 1.0)
        main = max(self._speech_s, key=lambda code: self._speech_s[code], default=None) if self._each else None
        return self._ballot.result(main)

    def _one_by_one(self, windows: Iterator[Window]) -> Iterator[WindowWithLanguage]:
        ahead: deque[tuple[Window, Future[LanguageDetection]]] = deque()
        for window in windows:
            ahead.append((window, self._detect(window)))
            while ahead and (len(ahead) >= MAX_AHEAD or ahead[0][1].done()):
                yield self._count_and_decide(*ahead.popleft())
        while ahead:
            yield self._count_and_decide(*ahead.popleft())

    def _count_and_decide(self, window: Window, future: Future[LanguageDetection]) -> WindowWithLanguage:
        detection = future.result()
        self._count(window, detection)
        return self._decide(window, detection, self._ballot.result().language)

    def _count(self, window: Window, detection: LanguageDetection) -> None:
        self._ballot.add(detection, _speech_s(window))

    def _decide(self, window: Window, detection: LanguageDetection, voted: str) -> WindowWithLanguage:
        is_sure = self._each and detection.probability >= MIN_PROBABILITY
        language = detection.language if is_sure else self._given or voted
        return WindowWithLanguage(window, language, detection.encoded)


def _speech_s(window: Window) -> float:
    return sum(span.duration_s for span in window.spans)
