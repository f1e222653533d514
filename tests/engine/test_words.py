"""Words out of tokens, against openai-whisper's own functions."""

from __future__ import annotations

import types

import numpy as np
import pytest
import tiny_models
from hypothesis import given, settings
from hypothesis import strategies as st
from whisper import timing
from whisper.tokenizer import Tokenizer as OpenaiTokenizer

from ifw.engine.request import TokenAttention
from ifw.engine.segments import WindowSegment
from ifw.engine.words import (
    APPENDED,
    PREPENDED,
    UNSPACED_LANGUAGES,
    WindowWord,
    merge_punctuation,
    split_words,
    time_words,
)

DEMO = tiny_models.demo_checkpoint().tokenizer
PHRASES = st.sampled_from(
    [" Guten", " Morgen", "!", ",", " é", "ñ", " 10", "%", " $5", ".50", " (", ")", ' "', '"', " -", "'s", "…", " ",
     "¿", " 😀", " Straße", "こんにちは", "世界", "。", " naïve", "สวัสดี"]
)  # fmt: skip


class ByteTokens:
    """A byte-level vocabulary: every byte is a token, and so is every phrase."""

    def __init__(self, phrases=()):
        self._bytes = [bytes([byte]) for byte in range(256)] + [phrase.encode() for phrase in phrases]
        self.eot = len(self._bytes)

    def decode_bytes(self, token_ids):
        return b"".join(self._bytes[token] for token in token_ids)

    def decode_with_timestamps(self, token_ids):
        return self.decode_bytes(token_ids).decode(errors="replace")


def openai_split(tokens, token_ids, language):
    double = types.SimpleNamespace(
        eot=tokens.eot, language=language, decode_with_timestamps=tokens.decode_with_timestamps
    )
    double.split_tokens_on_unicode = types.MethodType(OpenaiTokenizer.split_tokens_on_unicode, double)
    double.split_tokens_on_spaces = types.MethodType(OpenaiTokenizer.split_tokens_on_spaces, double)
    words, word_tokens = OpenaiTokenizer.split_to_word_tokens(double, token_ids)
    return [(word, len(tokens)) for word, tokens in zip(words, word_tokens, strict=True)]


@settings(deadline=None, max_examples=300)
@given(st.lists(PHRASES, max_size=12), st.sampled_from(["en", "de", "es", "ja", "zh", "th"]), st.data())
def test_words_are_cut_as_openai_whisper_cuts_them(phrases, language, data):
    tokens = ByteTokens(sorted(set(phrases)))
    token_ids = []
    for phrase in phrases:  # a phrase is one token, or one a byte
        whole = 256 + sorted(set(phrases)).index(phrase)
        token_ids += data.draw(st.sampled_from([[whole], list(phrase.encode())]))
    words = split_words(token_ids, tokens, language)
    assert words == openai_split(tokens, token_ids, language)
    assert "".join(text for text, _ in words) == "".join(phrases)
    assert sum(n_tokens for _, n_tokens in words) == len(token_ids)


@given(st.lists(st.integers(0, 255), max_size=12), st.sampled_from(["en", "ja"]))
def test_bytes_that_are_no_text_lose_no_token(token_ids, language):
    tokens = ByteTokens()
    words = split_words(token_ids, tokens, language)
    assert sum(n_tokens for _, n_tokens in words) == len(token_ids)
    assert "".join(text for text, _ in words) == tokens.decode_with_timestamps(token_ids)


def test_languages_without_spaces_are_those_of_openai_whisper():
    tokens = ByteTokens(["日本", "語"])
    assert {
        language
        for language in ("zh", "ja", "th", "lo", "my", "yue", "en", "ko", "vi", "km")
        if len(openai_split(tokens, [256, 257], language)) == 2
    } == UNSPACED_LANGUAGES


