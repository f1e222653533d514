"""Word, character and time errors against jiwer's rates, a plain dynamic programme, and cases made by hand."""

import itertools
import sys

import jiwer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ifw.errors import ExtraMissingError
from ifw.evaluation import (
    ErrorCounts,
    Normaliser,
    TimedText,
    TimeErrors,
    count_character_errors,
    count_word_errors,
    segment_time_errors,
    word_time_errors,
)
from ifw.evaluation.error_counts import matching_words
from ifw.evaluation.extra import eval_module, require_extra

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dd", "é"]), max_size=9)


def edit_distance(reference, hypothesis):
    row = list(range(len(hypothesis) + 1))
    for i, one in enumerate(reference, 1):
        row, above = [i], row
        for j, other in enumerate(hypothesis, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (one != other)))
    return row[-1]


@settings(deadline=None)
@given(WORDS, WORDS)
def test_counts_are_those_of_the_shortest_way(reference, hypothesis):
    counts = count_word_errors(reference, hypothesis)
    assert counts.errors == edit_distance(reference, hypothesis)
    assert counts.n_reference - counts.deletions + counts.insertions == len(hypothesis)
    assert counts.n_reference == len(reference)
    one, other = " ".join(reference), " ".join(hypothesis)
    characters = count_character_errors(one, other)
    assert characters.errors == edit_distance(one, other)
    assert characters.n_reference == len(one)


@settings(deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
def test_the_total_is_micro_averaged(files):
    total = ErrorCounts.total(count_word_errors(reference, hypothesis) for reference, hypothesis in files)
    references, hypotheses = ([" ".join(words) for words in column] for column in zip(*files, strict=True))
    if any(references):
        assert total.rate == pytest.approx(jiwer.wer(references, hypotheses))
    else:
        assert total.rate is None


def test_kinds_of_errors_are_told_apart():
    assert count_word_errors(["a", "b", "c", "d"], ["a", "x", "c"]) == ErrorCounts(4, 1, 1, 0)
    assert count_word_errors(["a", "b"], ["a", "b", "c", "d"]) == ErrorCounts(2, 0, 0, 2)
    assert count_word_errors([], ["a"]) == ErrorCounts(0, 0, 0, 1)
    assert count_word_errors(["a"], []).rate == 1.0


@settings(deadline=None)
@given(WORDS, WORDS)
def test_matching_words_are_equal_in_order_and_as_many_as_can_be(reference, hypothesis):
    pairs = matching_words(reference, hypothesis)
    assert all(reference[one] == hypothesis[other] for one, other in pairs)
    for left, right in itertools.pairwise(pairs):
        assert left[0] < right[0]
        assert left[1] < right[1]
    counts = count_word_errors(reference, hypothesis)
    assert len(pairs) == len(reference) - counts.substitutions - counts.deletions


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("en", "Mr. Smith's twenty-one colours, I'm [noise] late!", "mister smith is 21 colors i am late"),
        ("de", "Äpfel, für-die (äh) SÜẞE!", "äpfel für die süße"),
        ("es", "¿Twenty-one colours?", "twenty one colours"),
        ("ja", "今日は、いい。", "今 日 は い い"),
    ],
)
def test_texts_are_compared_as_whispers_authors_do(language, text, words):
    assert Normaliser(language).words(text) == words.split()


def test_spaces_count_as_characters_only_where_they_are_written():
    assert Normaliser("de").characters("Das  ist, gut.") == "das ist gut"
    assert Normaliser("ja").characters("今日は、いい。") == "今日はいい"


def timed(*items):
    return [TimedText(*item) for item in items]


def test_word_times_are_compared_where_the_words_are_the_same():
    true = timed(("The", 0.0, 0.2), ("old", 0.2, 0.5), ("-", 0.5, 0.5), ("horse.", 0.6, 1.0))
    written = timed((" the", 0.1, 0.2), (" horse,", 0.5, 1.3))
    errors = word_time_errors(true, written, Normaliser("en"))
    assert errors.n_reference == 3
    assert errors.starts_s == pytest.approx((0.1, 0.1))
    assert errors.ends_s == pytest.approx((0.0, 0.3))
    assert (errors.mean_start_s, errors.median_end_s) == pytest.approx((0.1, 0.15))


def test_a_word_that_normalises_to_several_stays_one():
    true = timed(("don't", 0.0, 0.5), ("go", 0.5, 1.0))
    errors = word_time_errors(true, timed((" Don't", 0.25, 0.5), (" go", 0.5, 1.0)), Normaliser("en"))
    assert errors == TimeErrors(2, (0.25, 0.0), (0.0, 0.0))
    assert word_time_errors(timed(("can't", 0, 1)), timed(("can", 0, 1)), Normaliser("en")) == TimeErrors(1)


def test_segments_are_compared_where_they_are_cut_alike():
    true = timed(("One two.", 0.0, 1.0), ("Three four.", 2.0, 3.0), ("Five.", 4.0, 5.0))
    written = timed(("one two three", 0.5, 2.5), ("four", 2.75, 3.25), ("five", 4.0, 5.5))
    errors = segment_time_errors(true, written, Normaliser("de"))
    assert errors == TimeErrors(3, (0.5, 0.0), (0.25, 0.5))


def test_nothing_written_has_no_time_errors():
    errors = segment_time_errors(timed(("One.", 0.0, 1.0)), [], Normaliser("de"))
    assert errors == TimeErrors(1)
    assert (errors.mean_start_s, errors.median_start_s, errors.mean_end_s, errors.median_end_s) == (None,) * 4


def test_time_errors_of_files_are_put_together():
    total = TimeErrors.total([TimeErrors(2, (0.1,), ()), TimeErrors(3, (0.3, 0.5), (0.2,))])
    assert total == TimeErrors(5, (0.1, 0.3, 0.5), (0.2,))


@pytest.mark.parametrize("missing", ["jiwer", "whisper_normalizer"])
def test_a_missing_extra_is_named(monkeypatch, missing):
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)  # Python's way to say that there is none
    with pytest.raises(ExtraMissingError, match=r"pip install 'insanely-fast-whisper-api\[eval\]'"):
        require_extra()


def test_an_extra_that_is_broken_in_itself_is_no_missing_extra(monkeypatch, tmp_path):
    (tmp_path / "half_installed.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        eval_module("half_installed")
