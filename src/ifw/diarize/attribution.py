"""Who said what: speaker turns on one side, segments and their words on the other, labelled segments out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, chain
from typing import Final, NamedTuple, Protocol

from ifw.diarize.whose_turn import hear_turns
from ifw.types import Segment, SpeakerTurn, Word

MAX_GAP_S: Final = 1.0
_CHANGE_S: Final = 0.5  # so much longer another must be heard to take the word within a sentence
_SENTENCE_ENDS: Final = frozenset(".!?…。！？｡؟।")
_CLOSING: Final = "\"'”’»)]}」』）"


class TextBytes(Protocol):
    """What `attribute` needs of a tokenizer."""

    def decode_bytes(self, token_ids: Sequence[int], /) -> bytes:
        """The UTF-8 bytes of text tokens."""
        ...


def attribute(
    segments: Sequence[Segment],
    turns: Sequence[SpeakerTurn],
    tokenizer: TextBytes | None = None,
    *,
    max_gap_s: float = MAX_GAP_S,
) -> tuple[Segment, ...]:
    """Give every segment and every word its speaker; a segment of several speakers is cut between words.

    A word belongs to the speaker who is heard most while it lasts, or to the nearest turn, and where that is open to
    the speaker before. Nobody says half a sentence for another, so within a sentence a change of speaker has a price:
    what another says for less than a second in the middle of one is the first speaker's. Between sentences it has
    none. Words of nobody do not cut a segment.

    Args:
        segments: In time order. One whose words are missing, or are not those of its text, is not cut.
        turns: Who speaks when; they may overlap.
        tokenizer: Shares the tokens of a segment that is cut out among its parts; without it they have none.
        max_gap_s: A turn that is further away from a word does not count.

    Returns:
        The same text in the same order, with ids from 0; a part begins and ends with its words.
    """
    pieces = [_pieces(segment) for segment in segments]
    flat = list(chain.from_iterable(pieces))
    heard = hear_turns([(piece.start_s, piece.end_s) for piece in flat], turns, max_gap_s)
    labels = iter(_tell_speakers(flat, heard))
    attributed: list[Segment] = []
    for segment, own in zip(segments, pieces, strict=True):
        for part in _labelled(segment, own, [next(labels) for _ in own], tokenizer):
            attributed.append(replace(part, id=len(attributed)))
    return tuple(attributed)


class _Piece(NamedTuple):
    """What can have but one speaker: a written word, which may be several `Word`s, or a whole segment without words."""

    words: tuple[Word, ...]
    start_s: float
    end_s: float
    begins_sentence: bool


def _pieces(segment: Segment) -> list[_Piece]:
    groups: list[list[Word]] = []
    for word in segment.words or ():
        if groups and (_clings(word.text) or not any(other.text.strip() for other in groups[-1])):
            groups[-1].append(word)
        else:
            groups.append([word])
    if not groups:
        return [_Piece((), segment.start_s, segment.end_s, begins_sentence=True)]
    return [
        _Piece(
            tuple(words),
            words[0].start_s,
            words[-1].end_s,
            begins_sentence=index == 0 or _ends_sentence("".join(word.text for word in groups[index - 1])),
        )
        for index, words in enumerate(groups)
    ]


def _clings(text: str) -> bool:
    """Whether a word is the rest of the one before it, such as `-known`; scripts without spaces are cut anywhere."""
    if not text.strip():
        return True
    return not text[0].isspace() and (text[0].isascii() or not text[0].isalnum())


def _ends_sentence(text: str) -> bool:
    return text.rstrip().rstrip(_CLOSING)[-1:] in _SENTENCE_ENDS


def _tell_speakers(pieces: Sequence[_Piece], heard: Sequence[Mapping[str, float]]) -> list[str | None]:
    """Choose a speaker for each piece: of all ways through the pieces the one with the lowest price.

    The price of a piece is for how many seconds its speaker is heard less than whoever is heard most; added to that
    are the changes within sentences. (Viterbi's algorithm; of ways with the same price the one with fewer changes.)
    """
    speakers = list(dict.fromkeys(chain.from_iterable(heard)))
    if not speakers:
        return [None] * len(pieces)
    prices = [0.0] * len(speakers)  # of the best way to each speaker
    before: list[list[int]] = []  # on the best way to each speaker, who says the piece before
    for piece, seconds in zip(pieces, heard, strict=True):
        cheapest = min(range(len(prices)), key=prices.__getitem__)
        after_change = prices[cheapest] + (0.0 if piece.begins_sentence else _CHANGE_S)
        before.append([index if price <= after_change else cheapest for index, price in enumerate(prices)])
        most_s = max(seconds.values(), default=0.0)
        prices = [
            min(price, after_change) + most_s - seconds.get(speaker, 0.0)
            for speaker, price in zip(speakers, prices, strict=True)
        ]
    way: list[int] = []
    now = min(range(len(prices)), key=prices.__getitem__)
    for origins in reversed(before):
        way.append(now)
        now = origins[now]
    way.reverse()
    return [speakers[index] if seconds else None for index, seconds in zip(way, heard, strict=True)]


def _labelled(
    segment: Segment, pieces: Sequence[_Piece], speakers: Sequence[str | None], tokenizer: TextBytes | None
) -> Iterator[Segment]:
    """The parts of a segment, one for each stretch of one speaker."""
    if not segment.words:
        yield replace(segment, speaker=speakers[0])
        return
    said = [
        tuple(replace(word, speaker=speaker) for word in piece.words)
        for piece, speaker in zip(pieces, speakers, strict=True)
    ]
    words = tuple(chain.from_iterable(said))
    if "".join(word.text for word in words).split() != segment.text.split():
        yield replace(segment, words=words, speaker=_who_speaks_most(words))
        return
    parts: list[tuple[str | None, list[Word]]] = []
    for group, speaker in zip(said, speakers, strict=True):
        if not parts or (speaker is not None and parts[-1][0] not in (None, speaker)):
            parts.append((speaker, []))
        parts[-1][1].extend(group)
        parts[-1] = (parts[-1][0] or speaker, parts[-1][1])
    yield from _cut(segment, parts, tokenizer)


def _who_speaks_most(words: Sequence[Word]) -> str | None:
    spoken_s: dict[str, float] = {}
    for word in words:
        if word.speaker is not None:
            spoken_s[word.speaker] = spoken_s.get(word.speaker, 0.0) + word.end_s - word.start_s
    return max(spoken_s, key=spoken_s.__getitem__) if spoken_s else None


def _cut(
    segment: Segment, parts: Sequence[tuple[str | None, Sequence[Word]]], tokenizer: TextBytes | None
) -> Iterator[Segment]:
    if len(parts) == 1:
        speaker, words = parts[0]
        yield replace(segment, words=tuple(words), speaker=speaker)
        return
    bounds = _token_bounds(segment, [words for _, words in parts], tokenizer)
    for index, (speaker, words) in enumerate(parts):
        start_s = segment.start_s if index == 0 else words[0].start_s
        end_s = segment.end_s if index + 1 == len(parts) else words[-1].end_s
        own = slice(bounds[index], bounds[index + 1])
        yield replace(
            segment,
            start_s=start_s,
            end_s=max(start_s, end_s),
            text="".join(word.text for word in words).strip(),
            token_ids=segment.token_ids[own],
            token_logprobs=None if tokenizer is None or segment.token_logprobs is None else segment.token_logprobs[own],
            words=tuple(words),
            speaker=speaker,
        )


def _token_bounds(segment: Segment, parts: Sequence[Sequence[Word]], tokenizer: TextBytes | None) -> list[int]:
    """Where the tokens of each part begin, and where the last ones end: words and tokens are the same bytes."""
    if tokenizer is None:
        return [0] * (len(parts) + 1)
    n_bytes = list(accumulate((len(tokenizer.decode_bytes([token])) for token in segment.token_ids), initial=0))
    lengths = [sum(len(word.text.encode(errors="replace")) for word in words) for words in parts]
    bounds = [min(bisect_left(n_bytes, length), len(segment.token_ids)) for length in accumulate(lengths[:-1])]
    return [0, *bounds, len(segment.token_ids)]
