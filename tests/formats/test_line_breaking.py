"""Cues of the default layout: within their limits, without loss, and broken where a reader pauses."""

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_transcripts import ordinary_segments, segment, spoken, transcript, transcripts

from ifw import SubtitleOptions
from ifw.formats import to_vtt
from ifw.formats.cues import to_cues
from ifw.formats.pieces import columns, cut
from ifw.formats.times import to_ms

LETTERS = {"A": st.sampled_from([" aa", " aaa.", " a,"]), "B": st.sampled_from([" bb", " bbb.", " b,"])}

options = st.builds(
    SubtitleOptions,
    max_line_width=st.one_of(st.none(), st.integers(1, 60)),
    max_line_count=st.one_of(st.none(), st.integers(1, 3)),
    max_words_per_line=st.one_of(st.none(), st.integers(1, 6)),
    highlight_words=st.booleans(),
    min_cue_s=st.one_of(st.none(), st.floats(0, 3)),
)


def texts(segments, **changes):
    return [cue.text for cue in to_cues(segments, SubtitleOptions(**changes))]


def letters(text):
    """What is written: no spaces, and no control characters, which become spaces."""
    return "".join(one for one in text if not one.isspace() and unicodedata.category(one) != "Cc")


@given(st.one_of(transcripts().map(lambda made: made.segments), ordinary_segments()), options)
def test_cues_keep_within_their_limits(segments, options):
    cues = to_cues(segments, options)
    for cue in cues:
        assert cue.end_ms > cue.start_ms
        lines = cue.text.split("\n")
        assert all(line.strip() for line in lines)
        if options.max_line_count is not None and (options.max_line_width or options.max_words_per_line):
            assert len(lines) <= options.max_line_count
        for line in lines:
            if options.max_line_width is not None:
                assert columns(line) <= options.max_line_width or is_one_letter(line)
            if options.max_words_per_line is not None and line.isascii():
                assert len(line.split()) <= options.max_words_per_line
    for before, after in itertools.pairwise(cues):
        assert before.end_ms <= after.start_ms
    if not options.highlight_words:
        assert letters("".join(cue.text for cue in cues)) == letters("".join(item.text for item in segments))
        min_ms = to_ms(options.min_cue_s or 0)
        for before, after in itertools.pairwise(cues):
            assert before.end_ms - before.start_ms >= min_ms or before.end_ms == after.start_ms


def is_one_letter(line):
    """One character with its marks, or with what joins it to others."""
    marks = [letter for letter in line if unicodedata.category(letter) in ("Mn", "Me", "Cf")]
    return len(line) - len(marks) <= 1 + line.count("\u200d")


@given(ordinary_segments(words=st.text("ab.,?", min_size=1, max_size=9).map(" {}".format)))
def test_cues_have_the_times_of_their_words(segments):
    words = [word for item in segments for word in item.words]
    starts, ends = {to_ms(word.start_s) for word in words}, {to_ms(word.end_s) for word in words}
    cues = to_cues(segments, SubtitleOptions(max_line_width=20, min_cue_s=None))
    assert all(cue.start_ms in starts and cue.end_ms in ends for cue in cues)


@given(ordinary_segments(speakers=["A", "B"], words=st.just(" x")), st.sampled_from(["sentences", "openai"]))
def test_no_cue_has_two_speakers(segments, layout):
    spoken_by = [word.speaker for item in segments for word in item.words]
    cues = to_cues(segments, SubtitleOptions(layout=layout))
    assert [cue.speaker for cue in cues for _ in letters(cue.text)] == spoken_by


