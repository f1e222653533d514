"""Tokens of a window to segments, against openai-whisper's rule and under random input."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw.constants import POSITION_S
from ifw.engine.segments import split_segments

EOT, STAMP = 100, 110


class Letters:
    """Token n below 26 is a letter, 26 is a space."""

    eot = EOT
    timestamp_begin = STAMP

    def decode(self, token_ids):
        return "".join(" " if token == 26 else chr(97 + token % 26) for token in token_ids)


def stamp(time_s: float) -> int:
    return STAMP + round(time_s / POSITION_S)


def split(tokens, content_s=30.0):
    return [(round(s.start_s, 2), round(s.end_s, 2), s.text) for s in split_segments(tokens, Letters(), content_s)]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([], []),
        ([0, 1], [(0, 30, "ab")]),
        ([stamp(0), 0, stamp(2), stamp(2), 1, stamp(4)], [(0, 2, "a"), (2, 4, "b")]),
        ([stamp(0), 0, stamp(2), stamp(3), 1, stamp(4)], [(0, 2, "a"), (3, 4, "b")]),
        ([stamp(0.4), 0, stamp(2)], [(0.4, 2, "a")]),
        ([stamp(0), 0, stamp(2), stamp(2), 1], [(0, 2, "a"), (2, 30, "b")]),
        ([stamp(0.4), 0], [(0.4, 30, "a")]),
        ([0, stamp(3)], [(0, 3, "a")]),
        ([0, stamp(3), 1], [(0, 3, "a"), (3, 30, "b")]),
        ([stamp(0), 26, stamp(2), stamp(2), 1, stamp(4)], [(2, 4, "b")]),
        ([stamp(1)], []),
        ([stamp(1), stamp(2)], []),
        ([stamp(0), 0, 105, 1, stamp(2)], [(0, 2, "ab")]),
    ],
)
def test_rule(tokens, expected):
    assert split(tokens) == expected


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([stamp(0), 0, stamp(8)], [(0, 5, "a")]),
        ([stamp(0), 0, stamp(4), stamp(6), 1, stamp(8)], [(0, 4, "a"), (4.98, 5, "b")]),
        ([stamp(0), 0, stamp(5), stamp(6), 1, stamp(8)], [(0, 5, "a b")]),
        ([stamp(2), 0, stamp(2)], [(2, 2.02, "a")]),
        ([stamp(3), 0, stamp(2)], [(3, 3.02, "a")]),
        ([stamp(3), 0, stamp(4), stamp(1), 1, stamp(2)], [(3, 4, "a"), (4, 4.02, "b")]),
        ([stamp(7), 0], [(4.98, 5, "a")]),
    ],
)
def test_repair(tokens, expected):
    assert split(tokens, content_s=5.0) == expected


def openai_slices(tokens: list[int]) -> list[tuple[float, float, list[int]]]:
    """The closed segments that openai/whisper `transcribe.py` makes, rewritten from its description as a loop."""
    is_stamp = [token >= STAMP for token in tokens]
    cuts = [i + 1 for i in range(len(tokens) - 1) if is_stamp[i] and is_stamp[i + 1]]
    if is_stamp[-2:] == [False, True]:
        cuts.append(len(tokens))
    slices, last = [], 0
    for cut in cuts:
        part = tokens[last:cut]
        slices.append(((part[0] - STAMP) * POSITION_S, (part[-1] - STAMP) * POSITION_S, [t for t in part if t < EOT]))
        last = cut
    return slices


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.lists(st.integers(0, 25), min_size=1)), min_size=1)
)
def test_closed_segments_are_those_of_openai_whisper(parts):
    tokens, now = [], 0
    for gap, length, text in parts:
        tokens += [STAMP + now + gap, *text, STAMP + now + gap + length]
        now += gap + length
    got = [(s.start_s, s.end_s, list(s.token_ids)) for s in split_segments(tokens, Letters(), 1e6)]
    assert got == openai_slices(tokens)


@given(st.lists(st.integers(0, STAMP + 1500), max_size=60), st.floats(0.01, 30, allow_nan=False))
@settings(max_examples=400)
def test_any_tokens_give_ordered_segments_and_keep_the_text(tokens, content_s):
    segments = split_segments(tokens, Letters(), content_s)
    for segment in segments:
        assert 0 <= segment.start_s < segment.end_s <= content_s
        assert segment.text == segment.text.strip() != ""
        assert all(token < EOT for token in segment.token_ids)
    for left, right in itertools.pairwise(segments):
        assert left.end_s <= right.start_s
    kept = "".join(segment.text for segment in segments).replace(" ", "")
    assert kept == Letters().decode([t for t in tokens if t < EOT]).replace(" ", "")


@given(st.lists(st.integers(0, STAMP + 1500), max_size=60), st.floats(0.01, 30, allow_nan=False))
@settings(max_examples=400)
def test_every_text_token_keeps_its_probability(tokens, content_s):
    logprobs = [-10_000.0 * index - token for index, token in enumerate(tokens)]
    plain = split_segments(tokens, Letters(), content_s)
    for segment, without in zip(split_segments(tokens, Letters(), content_s, logprobs), plain, strict=True):
        assert tuple(-logprob % 10_000 for logprob in segment.token_logprobs) == segment.token_ids
        assert segment._replace(token_logprobs=None) == without


@pytest.mark.parametrize("content_s", [0.0, -1.0, float("nan")])
def test_no_content_is_refused(content_s):
    with pytest.raises(AssertionError):
        split_segments([0], Letters(), content_s)