def word(text, start_s=0.0, end_s=1.0, probability=0.5):
    return WindowWord(text, start_s, end_s, probability)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from([" Hello", " (", ")", " ¿", "?", ".", ",", ' "', '"', " -", " 10", "%", "%)", "…", "語", "、"]),
        max_size=10,
    )
)
def test_punctuation_is_merged_as_openai_whisper_merges_it(texts):
    times = [(float(place), place + 1.0, 0.1 * place) for place in range(len(texts))]
    reference = [timing.WordTiming(text, [place], *times[place]) for place, text in enumerate(texts)]
    timing.merge_punctuations(reference, PREPENDED, APPENDED)
    expected = [(w.word, w.start, w.end, w.probability) for w in reference if w.word]
    merged = merge_punctuation([WindowWord(text, *times[place]) for place, text in enumerate(texts)])
    assert [tuple(w) for w in merged] == expected


def test_the_marks_are_the_defaults_of_openai_whisper():
    defaults = timing.add_word_timestamps.__kwdefaults__
    assert (defaults["prepend_punctuations"], defaults["append_punctuations"]) == (PREPENDED, APPENDED)


def test_space_alone_is_no_word():
    assert [w.text for w in merge_punctuation([word(" "), word(" Hi"), word(" "), word("  ")])] == ["  Hi   "]


def attention_of(starts, n_positions):
    """Clear evidence: token k is heard from position starts[k]."""
    owner = np.searchsorted(starts, np.arange(n_positions), side="right") - 1
    matrix = np.where(np.arange(len(starts))[:, None] == owner, 1.0, -1.0).astype(np.float32)
    return TokenAttention(matrix, np.linspace(0.1, 0.9, len(starts) - 1).astype(np.float32))


def segment(text, start_s, end_s):
    return WindowSegment(start_s, end_s, tuple(DEMO.encode(text)), text.strip())


def test_words_start_where_their_first_token_does_and_end_where_the_next_word_starts():
    spoken = segment(" Good morning", 0.0, 1.0)
    n_tokens = len(spoken.token_ids)
    starts = [10 * place for place in range(n_tokens + 1)]
    (words,) = time_words([spoken], attention_of(starts, 10 * n_tokens + 5), DEMO, "en")
    sizes = [n for _, n in split_words(spoken.token_ids, DEMO, "en")]
    assert [w.text for w in words] == [" Good", " morning"]
    assert [w.start_s for w in words] == pytest.approx([0.0, 0.2 * sizes[0]])
    assert [w.end_s for w in words] == pytest.approx([0.2 * sizes[0], 0.2 * n_tokens])
    probabilities = np.linspace(0.1, 0.9, n_tokens)
    assert words[0].probability == pytest.approx(probabilities[: sizes[0]].mean(), abs=1e-6)
    assert words[1].probability == pytest.approx(probabilities[sizes[0] :].mean(), abs=1e-6)


def test_a_row_longer_than_the_context_still_gives_every_word():
    spoken = segment(" Good morning Peter and thank you", 0.0, 3.0)
    attention = attention_of([0, 10, 20], 40)  # only the first two tokens were given to the decoder
    (words,) = time_words([spoken], attention, DEMO, "en")
    assert "".join(w.text for w in words).strip() == spoken.text
    assert [w.start_s for w in words] == sorted(w.start_s for w in words)
    assert words[-1].probability == 0.0


def test_evidence_far_outside_of_the_segment_is_not_believed():
    first, second = segment(" Good morning.", 0.0, 1.0), segment(" Good morning.", 4.0, 5.0)
    n_first, n_second = len(first.token_ids), len(second.token_ids)
    # the attention hears the second sentence in place of the first one
    starts = [*range(n_first), *range(n_first, n_first + n_second), 250]
    early, late = time_words([first, second], attention_of(starts, 280), DEMO, "en")
    assert all(w.end_s <= 1.0 + 0.5 for w in early[:-1])
    assert all(w.start_s >= 4.0 - 0.5 for w in late)


