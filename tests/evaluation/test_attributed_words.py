"""Words on the right speaker."""

from ifw.evaluation.attributed_words import AttributedWords, count_attributed_words


def words(text, speakers):
    return list(zip(text.split(), speakers, strict=True))


def test_labels_are_matched_so_that_most_is_right():
    reference = words("good morning where is the train", "AABBBB")
    assert count_attributed_words(reference, words("good morning where is the train", "YYXXXX")).rate == 1
    assert count_attributed_words(reference, words("good morning where is the train", "YYYXXX")) == AttributedWords(
        6, 6, 5
    )


def test_words_of_nobody_are_wrong_and_those_that_were_not_heard_do_not_count():
    reference = words("good morning where is the train", "AABBBB")
    hypothesis = [("good", None), ("morning", "Y"), ("where", "X"), ("was", "X"), ("train", "X")]
    assert count_attributed_words(reference, hypothesis) == AttributedWords(6, 4, 3)


def test_one_label_for_two_speakers_is_right_for_one_only():
    assert count_attributed_words(words("a b c", "ABB"), words("a b c", "XXX")) == AttributedWords(3, 3, 2)


def test_nothing():
    assert count_attributed_words([], []).rate is None
    assert count_attributed_words(words("a", "A"), []) == AttributedWords(1, 0, 0)
    assert AttributedWords(1, 1, 0) + AttributedWords(4, 3, 2) == AttributedWords(5, 4, 2)
