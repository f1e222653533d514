"""Segments as pieces: the shortest stretches of text that a line may begin or end with, each with its time.

Source: the rules of line breaking in Chinese and Japanese follow JIS X 4051 (no closing mark begins a line, no opening
mark ends one); widths are those of Unicode Standard Annex 11.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from ifw.formats.clean_text import flat
from ifw.types import Segment, Word

_CHUNK = re.compile(r"\s*\S+")
_IDEOGRAPH = re.compile("[\u3001-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff]")
_OPENING = frozenset("([{“‘«「『（【〈《〔｛")
_CLOSING = frozenset(
    ")]}”’»」』）】〉》〕｝,.!?:;%…、。，．・：；？！％～ー々ゝゞぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ"
)
_ZERO_WIDTH_JOINER = "\u200d"
_FLAG_HALVES = re.compile("[\U0001f1e6-\U0001f1ff]+$")
_SKIN_TONE = re.compile("[\U0001f3fb-\U0001f3ff]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that stays together on a line.

    Attributes:
        text: With the space before it, if there is one.
        start_s: Start in the audio.
        end_s: End in the audio.
        speaker: Label of the speaker, where known.
        is_timed: The times were measured, not shared out over the text of a segment.
        is_word: A word begins here; False for the rest of a word that was cut.
    """

    text: str
    start_s: float
    end_s: float
    speaker: str | None
    is_timed: bool
    is_word: bool = True


def timed_words(segment: Segment) -> tuple[Word, ...]:
    """The words of a segment; empty where there are none, or where they are not the words of its text."""
    words = segment.words or ()
    return words if "".join(word.text for word in words).split() == segment.text.split() else ()


def cut(segment: Segment, max_width: int | None) -> list[Piece]:
    """Cut a segment at spaces, between Chinese or Japanese characters, and anywhere in what is wider than a line.

    Without word times the time of the segment is shared out by the number of characters.

    Args:
        segment: What to cut.
        max_width: Columns of a line; None for lines without end.
    """
    words = timed_words(segment)
    if not words:
        return list(_cut(Word(segment.text, segment.start_s, segment.end_s, 0.0), segment.speaker, max_width, False))
    return [piece for word in words for piece in _cut(word, word.speaker or segment.speaker, max_width, True)]


def columns(text: str) -> int:
    """How wide a text is: wide characters are two columns, marks on other characters none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def may_break(before: str, after: str) -> bool:
    """Whether a line may end between two characters without a space between them."""
    if not (_IDEOGRAPH.match(before) or _IDEOGRAPH.match(after)):
        return False
    return before not in _OPENING and after not in _CLOSING


def _cut(word: Word, speaker: str | None, max_width: int | None, is_timed: bool) -> Iterator[Piece]:
    text = flat(word.text)
    atoms = list(_atoms(text, max_width))
    n_letters = sum(len(atom) for atom, _ in atoms)
    length_s, done = word.end_s - word.start_s, 0
    for atom, is_word in atoms:
        start_s = word.start_s + length_s * (done / n_letters)
        done += len(atom)
        end_s = word.end_s if done == n_letters else word.start_s + length_s * (done / n_letters)
        yield Piece(atom, start_s, end_s, speaker, is_timed, is_word)


def _atoms(text: str, max_width: int | None) -> Iterator[tuple[str, bool]]:
    """What cannot be cut further, and whether a word begins with it."""
    for chunk in _CHUNK.findall(text):
        is_long = max_width is not None and columns(chunk.strip()) > max_width
        start = 0
        for end in range(1, len(chunk)):
            before, after = chunk[end - 1], chunk[end]
            is_joined = not _columns(after) or before == _ZERO_WIDTH_JOINER or before.isspace()
            is_joined = is_joined or _is_whole_flag(chunk[start : end + 1])
            if not is_joined and (is_long or may_break(before, after)):
                yield chunk[start:end], start == 0
                start = end
        yield chunk[start:], start == 0


def _is_whole_flag(text: str) -> bool:
    """Whether the last two characters are the two halves of a flag."""
    halves = _FLAG_HALVES.search(text)
    return halves is not None and len(halves.group()) % 2 == 0


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf") or _SKIN_TONE.match(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
