"""Speech that gave no text: a transcript says so, as nothing in its segments would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ifw.types import TranscriptWarning

if TYPE_CHECKING:
    from ifw.engine.request import Hypothesis
    from ifw.speech.windows import Window

_MAX_NAMED: Final = 5
_LIKELY: Final = 0.5


class MissingText:
    """Collects the windows in which somebody seems to speak and for which nothing was written."""

    def __init__(self) -> None:
        self._stretches: list[tuple[float, float]] = []

    def add(self, window: Window, hypothesis: Hypothesis) -> None:
        """Take note of a window that has landed."""
        if not hypothesis.text and not hypothesis.is_silent and hypothesis.no_speech_prob < _LIKELY:
            self._stretches.append((window.start_s, window.end_s))

    def warnings(self) -> list[TranscriptWarning]:
        """One warning that names the stretches, where there are any."""
        if not self._stretches:
            return []
        named = ", ".join(f"{start_s:.1f}-{end_s:.1f} s" for start_s, end_s in self._stretches[:_MAX_NAMED])
        n_more = len(self._stretches) - _MAX_NAMED
        rest = f" and {n_more} more" if n_more > 0 else ""
        message = f"somebody seems to speak at {named}{rest}, but the model wrote nothing that can be believed"
        return [TranscriptWarning("text_missing", message)]