def test_outer_words_do_not_reach_over_the_timestamps():
    spoken = segment(" Good morning", 0.4, 1.0)
    starts = [0, *range(40, 40 + len(spoken.token_ids))]
    (words,) = time_words([spoken], attention_of(starts, 80), DEMO, "en")
    assert (words[0].start_s, words[-1].end_s <= 1.0) == (0.4, True)


def test_a_word_that_took_in_a_pause_between_sentences_is_cut():
    texts = [" One", " two", " three", " four", ".", " Five", " six"]
    lengths = [20, 20, 20, 20, 150, 150, 20]
    token_ids = [DEMO.encode(text) for text in texts]
    starts = [0]
    for ids, length in zip(token_ids, lengths, strict=True):
        starts += [starts[-1] + length * (place + 1) // len(ids) for place in range(len(ids))]
    spoken = WindowSegment(0.0, 30.0, tuple(token for ids in token_ids for token in ids), "".join(texts).strip())
    (words,) = time_words([spoken], attention_of(starts, starts[-1] + 5), DEMO, "en")
    by_text = {w.text.strip(): w for w in words}
    assert by_text["four."].end_s == pytest.approx(1.6)
    assert by_text["Five"].end_s - by_text["Five"].start_s == pytest.approx(0.8)  # twice the median
    assert by_text["six"].start_s == pytest.approx(by_text["Five"].end_s)


def test_the_first_word_of_a_segment_does_not_reach_back_over_a_pause():
    lengths = [400, 20, 20, 20, 300, 20, 20, 20]
    texts = [" One", " two", " three", " four", " five", " six", " seven", " eight"]
    token_ids = [DEMO.encode(text) for text in texts]
    starts = [0]
    for ids, length in zip(token_ids, lengths, strict=True):
        starts += [starts[-1] + length * (place + 1) // len(ids) for place in range(len(ids))]
    early = WindowSegment(0.0, 9.2, tuple(token for ids in token_ids[:4] for token in ids), "One two three four")
    late = WindowSegment(9.2, 16.0, tuple(token for ids in token_ids[4:] for token in ids), "five six seven eight")
    segments = time_words([early, late], attention_of(starts, starts[-1] + 5), DEMO, "en")
    for words, end_s in zip(segments, (8.0, 15.2), strict=True):
        assert (words[0].start_s, words[0].end_s) == pytest.approx((end_s - 0.8, end_s))  # twice the median


def test_an_end_that_looks_at_the_silence_before_the_last_sentence_does_not_push_its_words_together():
    first, last = segment(" Good morning.", 0.0, 1.0), segment(" Good morning.", 4.0, 5.0)
    n_first, n_last = len(first.token_ids), len(last.token_ids)
    starts = [*(10 * k for k in range(n_first)), *(200 + 10 * k for k in range(n_last)), 250]
    attention = attention_of(starts, 260)
    matrix = attention.matrix.copy()
    matrix[-1, 60:200] = 10.0
    early, late = time_words([first, last], TokenAttention(matrix, attention.probabilities), DEMO, "en")
    assert late[0].start_s == pytest.approx(4.0)
    assert late[-1].end_s - late[-1].start_s > 0.1
    assert early[0].start_s == 0.0


@pytest.mark.parametrize("n_outside", [1, 2])
def test_a_word_that_was_heard_only_outside_of_its_segment_gets_the_room_inside(n_outside):
    spoken = segment(" Good morning, Peter", 0.0, 1.0)  # the pause is that of the comma
    sizes = [n for _, n in split_words(spoken.token_ids, DEMO, "en")]
    n_inside = sum(sizes[:-1])
    outside = 50 + 10 * n_outside
    starts = [*range(0, 5 * n_inside, 5), *range(outside, outside + sizes[-1]), outside + sizes[-1]]
    (words,) = time_words([spoken], attention_of(starts, outside + 10), DEMO, "en")
    assert words[-1].end_s == 1.0
    assert words[-1].start_s == pytest.approx(words[-2].end_s)
    assert words[-1].end_s - words[-1].start_s >= 0.1
