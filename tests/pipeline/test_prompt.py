import pytest

from ifw import DecodeOptions
from ifw.errors import PromptError
from ifw.pipeline.prompt import encode_prompts, last_of

MAX_TOKENS, MAX_PREFIX = 223, 112


class Tokenizer:
    """One token a character, so that lengths can be counted by hand."""

    def encode(self, text):
        return [ord(character) for character in text]


def encoded(**options):
    return encode_prompts(DecodeOptions(**options), Tokenizer(), 448)


def text_of(token_ids):
    return "".join(map(chr, token_ids))


def codes(prompts):
    return [warning.code for warning in prompts.warnings]


def test_texts_begin_with_one_space():
    prompts = encoded(hotwords="Anna", initial_prompt="  A talk. ", prefix="\nWell")
    assert text_of(prompts.hotword_ids) == " Anna"
    assert text_of(prompts.initial_ids) == " A talk."
    assert text_of(prompts.prefix_ids) == " Well"
    assert (prompts.max_tokens, prompts.warnings) == (MAX_TOKENS, ())


@pytest.mark.parametrize("blank", [None, "", " \n"])
def test_blank_is_nothing(blank):
    prompts = encoded(hotwords=blank, initial_prompt=blank, prefix=blank)
    assert (prompts.hotword_ids, prompts.initial_ids, prompts.prefix_ids, prompts.warnings) == ((), (), (), ())


def test_the_end_of_a_prompt_is_kept():
    assert codes(encoded(initial_prompt="a" * (MAX_TOKENS - 1))) == []
    prompts = encoded(initial_prompt="a" * 100 + "b" * (MAX_TOKENS - 1) + "c")
    assert text_of(prompts.initial_ids) == "b" * (MAX_TOKENS - 1) + "c"
    assert codes(prompts) == ["prompt_truncated"]
    assert prompts.warnings[0].message == "the prompt has 324 tokens; only the last 223 are used"


def test_the_beginning_of_the_hot_words_is_kept():
    assert codes(encoded(hotwords="a" * (MAX_TOKENS - 1))) == []
    prompts = encoded(hotwords="a" * (MAX_TOKENS - 1) + "b")
    assert text_of(prompts.hotword_ids) == " " + "a" * (MAX_TOKENS - 1)
    assert codes(prompts) == ["hotwords_truncated"]
    assert prompts.warnings[0].message == "the hot words have 224 tokens; only the first 223 are used"


def test_hot_words_take_room_from_the_prompt():
    prompts = encoded(hotwords="h" * 199, initial_prompt="p" * 22)
    assert (len(prompts.initial_ids), prompts.warnings) == (23, ())
    prompts = encoded(hotwords="h" * 199, initial_prompt="p" * 22 + "q")
    assert text_of(prompts.initial_ids) == "p" * 22 + "q"
    message = "the prompt has 24 tokens; only the last 23 are used, as the hot words take 200 of 223"
    assert [warning.message for warning in prompts.warnings] == [message]


def test_hot_words_that_fill_the_room_leave_no_prompt():
    prompts = encoded(hotwords="h" * 300, initial_prompt="p")
    assert (len(prompts.hotword_ids), prompts.initial_ids) == (MAX_TOKENS, ())
    assert codes(prompts) == ["hotwords_truncated", "prompt_truncated"]
    assert "none is used, as the hot words take 223 of 223" in prompts.warnings[1].message


def test_the_limit_is_that_of_the_checkpoint():
    assert encode_prompts(DecodeOptions(hotwords="h" * 99), Tokenizer(), 64).max_tokens == 31


def test_a_prefix_is_never_cut():
    assert len(encoded(prefix="p" * (MAX_PREFIX - 1)).prefix_ids) == MAX_PREFIX
    with pytest.raises(PromptError, match="prefix: got 113 tokens, allowed: at most 112"):
        encoded(prefix="p" * MAX_PREFIX)


@pytest.mark.parametrize("name", ["hotwords", "initial_prompt", "prefix"])
def test_half_a_surrogate_pair_is_named(name):
    with pytest.raises(PromptError, match=rf"^{name}: got U\+D800 at position 5, allowed"):
        encoded(**{name: "Anna \ud800"})


def test_last_of():
    assert [last_of((1, 2, 3), n_tokens) for n_tokens in (0, 1, 3, 9)] == [(), (3,), (1, 2, 3), (1, 2, 3)]
