"""From the text tokens of a window to words with times."""

from __future__ import annotations

import codecs
import string
from collections.abc import Sequence
from itertools import zip_longest
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ifw.constants import POSITION_S
from ifw.engine.time_warping import token_starts

if TYPE_CHECKING:
    from ifw.engine.request import TokenAttention
    from ifw.engine.segments import WindowSegment

PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"
UNSPACED_LANGUAGES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
_SENTENCE_ENDS = ".。!！?？"
_SLACK_S = 0.5  # openai-whisper doubts a word, not the timestamp, beyond this
_ROOM_S = 0.1  # for a word to be moved there
_OUTSIDE = -1e3
_MAX_MEDIAN_S = 0.7  # a window of nothing but long words is no window of words


class WindowWord(NamedTuple):
    """A word of a window.

    Attributes:
        text: As written, with the space before it.
        start_s: Seconds from the start of the window.
        end_s: Not before `start_s`.
        probability: Mean probability of its tokens, without the punctuation that was merged into it.
    """

    text: str
    start_s: float
    end_s: float
    probability: float


class TextBytes(Protocol):
    """What `split_words` needs of a tokenizer."""

    def decode_bytes(self, token_ids: Sequence[int], /) -> bytes:
        """The UTF-8 bytes of text tokens."""
        ...


def split_words(token_ids: Sequence[int], tokenizer: TextBytes, language: str) -> list[tuple[str, int]]:
    """Cut text tokens into words and punctuation marks.

    Languages that write no spaces are cut between any two tokens that do not share a character.

    Args:
        token_ids: Text tokens.
        tokenizer: Of the checkpoint.
        language: ISO code of the text.

    Returns:
        Text and number of tokens of each; the texts joined are the text of all tokens.

    Source:
        openai/whisper `tokenizer.py`, `split_to_word_tokens`.
    """
    pieces: list[tuple[str, int]] = []
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text, n_tokens = "", 0
    for index, token in enumerate(token_ids):
        text += decoder.decode(tokenizer.decode_bytes([token]), final=index + 1 == len(token_ids))
        n_tokens += 1
        if not decoder.getstate()[0]:  # no character is half read
            pieces.append((text, n_tokens))
            text, n_tokens = "", 0
    if language in UNSPACED_LANGUAGES:
        return pieces
    words: list[tuple[str, int]] = []
    for text, n_tokens in pieces:
        if not words or text.startswith(" ") or text.strip() in string.punctuation:
            words.append((text, n_tokens))
        else:
            words[-1] = (words[-1][0] + text, words[-1][1] + n_tokens)
    return words


def merge_punctuation(words: Sequence[WindowWord]) -> list[WindowWord]:
    """Let opening marks cling to the word behind them, all other ones to the word before; the words keep their times.

    Args:
        words: As `split_words` cuts them.

    Returns:
        The words, none of them without text.

    Source:
        openai/whisper `timing.py`, `merge_punctuations`.
    """
    opened: list[WindowWord] = []
    for word in reversed(words):
        if opened and word.text.startswith(" ") and word.text.strip() in PREPENDED:
            opened[-1] = opened[-1]._replace(text=word.text + opened[-1].text)
        else:
            opened.append(word)
    merged: list[WindowWord] = []
    for word in reversed(opened):
        is_mark = word.text in APPENDED and not (merged and merged[-1].text.endswith(" "))
        if merged and (is_mark or not word.text.strip()):
            merged[-1] = merged[-1]._replace(text=merged[-1].text + word.text)
        else:
            merged.append(word)
    return merged


def time_words(
    segments: Sequence[WindowSegment], attention: TokenAttention, tokenizer: TextBytes, language: str
) -> list[list[WindowWord]]:
    """Find the words of a window's segments.

    The attention decides where words are, but not against the timestamps that the model wrote: no word is further
    than 0.5 s outside of its segment, and none begins before it or ends behind it as long as something is left of it.

    Args:
        segments: Of the hypothesis; their text tokens together are those that the attention is about.
        attention: Of the hypothesis. Tokens that it does not reach, because the row was longer than the decoder's
            context, get no length at the end.
        tokenizer: Of the checkpoint.
        language: ISO code of the text.

    Returns:
        The words of each segment, in order, without overlap; some may have no length.
    """
    words = _shortened(place_tokens(segments, attention, tokenizer, language))
    return [_within(merge_punctuation(marks), segment) for marks, segment in zip(words, segments, strict=True)]


