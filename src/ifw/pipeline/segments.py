"""What came of a window as segments of the audio, with their words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ifw.engine.last_words import reach_ends
from ifw.engine.segments import WindowSegment, split_segments
from ifw.engine.words import time_words
from ifw.pipeline.channels import speaker_of
from ifw.pipeline.words import place_words
from ifw.types import Segment, Word

if TYPE_CHECKING:
    from ifw.engine.request import Hypothesis
    from ifw.model.tokenizer import WhisperTokenizer
    from ifw.speech.windows import Window


def place_segments(window: Window, hypothesis: Hypothesis, tokenizer: WhisperTokenizer) -> Iterator[Segment]:
    """Turn the text of a window into segments of the audio.

    Args:
        window: Where it was heard.
        hypothesis: Its text, with the attention of its tokens where words are wanted.
        tokenizer: Of the checkpoint.

    Yields:
        Segments in time order, all with the id 0; a segment with words begins and ends with them.
    """
    if hypothesis.is_silent:
        return
    timed = split_segments(hypothesis.token_ids, tokenizer, window.duration_s, hypothesis.token_logprobs)
    speaker = speaker_of(window)
    for segment, words in zip(timed, _words(timed, window, hypothesis, tokenizer), strict=True):
        start_s, end_s = window.to_speech(segment.start_s, segment.end_s)
        if words:
            start_s, end_s = words[0].start_s, words[-1].end_s
        yield Segment(
            id=0,
            start_s=start_s,
            end_s=end_s,
            text=segment.text,
            token_ids=segment.token_ids,
            language=hypothesis.language,
            temperature=hypothesis.temperature,
            avg_logprob=hypothesis.avg_logprob,
            compression_ratio=hypothesis.compression_ratio,
            no_speech_prob=hypothesis.no_speech_prob,
            suspect=hypothesis.suspect,
            speaker=speaker,
            words=words,
            token_logprobs=segment.token_logprobs,
        )


def _words(
    segments: Sequence[WindowSegment], window: Window, hypothesis: Hypothesis, tokenizer: WhisperTokenizer
) -> list[tuple[Word, ...]] | list[None]:
    """The words of each segment of a window, where they were asked for."""
    if hypothesis.attention is None:
        return [None] * len(segments)
    timed = time_words(segments, hypothesis.attention, tokenizer, hypothesis.language)
    placed, speaker = place_words(reach_ends(segments, timed, window.samples), window), speaker_of(window)
    if speaker is None:
        return placed
    return [tuple(replace(word, speaker=speaker) for word in words) for words in placed]