@given(ordinary_segments())
def test_highlighting_shows_every_word_once_and_nothing_but_the_plain_cues(segments):
    plain = to_cues(segments, SubtitleOptions(min_cue_s=None))
    marked = to_cues(segments, SubtitleOptions(highlight_words=True))
    assert [text for text, _ in itertools.groupby(cue.text for cue in marked)] == [
        text for text, _ in itertools.groupby(cue.text for cue in plain)
    ]
    words = [cue.text[slice(*cue.highlight)] for cue in marked if cue.highlight]
    assert letters("".join(words)) == letters("".join(item.text for item in segments))
    spans = [(to_ms(word.start_s), to_ms(word.end_s)) for item in segments for word in item.words]
    assert [(cue.start_ms, cue.end_ms) for cue in marked if cue.highlight] == spans


def test_a_cue_ends_with_the_sentence_when_the_next_one_does_not_fit():
    text = "The train to the coast leaves at nine. We have to be at the station long before that, I think."
    assert texts([segment(0, 9, text)]) == [
        "The train to the coast leaves at nine.",
        "We have to be at the station\nlong before that, I think.",
    ]


def test_sentences_that_fit_stay_together():
    assert texts([segment(0, 3, "Yes. I know. Go on.")]) == ["Yes. I know. Go on."]
    assert texts([segment(0, 3, "Dr. Smith is in the garden with the others. Go on.")]) == [
        "Dr. Smith is in the garden\nwith the others. Go on."
    ]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (
            "The committee has asked the good old Dr. Smith to come to the meeting that will be held "
            "in the village hall.",
            "The committee has asked the\ngood old Dr. Smith to come",
        ),
        (
            "She looked at the enormous painting and said oh no... but then she went on and bought it "
            "for all of her friends.",
            "She looked at the enormous\npainting and said oh no... but",
        ),
        (
            "Yes. The committee has decided that the meeting of this week has to be held in the hall.",
            "Yes. The committee has\ndecided that the meeting",
        ),
    ],
    ids=["abbreviation", "the sentence goes on", "orphan"],
)
def test_a_cue_does_not_end_at_a_point_for_its_own_sake(text, first):
    assert texts([segment(0, 9, text)])[0] == first


def test_a_cue_ends_at_a_comma_rather_than_within_a_clause():
    text = (
        "When the rain had stopped and the streets were dry, the children of the village went out to play in "
        "the fields behind the church"
    )
    first, second = texts([segment(0, 9, text)])
    assert first.endswith("dry,")
    assert second.startswith("the children")


@pytest.mark.parametrize("n_words", range(15, 60))
def test_no_short_word_is_left_alone(n_words):
    cues = texts([segment(0, 30, " ".join(["word"] * n_words))])
    assert all(len(cue) > 10 for cue in cues)
    assert max(map(len, cues)) - min(map(len, cues)) <= 15


def test_lines_are_about_as_long_as_each_other():
    assert texts([segment(0, 3, "It was not until the morning that we saw the sea")]) == [
        "It was not until the\nmorning that we saw the sea"
    ]


@pytest.mark.parametrize(
    ("words", "cues"),
    [
        ([(" Wait.", 0, 1), (" Go.", 1.9, 3)], ["Wait. Go."]),
        ([(" Wait.", 0, 1), (" Go.", 2, 3)], ["Wait.", "Go."]),
        ([(" Wait", 0, 1), (" and", 3.9, 5)], ["Wait and"]),
        ([(" Wait", 0, 1), (" and", 4.1, 5)], ["Wait", "and"]),
    ],
)
def test_a_long_pause_ends_a_cue(words, cues):
    assert texts([spoken(*words)]) == cues


def test_a_cue_ends_in_a_pause():
    words = [(f" word{index}", index * 0.5 + (0.4 if index > 9 else 0), index * 0.5 + 0.5) for index in range(10)]
    words += [(f" word{index}", index * 0.5 + 0.4, index * 0.5 + 0.9) for index in range(10, 20)]
    first, second = texts([spoken(*words)])
    assert first.endswith("word9")
    assert second.startswith("word10")


def test_without_word_times_a_segment_shares_its_time_by_length():
    first, second = to_cues([segment(10, 20, "a" * 29 + ". " + "B" * 29 + ".")], SubtitleOptions(max_line_count=1))
    assert (first.start_ms, second.end_ms) == (10_000, 20_000)
    assert first.end_ms == second.start_ms == pytest.approx(15_000, abs=200)


