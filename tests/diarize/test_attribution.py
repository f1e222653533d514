"""Who said what: every word keeps its place, and of all ways to share out the words the best one is taken."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw.diarize.attribution import attribute
from ifw.diarize.whose_turn import hear_turns
from ifw.types import Segment, SpeakerTurn, Word

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"


class Letters:
    """A tokenizer whose tokens are numbered texts."""

    def __init__(self, *texts):
        self.texts = [text.encode() for text in texts]

    def decode_bytes(self, token_ids):
        return b"".join(self.texts[token] for token in token_ids)


def said(*words, start_s=0.0, each_s=1.0, **values):
    """A segment whose words follow one another."""
    made = tuple(
        Word(text, start_s + each_s * index, start_s + each_s * (index + 1), 0.9) for index, text in enumerate(words)
    )
    return whole("".join(words).strip(), start_s, start_s + each_s * len(words), words=made, **values)


def whole(text, start_s, end_s, **values):
    return Segment(
        **({"id": 0, "start_s": start_s, "end_s": end_s, "text": text, "token_ids": (), "language": "en"} | values),
        temperature=0.0,
        avg_logprob=-0.1,
        compression_ratio=1.0,
        no_speech_prob=0.0,
    )


def turns(*stretches):
    return [SpeakerTurn(start_s, end_s, speaker) for start_s, end_s, speaker in stretches]


def told(segments):
    return [(item.speaker, item.text) for item in segments]


def test_a_segment_of_two_speakers_is_cut_between_words():
    segment = said(" How", " are", " you?", " Fine,", " thanks.", start_s=10.0)
    first, second = attribute([segment], turns((9.8, 13.1, A), (13.1, 15.0, B)))
    assert told([first, second]) == [(A, "How are you?"), (B, "Fine, thanks.")]
    assert [(item.id, item.start_s, item.end_s) for item in (first, second)] == [(0, 10.0, 13.0), (1, 13.0, 15.0)]
    assert [word.speaker for item in (first, second) for word in item.words] == [A, A, A, B, B]
    assert (first.words + second.words) == tuple(
        replace(word, speaker=speaker) for word, speaker in zip(segment.words, [A, A, A, B, B], strict=True)
    )


def test_tokens_and_their_probabilities_go_with_their_words():
    tokenizer = Letters(" Ho", "w", " are", " yo", "u", "?", " F", "ine", ".", " Grü", "ße")
    logprobs = tuple(-float(token) for token in range(11))
    segment = said(" How", " are", " you?", " Fine.", " Grüße", token_ids=tuple(range(11)), token_logprobs=logprobs)
    parts = attribute([segment], turns((0, 3, A), (3, 4, B), (4, 5, C)), tokenizer)
    assert [item.token_ids for item in parts] == [(0, 1, 2, 3, 4, 5), (6, 7, 8), (9, 10)]
    assert [item.token_logprobs for item in parts] == [logprobs[:6], logprobs[6:9], logprobs[9:]]
    (uncut,) = attribute([segment], turns((0, 5, A)))
    assert (uncut.token_ids, uncut.token_logprobs) == (segment.token_ids, logprobs)
    assert [item.token_ids for item in attribute([segment], turns((0, 3, A), (3, 5, B)))] == [(), ()], "no tokenizer"


def test_words_that_nobody_says_are_null_and_cut_nothing():
    segment = said(" Yes", " no", " maybe", " so", each_s=3.0)
    (one,) = attribute([segment], turns((0, 3, A), (9, 12, A)), max_gap_s=0.5)
    assert [word.speaker for word in one.words] == [A, A, A, A], "both are next to a turn"
    (one,) = attribute([segment], turns((0, 2.0, A), (10.5, 12, A)), max_gap_s=0.5)
    assert [word.speaker for word in one.words] == [A, None, None, A]
    assert one.speaker == A
    (nobody,) = attribute([segment], [])
    assert nobody == segment


def test_words_of_nobody_before_the_first_go_with_it():
    (one,) = attribute([said(" Well", " yes", each_s=3.0)], turns((5, 6, A)))
    assert (one.speaker, [word.speaker for word in one.words]) == (A, [None, A])


def test_words_beside_turns_go_to_the_nearest():
    segments = [said(" One", start_s=5.0), said(" Two", start_s=7.5), said(" Far", start_s=20.0)]
    found = attribute(segments, turns((0, 4.2, A), (9.0, 10.0, B)))
    assert told(found) == [(A, "One"), (B, "Two"), (None, "Far")]


def test_the_nearest_of_those_who_are_over_is_who_ended_last():
    assert told(attribute([said(" So", start_s=6.0)], turns((0, 5.5, A), (1, 2, B), (2, 5, C)))) == [(A, "So")]


def test_a_little_overlap_is_more_than_none():
    assert told(attribute([said(" So", start_s=6.0)], turns((0, 6.1, A), (7, 9, B)))) == [(A, "So")]


def test_who_speaks_between_two_others_is_no_flicker():
    segment = said(" I", " think", " well", " yes", " I", " do", each_s=0.8)
    found = attribute([segment], turns((0, 1.6, A), (1.6, 2.4, B), (2.4, 5, C)))
    assert told(found) == [(A, "I think"), (B, "well"), (C, "yes I do")]


def test_segments_without_words_are_not_cut():
    found = attribute([whole("How are you? Fine.", 0, 4)], turns((0, 1.8, A), (1.8, 4, B)))
    assert told(found) == [(B, "How are you? Fine.")]
    assert found[0].words is None


def test_segments_whose_words_are_not_their_text_are_not_cut():
    segment = replace(said(" How", " are", " you?", " Fine."), text="Something else")
    (found,) = attribute([segment], turns((0, 3, A), (3, 4, B)))
    assert (found.speaker, found.text) == (A, "Something else")
    assert [word.speaker for word in found.words] == [A, A, A, B]


@pytest.mark.parametrize(
    ("words", "middle", "speakers"),
    [
        ((" I", " think", " we", " should"), 2, [A, A, A, A]),
        ((" Ready?", " Yes.", " Good."), 1, [A, B, A]),
        ((" Ready?", " Yes", " we", " are"), 1, [A, B, A, A]),
        ((" Well", " yes.", " Good."), 1, [A, B, A]),
    ],
)
def test_a_flicker_within_a_sentence_is_smoothed_and_a_short_answer_is_not(words, middle, speakers):
    segment = said(*words, each_s=0.8)
    start_s = 0.8 * middle
    found = attribute(
        [said(" So", " then,", start_s=-1.6, each_s=0.8), segment, said(" And", " on.", start_s=8.0)],
        turns((-5, start_s, A), (start_s, start_s + 0.8, B), (start_s + 0.8, 20, A)),
    )
    assert [word.speaker for item in found for word in item.words][2:-2] == speakers


@pytest.mark.parametrize("words", [(" Ready?", " Yes", " we", " are"), (" Well", " yes.", " Good.")])
def test_less_than_half_a_second_at_the_edge_of_a_sentence_is_no_change(words):
    found = attribute([said(*words, each_s=0.4)], turns((-5, 0.4, A), (0.4, 0.8, B), (0.8, 20, A)))
    assert told(found) == [(A, "".join(words).strip())]


def test_a_change_within_a_sentence_needs_half_a_second_on_both_sides():
    found = [
        told(attribute([said(" So", " we", " go", each_s=each_s)], turns((0, each_s, A), (each_s, 3, B))))
        for each_s in (0.4, 0.6)
    ]
    assert found == [[(B, "So we go")], [(A, "So"), (B, "we go")]]


def test_where_two_are_heard_who_spoke_before_goes_on():
    segment = said(" Who", " is", " that?", " Me.")
    found = attribute([segment], turns((0, 1, B), (1, 4, A), (1, 4, B)))
    assert told(found) == [(B, "Who is that? Me.")]


def test_of_ways_that_are_as_good_the_one_with_fewer_changes_is_taken():
    found = attribute([said(" Yes.", " No.")], turns((0, 1, A), (0, 2, B)))
    assert told(found) == [(B, "Yes. No.")]


def test_between_segments_a_change_is_free_even_where_no_sentence_ends():
    segments = [said(" and", " so", each_s=0.2), said(" or", " not", start_s=0.4, each_s=0.2)]
    found = attribute(segments, turns((0, 0.4, A), (0.4, 0.8, B)))
    assert told(found) == [(A, "and so"), (B, "or not")]


def test_a_word_without_duration_goes_with_those_around_it():
    words = [(" Yes.", 0.0, 1.0), (" So", 1.0, 1.0), (" be", 1.0, 1.6), (" it.", 1.6, 2.4)]
    segment = whole("Yes. So be it.", 0.0, 2.4, words=tuple(Word(*word, 0.9) for word in words))
    found = attribute([segment], turns((0, 1.05, A), (1.05, 3, B)))
    assert told(found) == [(A, "Yes."), (B, "So be it.")]


def test_what_lasts_a_second_is_no_flicker():
    segment = said(" I", " am", " yes", " right", " now", " so", each_s=1.1)
    found = attribute([segment], turns((0, 2.2, A), (2.2, 3.3, B), (3.3, 7, A)))
    assert told(found) == [(A, "I am"), (B, "yes"), (A, "right now so")]


def test_flickers_in_a_row_are_smoothed():
    words = [(" So", 0.0, 2.0), (" I", 2.0, 2.5), (" am", 2.5, 2.9), (" here", 2.9, 3.2), (" now", 3.2, 6.0)]
    segment = whole("So I am here now", 0.0, 6.0, words=tuple(Word(*word, 0.9) for word in words))
    found = attribute([segment], turns((0, 2, A), (2, 2.5, B), (2.5, 2.9, A), (2.9, 3.2, B), (3.2, 6, A)))
    assert told(found) == [(A, "So I am here now")]


def test_speakers_who_answer_each_other_quickly_stay_themselves():
    segment = said(" a?", " b.", " c?", " d.", each_s=0.3)
    found = attribute([segment], turns((0, 0.3, A), (0.3, 0.6, B), (0.6, 0.9, A), (0.9, 1.2, B)))
    assert [item.speaker for item in found] == [A, B, A, B]


def test_the_rest_of_a_word_stays_with_it():
    segment = said(" well", "-known", "’s", " thing")
    found = attribute([segment], turns((0, 1.4, A), (1.4, 4, B)))
    assert told(found) == [(B, "well-known’s thing")]
    chinese = said("你", "好", "吗", "好", language="zh")
    assert told(attribute([chinese], turns((0, 3, A), (3, 4, B)))) == [(A, "你好吗"), (B, "好")]


def test_two_at_once_of_whom_one_is_heard_longer():
    assert told(attribute([said(" Hey")], turns((0.4, 1.0, A), (0.0, 0.7, B)))) == [(B, "Hey")]
    assert told(attribute([said(" Hey")], turns((0.0, 1.0, B), (-1.0, 1.0, A)))) == [(A, "Hey")], "who began first"


times = st.integers(0, 160).map(lambda quarter: quarter / 4)
lengths = st.integers(1, 48).map(lambda quarter: quarter / 4)
labels = st.sampled_from([A, B, C])


@st.composite
def made_turns(draw):
    starts_and_lengths = draw(st.lists(st.tuples(times, lengths, labels), max_size=12))
    return [SpeakerTurn(start, start + length, speaker) for start, length, speaker in starts_and_lengths]


def all_pairs(stretches, turns, max_gap_s):
    """The same as `hear_turns`, by looking at every turn for every stretch."""
    turns = sorted(turns, key=lambda turn: (turn.start_s, turn.end_s, turn.speaker))
    found = []
    for start_s, end_s in stretches:
        overlaps = {}
        for turn in turns:
            overlap = min(end_s, turn.end_s) - max(start_s, turn.start_s)
            if overlap > 0:
                overlaps[turn.speaker] = overlaps.get(turn.speaker, 0) + overlap
        gaps = [max(turn.start_s - end_s, start_s - turn.end_s, 0) for turn in turns]
        if not overlaps and gaps and min(gaps) <= max_gap_s:
            overlaps = {turns[gaps.index(min(gaps))].speaker: end_s - start_s}
        found.append(list(overlaps.items()))
    return found


@settings(max_examples=300)
@given(st.lists(st.tuples(times, lengths | st.just(0)), max_size=15), made_turns(), st.integers(0, 6))
def test_the_sweep_finds_what_all_pairs_find(spans, turns, max_gap_s):
    stretches = [(start, start + length) for start, length in spans]
    found = hear_turns(stretches, turns, max_gap_s)
    assert [list(seconds.items()) for seconds in found] == all_pairs(stretches, turns, max_gap_s)


def price(speakers, heard, begins):
    """Of words with these speakers: the seconds that are missed, and half a second for a change within a sentence."""
    missed = sum(max(seconds.values()) - seconds.get(one, 0) for one, seconds in zip(speakers, heard, strict=True))
    pairs = zip(itertools.pairwise(speakers), begins, strict=True)
    return missed + 0.5 * sum(one != other and not begins for (one, other), begins in pairs)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=5), made_turns())
def test_no_other_way_to_share_out_the_words_costs_less(drawn, turns):
    words, now_s = [], 0.0
    for quarters, ends in drawn:
        words.append(Word(" a." if ends else " a", now_s, now_s + quarters / 4, 0.9))
        now_s += quarters / 4
    segment = whole("".join(word.text for word in words).strip(), 0.0, now_s, words=tuple(words))
    heard = hear_turns([(word.start_s, word.end_s) for word in words], turns, 1.0)
    found = [word.speaker for item in attribute([segment], turns) for word in item.words]
    assert [one is None for one in found] == [not seconds for seconds in heard]
    if all(heard):
        begins = [ends for _, ends in drawn[:-1]]  # those after the first
        ways = itertools.product((A, B, C), repeat=len(words))
        assert price(found, heard, begins) == min(price(way, heard, begins) for way in ways)


texts = st.sampled_from([" Yes", " no.", "-so", "’s", "。", "你", " well,", " Ready?", " ", "", " é"])


@st.composite
def made_segments(draw):
    """Segments in order, with words, without, with tokens that are bytes."""
    segments, now_s = [], 0.0
    for index in range(draw(st.integers(0, 5))):
        words = []
        for text in draw(st.lists(texts, max_size=6)):
            now_s += draw(st.integers(0, 3)) / 2
            words.append(Word(text, now_s, now_s + 0.5, 0.5))
            now_s += 0.5
        text = "".join(word.text for word in words)
        tokens = tuple(text.encode())
        start_s = words[0].start_s if words else now_s
        kept = draw(st.sampled_from([tuple(words), tuple(words), None]))
        logprobs = draw(st.sampled_from([None, tuple(map(float, tokens))]))
        segments.append(
            whole(text.strip(), start_s, now_s, id=index, words=kept, token_ids=tokens, token_logprobs=logprobs)
        )
    return segments


def without_spaces(segments):
    return "".join("".join(item.text for item in segments).split())


class Bytes:
    def decode_bytes(self, token_ids):
        return bytes(token_ids)


@given(made_segments(), made_turns(), st.booleans())
def test_nothing_is_lost_or_reordered(segments, turns, has_tokenizer):
    found = attribute(segments, turns, Bytes() if has_tokenizer else None)
    assert [item.id for item in found] == list(range(len(found)))
    assert without_spaces(found) == without_spaces(segments)
    before = [word for item in segments for word in item.words or ()]
    after = [word for item in found for word in item.words or ()]
    assert [replace(word, speaker=None) for word in after] == before
    assert all(item.start_s <= item.end_s for item in found)
    for item in found:
        if item.words:
            assert item.speaker in {word.speaker for word in item.words}
            assert {word.speaker for word in item.words} <= {item.speaker, None}
            assert "".join(word.text for word in item.words).strip() == item.text
    if has_tokenizer:
        assert [token for item in found for token in item.token_ids] == [
            token for item in segments for token in item.token_ids
        ]
        for item in found:
            assert bytes(item.token_ids).decode().strip() == item.text
            assert item.token_logprobs in (None, tuple(map(float, item.token_ids)))


@given(made_segments(), st.permutations([A, B, C]))
def test_one_speaker_changes_nothing_but_labels(segments, order):
    found = attribute(segments, [SpeakerTurn(0, 1000, order[0])], Bytes())
    assert len(found) == len(segments)
    for one, other in zip(found, segments, strict=True):
        words = None if one.words is None else tuple(replace(word, speaker=None) for word in one.words)
        assert replace(one, speaker=None, words=words) == other
        assert one.speaker == order[0]
