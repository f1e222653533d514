"""How much of what was said in a window its text leaves out, and which of two texts to believe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from ifw.engine.segments import split_segments

if TYPE_CHECKING:
    from ifw.engine.request import Hypothesis
    from ifw.engine.segments import TextDecoder
    from ifw.speech.windows import Window

MAX_SKIPPED: Final = 0.05  # share of the speech; whole texts measured 0.0, those with a sentence left out 0.09 and more
_MIN_GAP_S: Final = 1.0  # spans are padded, so text never reaches to their very ends


def skipped_share(hypothesis: Hypothesis, window: Window, tokenizer: TextDecoder) -> float:
    """The share of a window's speech, by time, in stretches of over a second that no segment covers.

    Args:
        hypothesis: The text; one that found no speech leaves nothing out.
        window: What was heard.
        tokenizer: Of the checkpoint.
    """
    if hypothesis.is_silent:
        return 0.0
    segments = split_segments(hypothesis.token_ids, tokenizer, window.duration_s)
    covered = [window.to_speech(segment.start_s, segment.end_s) for segment in segments]
    skipped_s = total_s = 0.0
    for span in window.spans:
        total_s += span.duration_s
        skipped_s += sum(gap for gap in _gaps(span.start_s, span.end_s, covered) if gap > _MIN_GAP_S)
    return skipped_s / total_s if total_s else 0.0


def is_better(second: Hypothesis, first: Hypothesis, window: Window, tokenizer: TextDecoder) -> bool:
    """Whether a second text leaves out less than the first, without being the less trustworthy one."""
    if second.is_silent or (second.suspect is not None and first.suspect is None):
        return False
    return skipped_share(second, window, tokenizer) < skipped_share(first, window, tokenizer)


def is_likelier(second: Hypothesis, first: Hypothesis, window: Window, tokenizer: TextDecoder) -> bool:
    """Whether a second text is the likelier by its tokens, neither suspect nor silent nor leaving anything out."""
    if second.is_silent or second.suspect is not None or second.avg_logprob <= first.avg_logprob:
        return False
    return skipped_share(second, window, tokenizer) <= MAX_SKIPPED


def _gaps(start_s: float, end_s: float, covered: Iterable[tuple[float, float]]) -> Iterator[float]:
    """Lengths of what ordered intervals leave uncovered between two times."""
    for covered_start_s, covered_end_s in covered:
        yield min(covered_start_s, end_s) - start_s
        start_s = max(start_s, covered_end_s)
    yield end_s - start_s