def test_words_that_are_not_those_of_the_text_are_not_used():
    made = spoken((" Hello", 0, 1), (" world", 5, 6))
    edited = segment(0, 6, "Hello brave world", words=made.words)
    assert texts([edited]) == ["Hello brave world"]


def test_chinese_and_japanese_break_between_characters_but_not_before_closing_marks():
    text = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で泣いていた。"
    for width in range(8, 44, 2):
        lines = [line for cue in texts([segment(0, 9, text)], max_line_width=width) for line in cue.split("\n")]
        assert "".join(lines) == text
        assert all(columns(line) <= width for line in lines)
        assert not any(line[0] in "。、」" for line in lines)
    assert texts([segment(0, 9, text[:16])], max_line_width=16) == ["吾輩は猫である。\n名前はまだ無い。"]


def test_marks_stay_with_what_they_enclose():
    assert [piece.text for piece in cut(segment(0, 1, "「猫」、（犬）。"), None)] == ["「猫」、", "（犬）。"]


def test_korean_breaks_at_spaces():
    assert texts([segment(0, 4, "나는 고양이로소이다 이름은 아직 없다")], max_line_width=20) == [
        "나는 고양이로소이다\n이름은 아직 없다"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "ก" * 100,
        "https://example.org/" + "a" * 100,
        "나" * 50,
        "e\u0301" * 60,
        "👩‍👧" * 40,
        "🇩🇪" * 41,
        "👍🏽" * 40,
    ],
)
def test_what_is_wider_than_a_line_is_cut_between_characters(text):
    lines = [line for cue in texts([segment(0, 9, text)]) for line in cue.split("\n")]
    assert "".join(lines) == text
    assert all(columns(line) <= 42 for line in lines)
    assert not any(line[0] in "\u0301\u200d🏽🇪" for line in lines)


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("你好", 4), ("e\u0301", 1), ("나", 2), ("ｱ", 1), ("👋", 2), ("👍🏽", 2)]
)
def test_columns(text, width):
    assert columns(text) == width


def test_limits_switched_off():
    text = "One sentence here, and here. " * 20
    assert texts([segment(0, 9, text)], max_line_width=None) == [text.strip()]
    (cue,) = texts([segment(0, 9, text)], max_line_count=None)
    assert cue.count("\n") > 5


def test_words_of_a_line_are_counted():
    made = [segment(0, 9, "a b c d e f")]
    assert texts(made, max_words_per_line=2, max_line_count=1) == ["a b", "c d", "e f"]
    assert texts(made, max_words_per_line=3) == ["a b c\nd e f"]


def test_highlighted_words_are_underlined_and_still_escaped():
    made = transcript(spoken((" R&D", 0, 0.5), (" <b>", 0.7, 1), (" -->", 1, 2)))
    written = to_vtt(made, SubtitleOptions(highlight_words=True))
    assert written.split("\n\n")[1:-1] == [
        "00:00.000 --> 00:00.500\n<u>R&amp;D</u> &lt;b> ->",
        "00:00.500 --> 00:00.700\nR&amp;D &lt;b> ->",
        "00:00.700 --> 00:01.000\nR&amp;D <u>&lt;b></u> ->",
        "00:01.000 --> 00:02.000\nR&amp;D &lt;b> <u>-></u>",
    ]


def test_without_word_times_nothing_is_highlighted():
    made = transcript(segment(0, 1, "Hi you"))
    assert to_vtt(made, SubtitleOptions(highlight_words=True)) == to_vtt(made)


def test_the_rest_of_a_word_that_was_cut_counts_as_a_word_of_its_line():
    written = texts([segment(0, 2, "00:00:01,000 --> on")], max_line_width=5, max_line_count=None, max_words_per_line=1)
    assert all(len(line.split()) == 1 for text in written for line in text.split("\n"))