def place_tokens(
    segments: Sequence[WindowSegment], attention: TokenAttention, tokenizer: TextBytes, language: str
) -> list[list[WindowWord]]:
    """Find the words and marks of a window's segments as the attention has them; see `time_words`.

    Each starts where its first token is heard and ends where the next one starts.

    Source:
        openai/whisper `timing.py`, `find_alignment`.
    """
    starts = token_starts(_bounded(attention.matrix, segments)) * POSITION_S
    probabilities: list[float] = attention.probabilities.tolist()
    found: list[list[WindowWord]] = []
    first = 0
    for segment in segments:
        found.append([])
        for text, n_tokens in split_words(segment.token_ids, tokenizer, language):
            begin, end = min(first, len(probabilities)), min(first + n_tokens, len(probabilities))
            probability = fmean(probabilities[begin:end]) if end > begin else 0.0
            found[-1].append(WindowWord(text, float(starts[begin]), float(starts[end]), probability))
            first += n_tokens
    return found


def _bounded(matrix: npt.NDArray[np.float32], segments: Sequence[WindowSegment]) -> npt.NDArray[np.float32]:
    """The attention, with nothing to gain from a token too far outside of its segment.

    Pauses belong to the last token before them, the first one also to the first token.
    """
    bounded = np.array(matrix)
    row = 0
    for segment, following in zip_longest(segments, segments[1:]):
        end = row + len(segment.token_ids)
        bounded[max(row, 1) : end, : _position(segment.start_s - _SLACK_S)] = _OUTSIDE
        bounded[row : end - 1, _position(segment.end_s + _SLACK_S) + 1 :] = _OUTSIDE
        if following is not None:
            bounded[end - 1 : end, _position(following.start_s + _SLACK_S) + 1 :] = _OUTSIDE
        row = end
    if segments:  # the end may look at every silence: what it sees before the last segment is no reason to hurry there
        early = bounded[row:, : _position(segments[-1].start_s)]
        np.minimum(early, 0.0, out=early)
    return bounded


def _position(time_s: float) -> int:
    return max(int(time_s / POSITION_S), 0)


def _within(words: list[WindowWord], segment: WindowSegment) -> list[WindowWord]:
    """Words whose outer ends are those of the segment, where they would lie outside of it.

    One that lies wholly outside was hardly heard by the attention: it gets the room that the others leave inside.
    """
    if not words:
        return words
    first, last = words[0], words[-1]
    until_s = words[1].start_s if len(words) > 1 else segment.end_s
    if first.end_s <= segment.start_s < until_s - _ROOM_S:
        words[0] = first._replace(start_s=segment.start_s, end_s=until_s)
    elif first.start_s < segment.start_s < first.end_s:
        words[0] = first._replace(start_s=segment.start_s)
    from_s = words[-2].end_s if len(words) > 1 else segment.start_s
    if last.start_s >= segment.end_s > from_s + _ROOM_S:
        words[-1] = last._replace(start_s=from_s, end_s=segment.end_s)
    elif words[-1].start_s < segment.end_s < words[-1].end_s:
        words[-1] = words[-1]._replace(end_s=segment.end_s)
    return words


def _shortened(segments: list[list[WindowWord]]) -> list[list[WindowWord]]:
    """Cut what is too long at the end or start of a sentence, or at the start of a segment: it took in a pause.

    Source:
        openai/whisper `timing.py`, `add_word_timestamps`: "truncate long words at sentence boundaries", and the first
        words of a segment after a pause.
    """
    lengths = [word.end_s - word.start_s for words in segments for word in words]
    longest_s = 2 * min(float(np.median([length for length in lengths if length] or [0.0])), _MAX_MEDIAN_S)
    shortened: list[list[WindowWord]] = []
    for words in segments:
        shortened.append([])
        is_after_end = True
        for word in words:
            is_too_long = longest_s > 0 and word.end_s - word.start_s > longest_s
            is_end = word.text in _SENTENCE_ENDS
            shortened[-1].append(
                word._replace(end_s=word.start_s + longest_s)
                if is_too_long and is_end
                else word._replace(start_s=word.end_s - longest_s)
                if is_too_long and is_after_end
                else word
            )
            is_after_end = is_end
    return shortened
